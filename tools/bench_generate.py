"""Sets `kollama bench generate` beside llama.cpp, transformers and candle: same shape, same machine.

    python tools/random_gguf.py --shape 1b --out GGUF
    RUSTFLAGS=-Ctarget-cpu=native cargo build --release --manifest-path tools/candle/Cargo.toml
    python tools/bench_generate.py --shape 1b --gguf GGUF --kollama target/release/kollama \\
        --candle tools/candle/target/release/candle-side --groups bf16 q8 q4 --rounds 5 [--json]

Every side reads a prompt of 512 tokens, then writes 64 one by one, the likeliest each time, after a run
that is not counted. The sides of a group take turns, a process each, round after round, because the
machine drifts; every measurement goes to standard error, medians are printed at the end. llama.cpp is
called through its C interface as its own bench does, without sampling. Needs numpy, torch, transformers
and llama-cpp-python, built for this processor (`pip install --no-binary llama-cpp-python
llama-cpp-python`, with `CMAKE_ARGS=-DGGML_NATIVE=ON`); sides whose program or file is missing are left out.
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

PROMPT, NEW, VOCABULARY = 512, 64, 46336
IDS = [place * 7919 % VOCABULARY for place in range(PROMPT)]
# Hidden, layers, heads, key heads, intermediate.
SHAPES = {
    "small": (512, 8, 8, 8, 1376),
    "1b": (2048, 22, 32, 4, 5632),
    "7b": (4096, 32, 32, 32, 11008),
}
GROUPS = {
    "f32": ["kollama f32", "transformers f32"],
    "bf16": ["kollama bf16", "llama.cpp BF16", "transformers bf16", "transformers f32"],
    "q8": ["kollama q8", "llama.cpp Q8_0", "candle Q8_0"],
    "q4": ["kollama q4", "llama.cpp Q4_0", "llama.cpp Q4_K_M", "candle Q4_0", "candle Q4_K_M"],
}


def report(reading, writing):
    print(json.dumps({"prefill": PROMPT / reading, "decode": NEW / writing}), flush=True)


def repeat(repeats, read, write):
    """Times `read()` and NEW calls of `write()`, after a shorter run to warm up."""
    read()
    for _ in range(8):
        write()
    for _ in range(repeats):
        begun = time.perf_counter()
        read()
        reading = time.perf_counter() - begun
        begun = time.perf_counter()
        for _ in range(NEW):
            write()
        report(reading, time.perf_counter() - begun)


def run_llama_cpp(path, threads, repeats):
    import ctypes

    import llama_cpp as lib

    silent = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(silent, ctypes.c_void_p(0))
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    parameters = lib.llama_context_default_params()
    parameters.n_ctx, parameters.n_batch, parameters.n_ubatch = 1024, PROMPT, PROMPT
    parameters.n_threads = parameters.n_threads_batch = threads
    context = lib.llama_init_from_model(model, parameters)
    prompt = (lib.llama_token * PROMPT)(*IDS)
    one = (lib.llama_token * 1)(7)

    def decode(tokens, count):
        if lib.llama_decode(context, lib.llama_batch_get_one(tokens, count)) != 0:
            raise SystemExit("llama.cpp could not read the tokens")
        lib.llama_synchronize(context)

    def read():
        lib.llama_memory_clear(lib.llama_get_memory(context), True)
        decode(prompt, PROMPT)

    repeat(repeats, read, lambda: decode(one, 1))


def run_transformers(shape, dtype, threads, repeats):
    import torch
    import transformers

    torch.set_num_threads(threads)
    hidden, layers, heads, key_heads, intermediate = SHAPES[shape]
    config = transformers.LlamaConfig(
        hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=key_heads, vocab_size=VOCABULARY,
        max_position_embeddings=4096, tie_word_embeddings=False, attn_implementation="sdpa",
    )
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
    model = model.to(getattr(torch, dtype)).to_empty(device="cpu").eval()
    # Where memory was never written the angles would be zero.
    model.model.rotary_emb = type(model.model.rotary_emb)(config)
    drawn = torch.empty(VOCABULARY * 16, dtype=getattr(torch, dtype)).uniform_(-0.03, 0.03)
    for name, parameter in model.named_parameters():
        for part in parameter.data.view(-1).split(drawn.numel()):
            part.fill_(1) if "norm" in name else part.copy_(drawn[:part.numel()])
    state = {}

    @torch.inference_mode()
    def step(ids):
        out = model(input_ids=ids, cache=state["cache"], use_cache=True, logits_to_keep=1)
        state["next"] = out.logits[:, -1:].argmax(-1)

    def read():
        state["cache"] = transformers.DynamicCache(config=config)
        step(torch.tensor([IDS]))

    repeat(repeats, read, lambda: step(state["next"]))


def command(side, arguments):
    """What runs a side, or nothing where something is missing."""
    program, kind = side.split()
    threads, repeats = str(arguments.threads), str(arguments.repeats)
    file = arguments.gguf / f"{arguments.shape}-{kind}.gguf" if arguments.gguf else None
    if program == "kollama":
        return [str(arguments.kollama), "bench", "generate", "--shape", arguments.shape, "--weights", kind,
                "--threads", threads, "--repeats", repeats, "--json"]
    if program == "transformers":
        return [sys.executable, __file__, "--serve", program, arguments.shape, "bfloat16" if kind == "bf16" else
                "float32", threads, repeats]
    if not file or not file.exists():
        return None
    if program == "candle":
        return [str(arguments.candle), str(file), threads, repeats] if arguments.candle else None
    return [sys.executable, __file__, "--serve", program, str(file), threads, repeats]


def measure(call, threads):
    """Rates of one process."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads))
    done = subprocess.run(call, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    if "new_tokens_per_second" in found[0]:
        return [{"prefill": found[0]["prompt_tokens_per_second"], "decode": found[0]["new_tokens_per_second"],
                 "kollama": found[0]}]
    return found


def serve(program, what, *rest):
    if program == "llama.cpp":
        run_llama_cpp(what, int(rest[0]), int(rest[1]))
    else:
        run_transformers(what, rest[0], int(rest[1]), int(rest[2]))


def summary(side, rates):
    fields = {"side": side, "rounds": len(rates)}
    for name in ("prefill", "decode"):
        values = [rate[name] for rate in rates]
        fields[name] = round(statistics.median(values), 2)
        fields[name + "_range"] = [round(min(values), 2), round(max(values), 2)]
    extra = [rate["kollama"] for rate in rates if "kollama" in rate]
    shares = ("share_of_product_roof", "share_of_bandwidth", "new_tokens_per_second_of_8", "guessed_tokens_per_second")
    fields.update({name: round(statistics.median(one[name] for one in extra), 3) for name in shares if extra})
    return fields


HEAD = """
| side | prefill tokens/s | share of the product roof | decode tokens/s | share of bandwidth | 8 sequences | guesses come true |
|---|---|---|---|---|---|---|"""


def row(fields):
    """A line of a Markdown table."""
    cells = [fields["side"]]
    for name, share in (("prefill", "share_of_product_roof"), ("decode", "share_of_bandwidth")):
        low, high = fields[name + "_range"]
        cells += [f"{fields[name]:.1f} ({low:.1f}–{high:.1f})", f"{fields[share]:.2f}" if share in fields else ""]
    for name in ("new_tokens_per_second_of_8", "guessed_tokens_per_second"):
        cells.append(f"{fields[name]:.0f}" if name in fields else "")
    return "| " + " | ".join(cells) + " |"


def versions():
    names = ("llama-cpp-python", "torch", "transformers")
    return {name: importlib.metadata.version(name) for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="1b")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=["bf16", "q8", "q4"])
    parser.add_argument("--sides", nargs="+", help="only those whose name begins with one of these")
    parser.add_argument("--gguf", type=pathlib.Path, help="folder of tools/random_gguf.py")
    parser.add_argument("--kollama", type=pathlib.Path, default="target/release/kollama")
    parser.add_argument("--candle", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1, help="measurements of a process in one round")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for group in arguments.groups:
        sides = [side for side in GROUPS[group]
                 if not arguments.sides or side.startswith(tuple(arguments.sides))]
        calls = {side: call for side in sides if (call := command(side, arguments))}
        rates = {side: [] for side in calls}
        for _ in range(arguments.rounds):
            for side, call in calls.items():
                rates[side] += measure(call, arguments.threads)
                print(side, json.dumps(rates[side][-1]), file=sys.stderr, flush=True)
        if not arguments.json:
            print(HEAD)
        for side, found in rates.items():
            fields = summary(side, found)
            if arguments.json:
                print(json.dumps({"group": group, "shape": arguments.shape, **fields, **versions()}), flush=True)
            else:
                print(row(fields), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    else:
        main()
