"""Standard errors of metrics as lm-evaluation-harness and CPython compute them, for the harness to
reproduce.

Right and predicted labels come from a small generator that the test repeats in Rust (`x` becomes
`x * 1103515245 + 12345 mod 2**31`, its upper bits are used), so the file holds numbers only. The
bootstrap is the function of lm-evaluation-harness itself, with macro F1 counted by hand here (the
same numbers as scikit-learn's in a fraction of the time; checked on the whole task).

    python tools/bootstrap_goldens.py --out crates/harness/tests/goldens/bootstrap.json

Needs lm-eval and scikit-learn; prints the versions it ran with. Takes minutes.
"""

import argparse
import json
import platform
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import lm_eval.api.metrics as reference
from sklearn.metrics import f1_score

# Documents, labels, resamples, percent of documents that are predicted right on purpose.
TASKS = ((10, 2, 2500, 60), (397, 2, 100_000, 70), (500, 4, 100_000, 40), (1404, 2, 20_000, 0))


def pairs_of(documents, labels, right):
    state, pairs = documents, []

    def draw(bound):
        nonlocal state
        state = (state * 1103515245 + 12345) % 2**31
        return (state >> 16) % bound

    for _ in range(documents):
        gold = draw(labels)
        other = draw(labels)
        pairs.append((gold, gold if draw(100) < right else other))
    return pairs


def macro_f1(pairs):
    """`pairs` counts (gold, predicted)."""
    pairs = Counter(pairs)
    labels = sorted({gold for gold, _ in pairs} | {predicted for _, predicted in pairs})
    total = 0.0
    for label in labels:
        hits = pairs[label, label]
        right = sum(count for (gold, _), count in pairs.items() if gold == label)
        predicted = sum(count for (_, guess), count in pairs.items() if guess == label)
        total += 2 * hits / (right + predicted)
    return total / len(labels)


def golden(documents, labels, resamples, right):
    pairs = pairs_of(documents, labels, right)
    value = macro_f1(pairs)
    gold, predicted = zip(*pairs)
    assert abs(value - f1_score(gold, predicted, average="macro")) < 1e-12
    hits = [float(gold == predicted) for gold, predicted in pairs]
    return {
        "documents": documents,
        "labels": labels,
        "resamples": resamples,
        "right": right,
        "acc": reference.mean(hits),
        "acc_stderr": reference.mean_stderr(hits),
        "macro_f1": value,
        "macro_f1_stderr": reference.bootstrap_stderr(macro_f1, pairs, resamples),
    }


def groups():
    """Aggregation over subtasks, with and without weights by size."""
    values, errors, sizes = [0.25, 0.5, 0.875], [0.03, 0.01, 0.02], [100, 270, 1404]
    return {
        "values": values,
        "errors": errors,
        "sizes": sizes,
        "by_size": reference.aggregate_subtask_metrics(values, sizes, True),
        "plain": reference.aggregate_subtask_metrics(values, sizes, False),
        "stderr_by_size": float(reference.pooled_sample_stderr(errors, sizes)),
        "stderr_plain": float(reference.unweighted_mean_stderr(errors)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    versions = {
        "python": platform.python_version(),
        "lm_eval": version("lm_eval"),
        "scikit-learn": version("scikit-learn"),
    }
    print(versions)
    goldens = {"versions": versions, "tasks": [golden(*task) for task in TASKS], "groups": groups()}
    Path(arguments.out).write_text(json.dumps(goldens, indent=1) + "\n")


if __name__ == "__main__":
    main()
