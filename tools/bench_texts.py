"""Writes the four texts that `kollama bench tokenize` is measured with.

    python tools/bench_texts.py --data DATA --code FOLDER... --out DIR [--megabytes 10]

One .jsonl each: Korean reviews (ko-corpus/nsmc-raw), Korean of every source of ko-corpus in equal
parts, English (en-corpus) and code (the .rs and .py files of the folders) likewise. Each text stops
after the given size, and is the same every time. Needs zstandard.
"""

import argparse
import json
import os
import pathlib

import packed_texts


def folder(path):
    return sorted(pathlib.Path(path).glob("*.jsonl.zst"))


def code(path):
    for path in sorted(pathlib.Path(path).rglob("*.*")):
        if path.suffix in (".rs", ".py") and path.is_file():
            text = path.read_bytes().decode("utf-8", "replace")
            if text.strip():
                yield text


def up_to(texts, size):
    """Texts until `size` bytes are there; the last one is cut after a line."""
    for text in texts:
        length = len(text.encode())
        if length > size:
            kept = text.encode()[:size].decode("utf-8", "ignore").rpartition("\n")[0]
            if kept:
                yield kept
            return
        size -= length
        yield text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--code", nargs="+", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--megabytes", type=float, default=10)
    flags = parser.parse_args()
    size = int(flags.megabytes * 1e6)

    korean, english = (folder(f"{flags.data}/{name}-corpus") for name in ("ko", "en"))
    parts = lambda read, paths: (t for p in paths for t in up_to(read(p), size // len(paths)))
    texts = {
        "korean-reviews": up_to(packed_texts.texts(f"{flags.data}/ko-corpus/nsmc-raw.jsonl.zst"), size),
        "korean-mixed": parts(packed_texts.texts, korean),
        "english": parts(packed_texts.texts, english),
        "code": parts(code, flags.code),
    }
    os.makedirs(flags.out, exist_ok=True)
    for name, rows in texts.items():
        documents, written = 0, 0
        with open(f"{flags.out}/{name}.jsonl", "w", encoding="utf-8") as out:
            for text in rows:
                out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                documents, written = documents + 1, written + len(text.encode())
        print(f"{name}: {documents} documents, {written} bytes")


if __name__ == "__main__":
    main()
