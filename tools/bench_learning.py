"""Times learning 14,336 pieces from the same text: kollama, HF tokenizers, sentencepiece.

    python tools/bench_learning.py --kollama target/release/kollama --base DIR \
        --corpus FILE.jsonl.zst ... --work DIR [--rounds 3] [--pieces 14336]

Each runs as a process of its own, in turn, with as many threads as the machine has cores: kollama
extends the base by that many pieces and reads the packed corpus; the others learn a vocabulary of
that size with byte-pair encoding and read it as plain lines, written to --work beforehand. Prints a
Markdown table of wall time, processor time and peak memory, medians of the rounds. Needs
tokenizers, sentencepiece, zstandard.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

import sentencepiece
import tokenizers

from packed_texts import texts

HUGGING_FACE = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
lines, size = sys.argv[1], int(sys.argv[2])
tokenizer = Tokenizer(models.BPE(byte_fallback=True))
tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
trainer = trainers.BpeTrainer(vocab_size=size, limit_alphabet=2000, max_token_length=16,
                              show_progress=False)
tokenizer.train([lines], trainer)
assert tokenizer.get_vocab_size() == size
"""

SENTENCEPIECE = """
import os, sys
import sentencepiece
lines, size = sys.argv[1], int(sys.argv[2])
sentencepiece.SentencePieceTrainer.train(
    input=lines, model_prefix=lines + ".model", model_type="bpe", vocab_size=size,
    byte_fallback=True, split_digits=True, normalization_rule_name="identity",
    max_sentence_length=1 << 20, num_threads=os.cpu_count(), minloglevel=2)
"""


def write_lines(paths, out):
    with open(out, "w") as file:
        for path in paths:
            file.writelines(text + "\n" for text in texts(path))


def measure(command):
    """Seconds on the wall, seconds of processors, peak memory in bytes."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"failed: {' '.join(command[:3])}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kollama", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--corpus", nargs="+", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pieces", type=int, default=14336)
    flags = parser.parse_args()
    os.makedirs(flags.work, exist_ok=True)
    print(f"tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}, "
          f"{os.cpu_count()} cores\n")

    lines, out = f"{flags.work}/lines.txt", f"{flags.work}/extended"
    write_lines(flags.corpus, lines)
    with open(f"{flags.base}/tokenizer.json", encoding="utf-8") as file:
        size = len(json.load(file)["model"]["vocab"]) + flags.pieces
    commands = {
        "kollama": [flags.kollama, "tokenizer", "extend", "--base", flags.base, "--corpus",
                    *flags.corpus, "--vocab-size", str(size), "--out", out],
        "tokenizers": [sys.executable, "-c", HUGGING_FACE, lines, str(flags.pieces)],
        "sentencepiece": [sys.executable, "-c", SENTENCEPIECE, lines, str(flags.pieces)],
    }
    found = {name: [] for name in commands}
    for _ in range(flags.rounds):
        for name, command in commands.items():
            shutil.rmtree(out, ignore_errors=True)
            found[name].append(measure(command))

    medians = {name: [statistics.median(column) for column in zip(*rows)]
               for name, rows in found.items()}
    ours = medians["kollama"]
    print("| | wall, s | processors, s | peak memory, MB | wall against kollama |")
    print("|---|---:|---:|---:|---:|")
    for name, (wall, processors, memory) in medians.items():
        print(f"| {name} | {wall:.1f} | {processors:.1f} | {memory / 1e6:.0f} | "
              f"{wall / ours[0]:.1f} × |")


if __name__ == "__main__":
    main()
