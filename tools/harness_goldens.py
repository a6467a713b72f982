"""Scores two KoBEST tasks with transformers and writes the numbers the harness must reproduce.

The protocol is that of the `polyglot` branch of lm-evaluation-harness, written here from its
description with CPython's `random`, the `csv` module, SentencePiece and transformers; nothing is
shared with the Rust code. The output holds hashes of token ids and numbers, no text of the data.

    cargo run --release -p kollama-harness --example golden_model -- MODEL
    python tools/harness_goldens.py --model MODEL --data KOBEST --tokenizer tokenizer.model \
        --out crates/harness/tests/goldens/polyglot.json

Needs torch, transformers, sentencepiece and zstandard; prints the versions it ran with.
"""

import argparse
import csv
import hashlib
import io
import json
import math
import platform
import random
import struct
from collections import Counter
from pathlib import Path
from statistics import stdev

import sentencepiece
import torch
import transformers
import zstandard

SHOTS = 5
LIMIT = 100
BOOTSTRAP_ITERATIONS = 100_000
ROLLING_TEXT = "".join(
    f"{n}번째 아침, 나는 {n * 7 % 31}걸음을 걷고 The quick fox saw {n}  birds.\n" for n in range(1, 31)
)


def rows(data, folder, split):
    packed = (Path(data) / folder / f"{split}.tsv.zst").read_bytes()
    text = zstandard.ZstdDecompressor().stream_reader(packed).read().decode("utf-8")
    return list(
        csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    )


def copa(row):
    connector = {"원인": "왜냐하면", "결과": "그래서"}[row["question"].strip()]
    return row["sentence"] + " " + connector, [" " + row["1"], " " + row["2"]], int(row["Answer"]) - 1


def sentineg(row):
    return "문장: " + row["Text"] + " 긍부정:", [" 부정", " 긍정"], int(row["Label"])


def documents_with_context(pool, documents):
    generator = random.Random()
    generator.seed(42)
    generator.shuffle(documents)
    for document in documents[:LIMIT]:
        shown = generator.sample(pool, SHOTS)
        shots = "\n\n".join(text + choices[gold] for text, choices, gold in shown) + "\n\n"
        yield shots + document[0], document[1], document[2]


class Scorer:
    def __init__(self, model):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            model, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.window = self.model.config.max_position_embeddings
        self.end = self.model.config.eos_token_id

    @torch.no_grad()
    def log_probabilities(self, ids, last):
        """Rows of log-softmax at the `last` final positions of `ids`, in double precision."""
        logits = self.model(torch.tensor([ids]), logits_to_keep=last).logits[0]
        return torch.log_softmax(logits.double(), dim=-1)

    def score(self, context, continuation):
        ids = ((context or [self.end]) + continuation)[-(self.window + 1) :]
        scored = min(len(continuation), len(ids) - 1)
        target = torch.tensor(ids[-scored:])
        table = self.log_probabilities(ids[:-1], scored)
        greedy = bool((table.argmax(dim=-1) == target).all())
        return table.gather(1, target[:, None]).sum().item(), greedy

    def likeliest_after(self, context):
        best = self.log_probabilities(context[-self.window :], 1)[0].max(dim=-1)
        return {"id": best.indices.item(), "logprob": best.values.item()}

    def rolling(self, ids):
        """Every id predicted once: windows end at their last prediction, with full left context."""
        total, start = 0.0, 0
        while start < len(ids):
            end = min(start + self.window, len(ids))
            read = ([self.end] + ids)[max(0, end - self.window) : end]
            table = self.log_probabilities(read, end - start)
            target = torch.tensor(ids[start:end])
            total += table.gather(1, target[:, None]).sum().item()
            start = end
        return total


def fingerprint(context, continuation):
    words = [len(context), *context, len(continuation), *continuation]
    return struct.pack(f"<{len(words)}I", *words)


def macro_f1(pairs):
    """`pairs` counts (gold, predicted)."""
    labels = {gold for gold, _ in pairs} | {predicted for _, predicted in pairs}
    scores = []
    for label in labels:
        hits = pairs[label, label]
        missed = sum(n for (g, p), n in pairs.items() if g == label != p)
        wrong = sum(n for (g, p), n in pairs.items() if p == label != g)
        scores.append(2 * hits / (2 * hits + missed + wrong))
    return sum(scores) / len(scores)


def bootstrap(pairs, metric):
    values = []
    for chunk in range(BOOTSTRAP_ITERATIONS // 1000):
        generator = random.Random()
        generator.seed(chunk)
        values += [metric(Counter(generator.choices(pairs, k=len(pairs)))) for _ in range(1000)]
    return stdev(values)


def evaluate(pool, documents, encode, scorer):
    hashes, whole = [], hashlib.sha256()
    logprobs, greedy, predicted, gold, likeliest, cut = [], [], [], [], [], 0
    for text, choices, right in documents_with_context(pool, documents):
        context = encode(text)
        likeliest.append(scorer.likeliest_after(context))
        scores, too_long = [], False
        for choice in choices:
            continuation = encode(choice)
            packed = fingerprint(context, continuation)
            hashes.append(hashlib.sha256(packed).hexdigest())
            whole.update(packed)
            logprob, is_greedy = scorer.score(context, continuation)
            scores.append(logprob)
            greedy.append(is_greedy)
            too_long |= len(context) + len(continuation) > scorer.window + 1
        logprobs += scores
        predicted.append(scores.index(max(scores)))
        gold.append(right)
        cut += too_long
    pairs = list(zip(gold, predicted))
    hits = [float(g == p) for g, p in pairs]
    return {
        "shots": SHOTS,
        "limit": LIMIT,
        "request_sha256": hashes,
        "requests_sha256": whole.hexdigest(),
        "cut_documents": cut,
        "logprobs": logprobs,
        "is_greedy": greedy,
        "likeliest_after_context": likeliest[:20],
        "predicted": predicted,
        "acc": sum(hits) / len(hits),
        "acc_stderr": stdev(hits) / math.sqrt(len(hits)),
        "macro_f1": macro_f1(Counter(pairs)),
        "macro_f1_stderr": bootstrap(pairs, macro_f1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "data", "tokenizer", "out"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "sentencepiece": sentencepiece.__version__,
    }
    print(versions)
    encode = sentencepiece.SentencePieceProcessor(model_file=arguments.tokenizer).encode
    scorer = Scorer(arguments.model)
    golden = {"versions": versions, "tasks": {}}
    for task, folder, parse in (("kobest_copa", "COPA", copa), ("kobest_sentineg", "SentiNeg", sentineg)):
        pool, documents = ([parse(row) for row in rows(arguments.data, folder, split)] for split in ("train", "test"))
        golden["tasks"][task] = evaluate(pool, documents, encode, scorer)
    ids = encode(ROLLING_TEXT)
    golden["rolling"] = {"text": ROLLING_TEXT, "tokens": len(ids), "logprob": scorer.rolling(ids)}
    Path(arguments.out).write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
