"""Goldens of the model: logits, loss and gradients of tiny Llamas, computed by transformers in f64.

    cargo run --release -p kollama-llama --example init_folder -- grouped grouped
    python tools/llama_goldens.py grouped crates/llama/tests/goldens/grouped.json

Packed rows are computed document by document, which is what "attention stays inside a document and
positions restart" means. With one argument, prints a digest of the f32 logits of any model folder.
"""

import json
import pathlib
import platform
import sys

import numpy
import torch
import transformers

LENGTHS = {"grouped": [24], "tied": [24], "packed": [9, 1, 14]}


def tokens(count, vocab_size):
    return [(7 * t * t + 3 * t + 1) % vocab_size for t in range(count)]


def load(folder, dtype):
    model = transformers.LlamaForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager"
    )
    return model.eval()


def sampled(gradient):
    flat = gradient.flatten()
    places = [0, len(flat) // 3, 2 * len(flat) // 3, len(flat) - 1]
    return {
        "norm": flat.norm().item(),
        "values": {str(place): flat[place].item() for place in places},
    }


def golden(folder, case):
    model = load(folder, torch.float64)
    lengths = LENGTHS[case]
    ids = tokens(sum(lengths), model.config.vocab_size)
    labels, logits, loss, start = [], [], 0.0, 0
    for length in lengths:
        document = ids[start : start + length]
        start += length
        labels += document[1:] + [-100]
        out = model(torch.tensor([document])).logits[0]
        logits += out.tolist()
        wanted = torch.tensor(document[1:], dtype=torch.long)
        loss = loss + torch.nn.functional.cross_entropy(out[:-1], wanted, reduction="sum")
    loss.backward()
    gradients = {name: sampled(p.grad) for name, p in model.named_parameters()}
    return {
        "made_with": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "ids": ids,
        "lengths": lengths,
        "labels": labels,
        "loss": loss.item(),
        "logits": [[float(f"{x:.8g}") for x in row] for row in logits],
        "gradients": gradients,
    }


def digest(folder):
    model = load(folder, torch.float32)
    with torch.no_grad():
        logits = model(torch.tensor([tokens(24, model.config.vocab_size)])).logits[0]
    return {"shape": list(logits.shape), "rows": numpy.asarray(logits, dtype=float).tolist()}


if __name__ == "__main__":
    folder = sys.argv[1]
    if len(sys.argv) == 2:
        print(json.dumps(digest(folder)))
    else:
        out = pathlib.Path(sys.argv[2])
        made = golden(folder, out.stem)
        print(made["made_with"])
        out.write_text(json.dumps(made, separators=(",", ":")) + "\n")
