"""Makes the golden checksum in packing.rs: the same shard, packed by other means.

Needs the packages numpy and tokenizers and the program zstd; run it with the data folder as
its only argument. It follows the layout in src/shard.rs and shares no code with it.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy
import tokenizers

SEQUENCE_LENGTH = 512
END_OF_TEXT = 2


def documents(path):
    unpacked = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    return [json.loads(line)["text"] for line in unpacked.split(b"\n") if line]


def stream(tokenizer, texts):
    encoded = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    ids = numpy.concatenate([[*ids, END_OF_TEXT] for ids in encoded])
    owners = numpy.concatenate([[at] * (len(ids) + 1) for at, ids in enumerate(encoded)])
    return ids, owners


def confined_shard(ids, owners, vocab_size):
    n = SEQUENCE_LENGTH
    rows = (len(ids) - 1) // n
    inputs = ids[: rows * n].reshape(rows, n)
    inside = owners[: rows * n].reshape(rows, n)
    next_ids, next_owners = ids[n : rows * n + 1 : n], owners[n : rows * n + 1 : n]
    last = numpy.where(inside[:, -1] == next_owners, next_ids, -100)
    words = numpy.hstack([inputs, last[:, None], inside - inside[:, :1]])
    header = b"KOLLPACK" + numpy.array([1, n, 1, n, vocab_size, 0], "<u4").tobytes()
    return rows, header + words.astype("<i4").tobytes()


def main():
    data = Path(sys.argv[1])
    tokenizer = tokenizers.Tokenizer.from_file(str(data / "llama2-tokenizer/tokenizer.json"))
    ids, owners = stream(tokenizer, documents(data / "ko-corpus/tatoeba.jsonl.zst"))
    rows, shard = confined_shard(ids, owners, tokenizer.get_vocab_size())
    python = sys.version.split()[0]
    print(f"python {python}, numpy {numpy.__version__}, tokenizers {tokenizers.__version__}")
    print(f"{len(ids)} tokens, {rows} rows, sha256 {hashlib.sha256(shard).hexdigest()}")


main()
