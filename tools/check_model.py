"""Checks that a model folder means the same to transformers and to kollama.

    python tools/check_model.py --kollama target/release/kollama --model DIR [--base DIR]

Loads the folder in transformers in f32, scores random ids with both, and compares the
log-likelihoods; with --base also checks that the base's embedding rows are bit-identical. Exits with
1 if anything differs by more than 1e-4 relative. Needs torch, transformers, safetensors.
"""

import argparse
import json
import random
import subprocess
import sys

import torch
import transformers
from safetensors import safe_open
import pathlib


def rows(folder, name):
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            if name in file.keys():
                return file.get_tensor(name)
    raise SystemExit(f"{folder}: no tensor {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kollama", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--base")
    flags = parser.parse_args()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    failed = False
    if flags.base:
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            old, new = rows(flags.base, name), rows(flags.model, name)
            same = torch.equal(old.view(torch.uint8), new[: len(old)].contiguous().view(torch.uint8))
            print(f"{'ok ' if same else 'NOT'}  {name}: {len(old)} old rows bit-identical, {len(new)} in all")
            failed |= not same
    model = transformers.AutoModelForCausalLM.from_pretrained(flags.model, dtype=torch.float32).eval()
    draw = random.Random(1)
    vocabulary = model.config.vocab_size
    requests = [{"context_ids": [draw.randrange(vocabulary) for _ in range(draw.randrange(1, 60))],
                 "continuation_ids": [draw.randrange(vocabulary) for _ in range(draw.randrange(1, 8))]}
                for _ in range(50)]
    run = subprocess.run([flags.kollama, "score", "--model", flags.model],
                         input="".join(json.dumps(r) + "\n" for r in requests),
                         text=True, capture_output=True, check=True)
    worst = 0.0
    for request, line in zip(requests, run.stdout.splitlines(), strict=True):
        ids = request["context_ids"] + request["continuation_ids"]
        with torch.no_grad():
            logits = model(torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
        count = len(request["continuation_ids"])
        theirs = sum(logits[len(ids) - 1 - count + i, ids[len(ids) - count + i]].item() for i in range(count))
        worst = max(worst, abs(json.loads(line)["logprob"] - theirs) / abs(theirs))
    failed |= worst > 1e-4
    print(f"{'NOT' if worst > 1e-4 else 'ok '}  50 log-likelihoods, worst relative difference {worst:.1e}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
