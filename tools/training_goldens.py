"""Loss curves of PyTorch in f64, which `crates/trainer/tests/against_pytorch.rs` has to follow.

    python tools/training_goldens.py [CASE...]

Needs torch, numpy, safetensors and transformers, and cargo for the initial weights: those are not
stored, since `kollama_llama` makes them again from a seed. For each case two files are written to
crates/trainer/tests/goldens: CASE.jsonl, the rows, and CASE.json, the settings, the losses and
gradient norms of twenty steps in f64, and how far PyTorch's own f32 run is from them.

The model is written out here, in whatever precision it is given, because transformers computes
norms, softmax and loss in f32 even in an f64 model. Its f32 loss is compared with transformers'
before anything is written. Cosines and sines of the rotary embedding are f32, as in transformers.
"""

import json
import platform
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
import transformers

ROOT = Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "crates/trainer/tests/goldens"
STEPS = 20
LENGTH = 32
NOT_COUNTED = -100

SMALL = dict(
    architectures=["LlamaForCausalLM"], model_type="llama", hidden_act="silu",
    hidden_size=32, intermediate_size=88, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=4, head_dim=8, vocab_size=96, max_position_embeddings=64,
    rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=False, initializer_range=0.1,
    bos_token_id=1, eos_token_id=2,
)
KOREAN = SMALL | dict(
    num_key_value_heads=2, vocab_size=46336, num_hidden_layers=1, intermediate_size=64,
)

# What a case changes of the defaults of `kollama train`; every case reads its rows in file order.
CASES = {
    "constant": dict(
        model=SMALL, rows=24,
        settings=dict(batch_size=2, learning_rate=3e-3, weight_decay=0.1),
    ),
    "warmup_cosine_clip": dict(
        model=SMALL | dict(num_key_value_heads=2), rows=24,
        settings=dict(
            batch_size=2, learning_rate=5e-3, weight_decay=0.1, schedule="cosine",
            warmup_steps=5, clip=0.5,
        ),
    ),
    "accumulation": dict(
        model=SMALL, rows=30, masked=True,
        settings=dict(batch_size=2, accumulate=3, learning_rate=3e-3, weight_decay=0.1),
    ),
    "documents": dict(
        model=SMALL, rows=24, documents=True,
        settings=dict(batch_size=2, learning_rate=3e-3, weight_decay=0.1),
    ),
    "new_rows": dict(
        model=SMALL, rows=24,
        settings=dict(
            batch_size=2, learning_rate=1e-2, weight_decay=0.1, train_only="new-rows",
            base_vocab_size=64,
        ),
    ),
    "embeddings": dict(
        model=SMALL, rows=24,
        settings=dict(batch_size=2, learning_rate=1e-2, weight_decay=0.1, train_only="embeddings"),
    ),
    "korean_vocabulary": dict(
        model=KOREAN, rows=16,
        settings=dict(
            batch_size=1, learning_rate=3e-3, weight_decay=0.1, schedule="linear",
            warmup_steps=3, clip=1.0,
        ),
    ),
}
DEFAULTS = dict(
    accumulate=1, schedule="constant", warmup_steps=0, beta1=0.9, beta2=0.95, epsilon=1e-8,
    clip=None, train_only="all", base_vocab_size=0,
)


def make_rows(case, seed):
    """Rows of a noisy walk through the vocabulary, so that there is something to learn."""
    draw = random.Random(seed)
    vocab = case["model"]["vocab_size"]
    rows = []
    for _ in range(case["rows"]):
        ids = [draw.randrange(vocab)]
        while len(ids) < LENGTH + 1:
            follows = (ids[-1] * 31 + 7) % vocab
            ids.append(follows if draw.random() < 0.7 else draw.randrange(vocab))
        ids[draw.randrange(LENGTH)] = vocab - 1
        row = dict(ids=ids[:-1], labels=ids[1:])
        if case.get("masked"):
            share = draw.choice([0.0, 0.1, 0.5, 0.95])
            row["labels"] = [NOT_COUNTED if draw.random() < share else x for x in row["labels"]]
        if case.get("documents"):
            row["documents"] = make_documents(draw)
            for place in range(LENGTH - 1):
                if row["documents"][place] != row["documents"][place + 1]:
                    row["labels"][place] = NOT_COUNTED
            row["labels"][-1] = NOT_COUNTED
        rows.append(row)
    return rows


def make_documents(draw):
    numbers, number = [], draw.randrange(1000)
    while len(numbers) < LENGTH:
        numbers += [number] * draw.choice([1, 2, 5, 9, 14, LENGTH])
        number += 1
    return numbers[:LENGTH]


def initial_weights(config, seed):
    """The tensors that kollama begins with, and transformers' model of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "shape.json").write_text(json.dumps(config))
        command = ["cargo", "run", "--release", "-q", "-p", "kollama-trainer", "--example"]
        arguments = [str(path / "shape.json"), str(seed), str(path / "model")]
        subprocess.run([*command, "initial_weights", "--", *arguments], cwd=ROOT, check=True)
        tensors = safetensors.torch.load_file(path / "model/model.safetensors")
        peer = transformers.LlamaForCausalLM.from_pretrained(
            path / "model", dtype=torch.float32, attn_implementation="eager"
        )
    assert all(tensor.dtype == torch.float32 for tensor in tensors.values())
    return tensors, peer


class Llama:
    """Forward pass of a Llama over a dict of tensors, in their precision."""

    def __init__(self, config, tensors, dtype):
        self.config = config
        self.weights = {name: tensor.to(dtype).clone() for name, tensor in tensors.items()}
        self.dtype = dtype

    def loss_sum(self, rows, weights):
        ids = torch.tensor([row["ids"] for row in rows])
        labels = torch.tensor([row["labels"] for row in rows])
        documents = torch.tensor([row.get("documents", [0] * LENGTH) for row in rows])
        hidden = self.hidden(ids, documents, weights)
        logits = hidden @ weights["lm_head.weight"].T
        return F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=NOT_COUNTED, reduction="sum"
        )

    def hidden(self, ids, documents, weights):
        cos, sin = self.turns(documents)
        same = documents[:, :, None] == documents[:, None, :]
        seen = (same & torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril())[:, None]
        x = weights["model.embed_tokens.weight"][ids]
        for index in range(self.config["num_hidden_layers"]):
            layer = lambda name: weights[f"model.layers.{index}.{name}.weight"]
            x = x + self.attention(self.norm(x, layer("input_layernorm")), layer, cos, sin, seen)
            y = self.norm(x, layer("post_attention_layernorm"))
            gate, up = y @ layer("mlp.gate_proj").T, y @ layer("mlp.up_proj").T
            x = x + (F.silu(gate) * up) @ layer("mlp.down_proj").T
        return self.norm(x, weights["model.norm.weight"])

    def norm(self, x, weight):
        mean_square = x.square().mean(-1, keepdim=True)
        return weight * (x * torch.rsqrt(mean_square + self.config["rms_norm_eps"]))

    def attention(self, x, layer, cos, sin, seen):
        size = self.config["head_dim"]
        heads = lambda y: y.unflatten(-1, (-1, size)).transpose(1, 2)
        group = self.config["num_attention_heads"] // self.config["num_key_value_heads"]
        queries = turned(heads(x @ layer("self_attn.q_proj").T), cos, sin)
        keys = turned(heads(x @ layer("self_attn.k_proj").T), cos, sin)
        values = heads(x @ layer("self_attn.v_proj").T)
        keys, values = (y.repeat_interleave(group, dim=1) for y in (keys, values))
        scores = queries @ keys.transpose(-1, -2) / size**0.5
        shares = scores.masked_fill(~seen, -torch.inf).softmax(-1)
        out = (shares @ values).transpose(1, 2).flatten(-2)
        return out @ layer("self_attn.o_proj").T

    def turns(self, documents):
        """Positions restart in each document; angles in f32 as transformers has them."""
        size = self.config["head_dim"]
        steps = torch.arange(0, size, 2, dtype=torch.int64).float() / size
        frequencies = 1.0 / (self.config["rope_theta"] ** steps)
        positions = torch.zeros_like(documents)
        for place in range(1, documents.shape[1]):
            same = documents[:, place] == documents[:, place - 1]
            positions[:, place] = torch.where(same, positions[:, place - 1] + 1, 0)
        angles = positions[:, None, :, None].float() * frequencies
        angles = torch.cat([angles, angles], -1)
        return angles.cos().to(self.dtype), angles.sin().to(self.dtype)


def turned(x, cos, sin):
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin


def trainable(model, settings):
    """What the optimiser gets, and how a whole set of weights is made of it."""
    embeddings = ("model.embed_tokens.weight", "lm_head.weight")
    first = settings["base_vocab_size"] if settings["train_only"] == "new-rows" else 0
    chosen = model.weights if settings["train_only"] == "all" else embeddings
    learned = {name: model.weights[name][first:].clone().requires_grad_() for name in chosen}

    def whole():
        weights = dict(model.weights)
        for name, rows in learned.items():
            weights[name] = torch.cat([model.weights[name][:first], rows]) if first else rows
        return weights

    return learned, whole


def rate(settings, step):
    peak, warmup = settings["learning_rate"], settings["warmup_steps"]
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, STEPS - warmup)
    if settings["schedule"] == "cosine":
        return peak * (0.1 + 0.9 * 0.5 * (1 + numpy.cos(numpy.pi * progress)))
    return peak * (1 - 0.9 * progress) if settings["schedule"] == "linear" else peak


def train(case, tensors, rows, dtype):
    settings = DEFAULTS | case["settings"]
    model = Llama(case["model"], tensors, dtype)
    learned, whole = trainable(model, settings)
    matrices = [x for name, x in learned.items() if not name.endswith("norm.weight")]
    norms = [x for name, x in learned.items() if name.endswith("norm.weight")]
    groups = [dict(params=matrices), dict(params=norms, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=0.0,
        betas=(settings["beta1"], settings["beta2"]), eps=settings["epsilon"],
        weight_decay=settings["weight_decay"], foreach=False,
    )
    size, micro_batches = settings["batch_size"], settings["accumulate"]
    losses, norms_of_steps = [], []
    for step in range(STEPS):
        first = step * size * micro_batches
        taken = [rows[(first + i) % len(rows)] for i in range(size * micro_batches)]
        counted = sum(label != NOT_COUNTED for row in taken for label in row["labels"])
        optimizer.zero_grad()
        loss = 0.0
        for start in range(0, len(taken), size):
            part = model.loss_sum(taken[start : start + size], whole()) / counted
            part.backward()
            loss += part.item()
        limit = torch.inf if settings["clip"] is None else settings["clip"]
        norm = torch.nn.utils.clip_grad_norm_(learned.values(), limit)
        for group in optimizer.param_groups:
            group["lr"] = rate(settings, step)
        optimizer.step()
        losses.append(loss)
        norms_of_steps.append(norm.item())
    return losses, norms_of_steps


def check_against_transformers(name, case, tensors, peer, rows):
    """The model above is the one transformers has: equal loss in f32, rows without documents."""
    plain = [{**row, "documents": [0] * LENGTH} for row in rows[:2]]
    ours = Llama(case["model"], tensors, torch.float32)
    with torch.no_grad():
        loss = ours.loss_sum(plain, ours.weights).item()
        logits = peer(torch.tensor([row["ids"] for row in plain])).logits
        labels = torch.tensor([row["labels"] for row in plain])
        theirs = F.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=NOT_COUNTED, reduction="sum"
        ).item()
    assert abs(loss - theirs) <= 2e-6 * theirs, f"{name}: {loss} here, {theirs} in transformers"


def gap(found, truth):
    return max(abs(x - y) / abs(y) for x, y in zip(found, truth))


def main():
    versions = dict(
        python=platform.python_version(), torch=torch.__version__,
        transformers=transformers.__version__, safetensors=safetensors.__version__,
        numpy=numpy.__version__,
    )
    print(json.dumps(versions))
    GOLDENS.mkdir(parents=True, exist_ok=True)
    for seed, (name, case) in enumerate(CASES.items(), start=1):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        rows = make_rows(case, seed)
        tensors, peer = initial_weights(case["model"], seed)
        check_against_transformers(name, case, tensors, peer, rows)
        loss, norm = train(case, tensors, rows, torch.float64)
        loss32, norm32 = train(case, tensors, rows, torch.float32)
        gaps = dict(loss=gap(loss32, loss), grad_norm=gap(norm32, norm))
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (GOLDENS / f"{name}.jsonl").write_text(lines)
        golden = dict(
            versions=versions, model=case["model"], seed=seed,
            settings=dict(steps=STEPS, sequence_length=LENGTH, order="sequential")
            | case["settings"],
            first_weights=tensors["model.embed_tokens.weight"].flatten()[:4].tolist(),
            loss=loss, grad_norm=norm, gap_of_torch_f32=gaps,
        )
        (GOLDENS / f"{name}.json").write_text(json.dumps(golden, indent=1) + "\n")
        print(f"{name}: loss {loss[0]:.4f} -> {loss[-1]:.4f}, f32 gap {gaps}")


if __name__ == "__main__":
    main()
