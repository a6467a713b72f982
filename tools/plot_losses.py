"""Losses of two runs over their steps as one SVG, and how far apart they end.

    python tools/plot_losses.py F32/train.jsonl BF16/train.jsonl OUT.svg

Each argument is the log of a run of `kollama train`, the one with f32 first. Prints one JSON object:
the mean loss of the last twenty steps of both and their relative distance. Needs matplotlib.
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

LAST = 20


def losses(path):
    lines = Path(path).read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def plot(f32, bf16, out):
    # Text as text and fixed names keep the file small and the same from one run to the next.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "kollama", "font.size": 9})
    figure, (above, below) = plt.subplots(
        2, 1, sharex=True, figsize=(7, 4.5), height_ratios=[3, 1], layout="constrained"
    )
    steps = range(1, len(f32) + 1)
    above.plot(steps, f32, label="f32", linewidth=1.6, color="#999999")
    above.plot(steps, bf16, label="bf16", linewidth=0.8, color="#c03030")
    above.set_ylabel("loss, nats a token")
    above.legend(frameon=False)
    apart = [100 * (b / f - 1) for f, b in zip(f32, bf16)]
    below.plot(steps, apart, linewidth=0.8, color="#c03030")
    below.axhline(0, linewidth=0.6, color="#999999")
    below.set_ylabel("bf16 − f32, %")
    below.set_xlabel("step")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, metadata={"Date": None, "Creator": None})


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    f32, bf16 = losses(sys.argv[1]), losses(sys.argv[2])
    assert len(f32) == len(bf16), f"{len(f32)} steps beside {len(bf16)}"
    plot(f32, bf16, sys.argv[3])
    ends = [sum(run[-LAST:]) / LAST for run in (f32, bf16)]
    print(json.dumps(dict(steps=len(f32), f32=ends[0], bf16=ends[1], apart=ends[1] / ends[0] - 1)))


if __name__ == "__main__":
    main()
