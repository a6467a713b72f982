"""Whole runs of `kollama eval` beside whole runs of lm-evaluation-harness: the same models, tasks,
documents and shots, in turn. Prints one table of medians.

    python tools/bench_eval.py --kollama target/release/kollama --data DATA --models MODEL… \
        [--tasks mmlu,kobest] [--shots 5] [--limit 20] [--rounds 1] [--threads 2] [--batch-size 8]

lm-evaluation-harness runs its shipped task files on local copies of the data, which DATA holds as the
tests read them: a process of its own that loads no other task files, counts the tokens it hands to the
model, and writes nothing. `kollama eval` is a process of its own as well. Both times contain starting,
loading, tokenizing, scoring and judging. MODEL is a folder that both read, with a tokenizer.

Needs torch, transformers, datasets, lm-eval and zstandard; prints the versions it ran with.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KOBEST = ["kobest_boolq", "kobest_copa", "kobest_hellaswag", "kobest_sentineg", "kobest_wic"]


def local_task_files(task, data, folder):
    """The shipped task files on local data, as the scripts that make goldens write them."""
    import lm_eval

    if task == "mmlu":
        from leaderboard_goldens import shipped_tasks_on_local_data

        shipped = Path(lm_eval.__file__).parent / "tasks"
        shipped_tasks_on_local_data(shipped, data / "open-llm-leaderboard", folder)
    else:
        from korean_goldens import local_tasks

        local_tasks(data, folder)


def run_theirs(options):
    """What the other process does."""
    import torch
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    torch.set_num_threads(options.threads)
    read = 0

    class Counting(HFLM):
        def _model_call(self, inps, *args, **kwargs):
            nonlocal read
            read += inps.numel()
            return super()._model_call(inps, *args, **kwargs)

    model = Counting(
        pretrained=options.theirs, dtype="float32", device="cpu", batch_size=options.batch_size
    )
    manager = TaskManager(include_path=str(options.files), include_defaults=False)
    (task,) = options.tasks
    ran = simple_evaluate(
        model=model,
        tasks=KOBEST if task == "kobest" else [task],
        num_fewshot=options.shots,
        limit=options.limit,
        task_manager=manager,
    )
    accuracies = {name: numbers["acc,none"] for name, numbers in ran["results"].items()}
    print(json.dumps({"tokens": read, "accuracies": accuracies}))


def timed(command):
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-4000:]}")
    return seconds, done


def ours(options, task, model):
    command = [str(options.kollama), "eval", "--model", model, "--tasks", task, "--mode", "lm-eval"]
    command += ["--shots", str(options.shots), "--data", str(options.data), "--json"]
    command += ["--limit", str(options.limit), "--threads", str(options.threads)]
    seconds, done = timed(command)
    (results,) = json.loads(done.stdout)["shots"].values()
    found = {name: numbers["acc"] for name, numbers in results["results"].items()}
    tokens = int(re.search(r"(\d+) tokens read", done.stderr)[1])
    return seconds, tokens, found


def theirs(options, task, model, files):
    command = [sys.executable, __file__, "--theirs", model, "--files", str(files), "--tasks", task]
    for name in ("kollama", "data", "shots", "limit", "threads"):
        command += [f"--{name}", str(getattr(options, name))]
    seconds, done = timed(command + ["--batch-size", options.batch_size])
    found = json.loads(done.stdout.splitlines()[-1])
    return seconds, found["tokens"], found["accuracies"]


def compare(options, task, model, files):
    runs = {"ours": [], "theirs": []}
    for _ in range(options.rounds):
        runs["ours"].append(ours(options, task, model))
        runs["theirs"].append(theirs(options, task, model, files))
    seconds = {side: statistics.median(run[0] for run in side_runs) for side, side_runs in runs.items()}
    tokens = {side: side_runs[0][1] for side, side_runs in runs.items()}
    both = runs["ours"][0][2].keys() & runs["theirs"][0][2].keys()
    apart = [name for name in both if abs(runs["ours"][0][2][name] - runs["theirs"][0][2][name]) > 1e-9]
    ratios = seconds["theirs"] / seconds["ours"], tokens["theirs"] / tokens["ours"]
    print(
        f"| {task} {options.shots}-shot, {options.limit} documents | {Path(model).name} "
        f"| {seconds['ours']:.1f} s | {seconds['theirs']:.1f} s | {ratios[0]:.1f} "
        f"| {tokens['ours']:,} | {tokens['theirs']:,} | {ratios[1]:.1f} "
        f"| {len(both) - len(apart)} of {len(both)} |",
        flush=True,
    )
    for name in apart:
        print(f"  {name}: {runs['ours'][0][2][name]}, not {runs['theirs'][0][2][name]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kollama", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", metavar="MODEL")
    parser.add_argument("--tasks", type=lambda names: names.split(","), default=["mmlu", "kobest"])
    parser.add_argument("--shots", type=int, default=5)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch-size", default="8", help="of lm-evaluation-harness")
    parser.add_argument("--theirs", help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.theirs:
        return run_theirs(options)
    names = ("lm-eval", "transformers", "torch")
    print({"python": platform.python_version()} | {it: importlib.metadata.version(it) for it in names})
    print("| task | model | kollama | lm-eval | times | tokens | tokens there | times | equal accuracies |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for task in options.tasks:
        with tempfile.TemporaryDirectory() as folder:
            local_task_files(task, options.data, Path(folder))
            for model in options.models:
                compare(options, task, model, Path(folder))


if __name__ == "__main__":
    main()
