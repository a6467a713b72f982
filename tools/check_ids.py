"""Checks kollama's ids against HF tokenizers and sentencepiece over whole corpora, every document.

    cargo build --release -p kollama-tokenizer --example ids
    python tools/check_ids.py --data DATA --tokenizer base=DIR --tokenizer extension=DIR ... \
        [--fuzzed 1000000] [--processes 2]

The texts: every document of ko-corpus, en-corpus and NSMC, every field of KoBEST, and fuzzed strings
(see fuzzed_texts.py). A tokenizer's folder holds tokenizer.json (compared with tokenizers),
tokenizer.model (compared with sentencepiece) or both, each read by kollama by itself.
Prints a line a source, then each way in which the two references differ, with an example and the side
that kollama takes. Exits with 1 if kollama's ids are others than sentencepiece's, than tokenizers', or
by one file than by the other. tokenizers turns a literal special piece in a text into its id; on such
a text it is asked again with no special pieces declared. Needs tokenizers, sentencepiece, zstandard, numpy.
"""

import argparse
import collections
import csv
import itertools
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys

import numpy
import sentencepiece
import tokenizers

from fuzzed_texts import fuzzed
import packed_texts

WRONG = ["other than sentencepiece", "other than tokenizers", "other by the two files"]
SPECIAL = "hold a literal special piece"
BATCH_BYTES = 1 << 20
BATCH_FUZZED = 5000


def sources(data):
    """Name and texts of every source."""
    for corpus in ("ko-corpus", "en-corpus"):
        for path in sorted(pathlib.Path(data, corpus).glob("*.jsonl.zst")):
            yield f"{corpus}/{path.name.split('.')[0]}", packed_texts.texts(path)
    rows = csv.reader(packed_texts.lines(f"{data}/nsmc/ratings.txt.zst"), delimiter="\t")
    yield "nsmc/ratings", (document for _, document, _ in rows)
    for path in sorted(pathlib.Path(data, "kobest").glob("*/*.tsv.zst")):
        fields = (field for line in packed_texts.lines(path) for field in line.rstrip("\r\n").split("\t"))
        yield f"kobest/{path.parent.name}/{path.name.split('.')[0]}", fields


def batches(data, count):
    """(source, texts) of about a megabyte; in place of fuzzed texts, their seed and number."""
    for name, texts in sources(data):
        batch, size = [], 0
        for text in texts:
            batch.append(text)
            size += len(text.encode())
            if size > BATCH_BYTES:
                yield name, batch
                batch, size = [], 0
        yield name, batch
    for seed, first in enumerate(range(0, count, BATCH_FUZZED)):
        yield "fuzzed", (seed, min(BATCH_FUZZED, count - first))


class Kollama:
    """The example program `ids` with one tokenizer."""

    def __init__(self, program, tokenizer):
        self.child = subprocess.Popen([program, tokenizer], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def encode(self, texts):
        coded = [text.encode() for text in texts]
        head = numpy.array([len(coded), *map(len, coded)], "<u4").tobytes()
        self.child.stdin.write(head + b"".join(coded))
        self.child.stdin.flush()
        counts = self.numbers(len(coded))
        return numpy.split(self.numbers(counts.sum()), counts.cumsum()[:-1])

    def numbers(self, count):
        return numpy.frombuffer(self.child.stdout.read(4 * int(count)), "<u4")


class Implementations:
    """What one process compares for one tokenizer."""

    def __init__(self, program, folder, sample):
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        self.sample = sample
        json_file, model_file = f"{folder}/tokenizer.json", f"{folder}/tokenizer.model"
        self.specials, self.pieces = ["<s>", "</s>", "<unk>"], []
        self.hugging_face = self.sentence_piece = None
        if os.path.exists(json_file):
            with open(json_file, encoding="utf-8") as file:
                document = json.load(file)
            self.specials += [token["content"] for token in document["added_tokens"] if token["special"]]
            self.pieces = list(document["model"]["vocab"])
            self.hugging_face = tokenizers.Tokenizer.from_file(json_file)
            kept = [token for token in document["added_tokens"] if not token["special"]]
            without = json.dumps(document | {"added_tokens": kept})
            self.without_specials = tokenizers.Tokenizer.from_str(without)
            self.from_json = Kollama(program, json_file)
        if os.path.exists(model_file):
            self.sentence_piece = sentencepiece.SentencePieceProcessor(model_file=model_file)
            ids = range(self.sentence_piece.vocab_size())
            self.pieces = [self.sentence_piece.id_to_piece(id) for id in ids]
            self.from_model = Kollama(program, model_file)

    def compare(self, texts):
        """Counts by what was found, and the shortest example of each finding."""
        found = collections.Counter(texts=len(texts), bytes=sum(len(text.encode()) for text in texts))
        shortest = {}

        def note(finding, text, one, other):
            found[finding] += 1
            if finding not in shortest or len(text) < len(shortest[finding][0]):
                shortest[finding] = (text, list(map(int, one[:20])), list(map(int, other[:20])))

        from_model = from_json = theirs = encodings = [None] * len(texts)
        if self.sentence_piece:
            from_model = self.from_model.encode(texts)
            theirs = self.sentence_piece.encode(texts, num_threads=1)
        if self.hugging_face:
            from_json = self.from_json.encode(texts)
            encodings = self.hugging_face.encode_batch_fast(texts, add_special_tokens=False)
        for text, a, b, sp, encoding in zip(texts, from_model, from_json, theirs, encodings):
            found["ids"] += len(b if a is None else a)
            if sp is not None and not same(a, sp):
                note(WRONG[0], text, a, sp)
            if a is not None and b is not None and not same(a, b):
                note(WRONG[2], text, a, b)
            if encoding is None:
                continue
            hf, special = encoding.ids, any(piece in text for piece in self.specials)
            found[SPECIAL] += special
            if sp is not None and hf != sp:
                side = "sentencepiece" if same(b, sp) else "tokenizers" if same(b, hf) else "neither"
                why = "literal special piece" if special else "another reason"
                note(f"tokenizers and sentencepiece differ, {why}, kollama as {side}", text, hf, sp)
            if special:
                hf = self.without_specials.encode(text, add_special_tokens=False).ids
            if not same(b, hf):
                note(WRONG[1], text, b, hf)
        return found, shortest


def same(ours, theirs):
    return len(ours) == len(theirs) and bool((ours == numpy.array(theirs, "<u4")).all())


def start(*arguments):
    global implementations
    implementations = Implementations(*arguments)


def work(batch):
    name, texts = batch
    if name == "fuzzed":
        texts = fuzzed(*texts, implementations.pieces, implementations.sample)
    return name, *implementations.compare(texts)


def check(name, folder, flags, sample):
    """Compares everything with one tokenizer; how many texts differ."""
    totals, shortest = collections.defaultdict(collections.Counter), {}
    with multiprocessing.Pool(flags.processes, start, (flags.ids, folder, sample)) as pool:
        for source, found, examples in pool.imap(work, batches(flags.data, flags.fuzzed)):
            totals[source].update(found)
            for finding, example in examples.items():
                if finding not in shortest or len(example[0]) < len(shortest[finding][0]):
                    shortest[finding] = example
    for source, found in totals.items():
        mark = "NOT" if any(found[wrong] for wrong in WRONG) else "ok "
        counts = ", ".join(f"{found[wrong]} {wrong}" for wrong in WRONG)
        print(f"{mark} {name}  {source}: {found['texts']} texts, {found['bytes']} bytes, "
              f"{found['ids']} ids: {counts}; {found[SPECIAL]} {SPECIAL}")
    overall = sum(totals.values(), collections.Counter())
    print(f"    {name}  in all: {overall['texts']} texts, {overall['bytes']} bytes, {overall['ids']} ids")
    for finding, (text, one, other) in sorted(shortest.items()):
        print(f"    {name}  {overall[finding]} {finding}, e.g. {text[:200]!r}: {one} / {other}")
    sys.stdout.flush()
    return sum(overall[wrong] for wrong in WRONG)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--tokenizer", required=True, action="append", metavar="NAME=DIR")
    parser.add_argument("--ids", default="target/release/examples/ids")
    parser.add_argument("--fuzzed", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    flags = parser.parse_args()
    print(f"tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}")
    files = [f"{flags.data}/{name}.jsonl.zst" for name in
             ("ko-corpus/krdict", "ko-corpus/nsmc-raw", "en-corpus/python-docs")]
    documents = (json.loads(line)["text"] for file in files for line in itertools.islice(packed_texts.lines(file), 100))
    sample = [line for text in documents for line in text.split("\n") if line][:5000]
    differing = sum(check(*tokenizer.split("=", 1), flags, sample) for tokenizer in flags.tokenizer)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
