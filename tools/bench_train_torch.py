"""Speed and memory of PyTorch's training step, the figure `kollama bench train` is set beside.

    python tools/bench_train_torch.py [--threads N] [--repeats N] [--compile] [--dtype f32|bf16|autocast]

Llama of 72.8M parameters (hidden 512, 8 layers, 8 heads, intermediate 1376, 46,336 pieces, untied),
4 rows of 512 tokens, transformers' LlamaForCausalLM with sdpa attention, fused AdamW. Prints one JSON
object; its speed is the median of the repeats after two steps to warm up. `bf16` keeps weights, gradients
and moments in bf16; `autocast` keeps them in f32 and multiplies in bf16. Needs torch and transformers.
"""

import argparse
import json
import platform
import resource
import statistics
import time

import torch
import transformers

ROWS, LENGTH = 4, 512


def make_model():
    config = transformers.LlamaConfig(
        hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=8, vocab_size=46336, max_position_embeddings=2048,
        tie_word_embeddings=False, use_cache=False, attn_implementation="sdpa",
    )
    torch.manual_seed(1)
    return transformers.LlamaForCausalLM(config).train()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--dtype", choices=["f32", "bf16", "autocast"], default="f32")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = make_model()
    if arguments.dtype == "bf16":
        model.bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), fused=True)
    ids = torch.randint(0, 46336, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))

    forward = torch.compile(model) if arguments.compile else model

    def step():
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.dtype == "autocast"):
            loss = forward(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        loss.item()
        return time.perf_counter() - begin

    step()
    step()
    seconds = [step() for _ in range(arguments.repeats)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({
        "tokens_per_second": ROWS * LENGTH / statistics.median(seconds),
        "best_tokens_per_second": ROWS * LENGTH / min(seconds),
        "peak_rss_bytes": peak,
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "compile": arguments.compile,
        "dtype": arguments.dtype,
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }))


if __name__ == "__main__":
    main()
