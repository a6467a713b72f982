"""Compares `kollama tokenizer extend` with the union method, on text that neither has seen.

    python tools/compare_union.py --kollama target/release/kollama --base DIR \
        --korean FILE.jsonl.zst ... --english FILE.jsonl.zst ... --work DIR [--vocab-size 46336]

The union method trains a sentencepiece model on the new language, with the settings of Llama 2, and
appends those of its pieces that the base lacks: once with score 0, as published scripts do, and once
with scores below all of the base. Of each source the first of every ten documents is held out, the
three tokenizers learn from the rest and have the same size. sentencepiece does the encoding of all.

Prints a Markdown table of tokens per character of whole documents, as a model is trained on them,
and exits with 1 if ours is not below both unions on every source, or if an English text does not
keep its ids. The last column encodes each line by itself, as sentencepiece learns; there nothing is
promised, and the last lines say on how many sources ours takes more. Models of sentencepiece are kept in --work and used again. Needs sentencepiece,
protobuf and zstandard.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys

import sentencepiece
import zstandard
from sentencepiece import sentencepiece_model_pb2 as model_pb2

from packed_texts import texts

HANGUL = re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e]+")
NORMAL = 1
# Special pieces and bytes of a sentencepiece model with byte fallback.
FIXED = 3 + 256


def name_of(path):
    return os.path.basename(path).split(".")[0]


def hold_out(paths, work):
    """Writes what is learned from, once as documents and once as lines; returns the rest."""
    held = {}
    documents, lines = f"{work}/documents", f"{work}/lines.txt"
    os.makedirs(documents, exist_ok=True)
    with open(lines, "w") as as_lines:
        for path in paths:
            every = list(texts(path))
            held[name_of(path)] = every[::10]
            kept = [text for number, text in enumerate(every) if number % 10]
            as_lines.writelines(text + "\n" for text in kept)
            packed = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in kept)
            with open(f"{documents}/{name_of(path)}.jsonl.zst", "wb") as file:
                file.write(zstandard.ZstdCompressor(level=12).compress(packed.encode()))
    return held, documents, lines


def read_model(path):
    model = model_pb2.ModelProto()
    with open(path, "rb") as file:
        model.ParseFromString(file.read())
    return model


def train(lines, size, work):
    """The pieces of a sentencepiece model of this size, learned once."""
    prefix = f"{work}/korean-{size}"
    if not os.path.exists(f"{prefix}.model"):
        sentencepiece.SentencePieceTrainer.train(
            input=lines, model_prefix=prefix, model_type="bpe", vocab_size=size,
            byte_fallback=True, split_digits=True, allow_whitespace_only_pieces=True,
            remove_extra_whitespaces=False, normalization_rule_name="identity",
            character_coverage=0.9995, max_sentence_length=1 << 20, num_threads=2,
            minloglevel=2)
    return [piece.piece for piece in read_model(f"{prefix}.model").pieces if piece.type == NORMAL]


def missing_pieces(lines, base, wanted, work):
    """Pieces of the Korean model that the base lacks, just as many as are wanted."""
    known = {piece.piece for piece in base.pieces}
    size = FIXED + wanted + wanted // 10
    for _ in range(10):
        missing = [piece for piece in train(lines, size, work) if piece not in known]
        if len(missing) == wanted:
            print(f"union: {size} pieces learned, {wanted} of them missing in the base\n")
            return missing
        size += wanted - len(missing)
    sys.exit(f"no size gives exactly {wanted} missing pieces; the last was {size}")


def union(base, missing, below, path):
    model = model_pb2.ModelProto()
    model.CopyFrom(base)
    lowest = min(piece.score for piece in base.pieces if piece.score > -1e8)
    for number, piece in enumerate(missing, 1):
        model.pieces.add(piece=piece, score=lowest - number if below else 0.0)
    model.trainer_spec.vocab_size = len(model.pieces)
    with open(path, "wb") as file:
        file.write(model.SerializeToString())
    return sentencepiece.SentencePieceProcessor(model_file=path)


def ours(flags, documents):
    out = f"{flags.work}/extended"
    shutil.rmtree(out, ignore_errors=True)
    command = [flags.kollama, "tokenizer", "extend", "--base", flags.base, "--corpus", documents,
               "--vocab-size", str(flags.vocab_size), "--out", out]
    subprocess.run(command, check=True)
    return sentencepiece.SentencePieceProcessor(model_file=f"{out}/tokenizer.model")


def count(tokenizers, documents):
    """Tokens of all documents, for each tokenizer."""
    return {name: sum(map(len, tokenizer.encode(documents)))
            for name, tokenizer in tokenizers.items()}


def against_better_union(counts):
    """How many tokens more ours takes, in per cent."""
    better = min(counts["union, scores below"], counts["union, score 0"])
    return 100 * (counts["ours"] / better - 1)


def changed_english(base, extended, paths):
    """How many texts lose their ids; the Korean words of an English text are meant to."""
    plain = [HANGUL.sub("", text) for path in paths for text in texts(path)]
    return len(plain), sum(a != b for a, b in zip(base.encode(plain), extended.encode(plain)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kollama", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--korean", nargs="+", required=True)
    parser.add_argument("--english", nargs="+", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--vocab-size", type=int, default=46336)
    flags = parser.parse_args()
    os.makedirs(flags.work, exist_ok=True)
    print(f"sentencepiece {sentencepiece.__version__}")

    held, documents, lines = hold_out(flags.korean, flags.work)
    base = read_model(f"{flags.base}/tokenizer.model")
    missing = missing_pieces(lines, base, flags.vocab_size - len(base.pieces), flags.work)
    tokenizers = {
        "base": sentencepiece.SentencePieceProcessor(model_file=f"{flags.base}/tokenizer.model"),
        "ours": ours(flags, documents),
        "union, scores below": union(base, missing, True, f"{flags.work}/below.model"),
        "union, score 0": union(base, missing, False, f"{flags.work}/zero.model"),
    }
    sizes = {name: tokenizer.vocab_size() for name, tokenizer in tokenizers.items()}
    assert len(set(list(sizes.values())[1:])) == 1, sizes

    failed, behind = [], []
    print("| source | characters |", " | ".join(tokenizers),
          "| ours against the better union | the same, line by line |")
    print("|---|---:|" + "---:|" * (len(tokenizers) + 2))
    for source, documents in held.items():
        characters = sum(map(len, documents))
        counts = count(tokenizers, documents)
        by_lines = count(tokenizers, [line for text in documents for line in text.split("\n")])
        if against_better_union(counts) >= 0:
            failed.append(source)
        if against_better_union(by_lines) > 0:
            behind.append(source)
        shares = " | ".join(f"{tokens / characters:.4f}" for tokens in counts.values())
        print(f"| {source} | {characters} | {shares} | {against_better_union(counts):+.2f} % | "
              f"{against_better_union(by_lines):+.2f} % |")

    print()
    for name in list(tokenizers)[1:]:
        total, changed = changed_english(tokenizers["base"], tokenizers[name], flags.english)
        print(f"English, {name}: {changed} of {total} texts get other ids than from the base")
        if name == "ours" and changed:
            failed.append("English")
    print(f"line by line ours takes more tokens than the better union on {len(behind)} of "
          f"{len(held)} sources")
    print(f"not held: {', '.join(failed)}" if failed else
          "whole documents: ours is below both unions on every source")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
