"""Reads packed text files for the other scripts: lines of `.zst`, texts of `.jsonl.zst`. Needs zstandard."""

import io
import json

import zstandard


def lines(path):
    """The lines of a packed file, with their ends."""
    with open(path, "rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file)
        yield from io.TextIOWrapper(reader, encoding="utf-8", newline="\n")


def texts(path):
    """The texts of a packed corpus: the field `text` of each line."""
    for line in lines(path):
        yield json.loads(line)["text"]
