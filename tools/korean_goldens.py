"""Runs the two reference harnesses on the Korean tasks and writes down what ours must reproduce.

Nothing of a protocol stands in this file: documents, shots, prompts, ids, cuts, scores, metrics and
standard errors are those of the harness that is run, through its own code. What stands here is how
the data gets into it and how its requests are recorded as they reach the model.

    cargo run --release -p kollama-harness --example golden_model -- MODEL
    python tools/korean_goldens.py polyglot --model MODEL --data DATA --code CHECKOUT \
        --out crates/harness/tests/goldens/korean_polyglot.json.zst
    python tools/korean_goldens.py lm-eval --model MODEL --data DATA \
        --out crates/harness/tests/goldens/korean_lm_eval.json.zst

CHECKOUT holds the folder `lm_eval` of the polyglot branch at 1f66adc (July 2023), the last state
before the model card was made. DATA holds `kobest`, `nsmc` and `llama2-tokenizer`. Needs torch,
transformers, zstandard, and lm-eval 0.4.13 or the packages that the checkout imports; the versions
are stored. The output holds hashes of token ids and numbers, no text of the data.
"""

import argparse
import csv
import functools
import hashlib
import importlib.metadata
import io
import json
import multiprocessing
import multiprocessing.dummy
import platform
import struct
import sys
import tempfile
import types
from collections import Counter
from pathlib import Path

import torch
import transformers
import zstandard

LIMIT = 200
SHOTS = (0, 5)
# Most prompts of five shots fit, those of BoolQ, HellaSwag and WiC do not.
WINDOW = 640
# The polyglot branch takes minutes for the 100,000 that are usual.
BOOTSTRAP_ITERATIONS = 10_000
KOBEST = {
    "kobest_boolq": ("BoolQ", {"paragraph": "Text", "question": "Question"}, "Answer"),
    "kobest_copa": (
        "COPA",
        {"premise": "sentence", "question": "question", "alternative_1": "1", "alternative_2": "2"},
        "Answer",
    ),
    "kobest_hellaswag": (
        "HellaSwag",
        {"context": "context", **{f"ending_{n}": f"choice{n}" for n in range(1, 5)}},
        "label",
    ),
    "kobest_sentineg": ("SentiNeg", {"sentence": "Text"}, "Label"),
    "kobest_wic": (
        "WiC",
        {"word": "Target", "context_1": "SENTENCE1", "context_2": "SENTENCE2"},
        "ANSWER",
    ),
}


def table(path, **form):
    text = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read().decode("utf-8")
    return csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", **form)


def label_of(task, text):
    if task in ("kobest_boolq", "kobest_wic"):
        return {"false": 0, "true": 1}[text.lower()]
    return int(text) - 1 if task == "kobest_copa" else int(text)


def kobest(data, task, split):
    """A split under the column names of the hub."""
    folder, columns, label = KOBEST[task]
    rows = table(data / "kobest" / folder / f"{split}.tsv.zst", quoting=csv.QUOTE_NONE)
    return [
        {name: row[column] for name, column in columns.items()} | {"label": label_of(task, row[label])}
        for row in rows
    ]


def nsmc(data, split):
    rows = table(data / "nsmc" / f"ratings_{split}.txt.zst")
    return [{"document": row["document"], "label": int(row["label"])} for row in rows]


class Recorder:
    """What reached the model, and what it answered, in the order of the requests."""

    def __init__(self):
        self.requests, self.logprobs = [], []

    def note(self, requests, answers):
        for (_, context, continuation), (logprob, _) in zip(requests, answers):
            words = [len(context), *context, len(continuation), *continuation]
            self.requests.append(struct.pack(f"<{len(words)}I", *words))
            self.logprobs.append(round(float(logprob), 4))

    def golden(self, metrics):
        hashes = " ".join(hashlib.sha256(request).hexdigest()[:16] for request in self.requests)
        metrics = {key: float(value) for key, value in metrics.items()}
        golden = {"requests": hashes, "logprobs": self.logprobs, "metrics": metrics}
        self.__init__()
        return golden


def ints(pair):
    return int(pair[0]), int(pair[1])


def remembered(metric):
    """The same metric, computed once for each collection of pairs: it does not see their order."""
    known = {}

    @functools.wraps(metric)
    def look_up(pairs):
        key = frozenset(Counter(map(ints, pairs)).items())
        if key not in known:
            known[key] = metric(pairs)
        return known[key]

    return look_up


def import_polyglot(code):
    """The modules that are needed; the package's own list of tasks would import a hundred more."""
    sys.path.insert(0, str(code))
    sys.modules["omegaconf"] = types.SimpleNamespace(OmegaConf=None)
    import lm_eval

    for name in ("tasks", "models"):
        module = types.ModuleType(f"lm_eval.{name}")
        module.__path__ = [str(code / "lm_eval" / name)]
        sys.modules[module.__name__] = module
        setattr(lm_eval, name, module)
    import lm_eval.metrics

    # Resamples of 200 documents are alike often: threads share what they remember.
    multiprocessing.Pool = multiprocessing.dummy.Pool
    lm_eval.metrics.macro_f1_score = remembered(lm_eval.metrics.macro_f1_score)
    import lm_eval.base
    import lm_eval.evaluator
    import lm_eval.tasks.kobest
    import lm_eval.tasks.nsmc

    return lm_eval


def polyglot_model(lm_eval, arguments, recorder):
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    # Today's AutoTokenizer makes another one for Llama; in 2023 it was what this file says.
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(arguments.data / "llama2-tokenizer" / "tokenizer.json"),
        eos_token="</s>",
    )

    class Model(lm_eval.base.BaseLM):
        eot_token_id = tokenizer.eos_token_id
        max_length = WINDOW
        max_gen_toks = 256
        batch_size = 1
        device = "cpu"

        def tok_encode(self, string):
            return tokenizer.encode(string, add_special_tokens=False)

        def tok_decode(self, tokens):
            return tokenizer.decode(tokens)

        def greedy_until(self, requests):
            raise NotImplementedError

        def _model_generate(self, context, max_length, eos_token_id):
            raise NotImplementedError

        @torch.no_grad()
        def _model_call(self, inps):
            return model(inps).logits

        def _loglikelihood_tokens(self, requests, **options):
            answers = super()._loglikelihood_tokens(requests, **options)
            recorder.note(requests, answers)
            return answers

    return Model()


def polyglot(arguments):
    lm_eval = import_polyglot(arguments.code)
    recorder = Recorder()
    model = polyglot_model(lm_eval, arguments, recorder)
    lm_eval.base.Task.download = lambda self, *_: None
    classes = {
        "kobest_boolq": lm_eval.tasks.kobest.BoolQ,
        "kobest_copa": lm_eval.tasks.kobest.COPA,
        "kobest_hellaswag": lm_eval.tasks.kobest.HellaSwag,
        "kobest_sentineg": lm_eval.tasks.kobest.SentiNeg,
        "kobest_wic": lm_eval.tasks.kobest.WiC,
        "nsmc": lm_eval.tasks.nsmc.NSMC,
    }
    for name, make in classes.items():
        read = nsmc if name == "nsmc" else functools.partial(kobest, task=name)
        dataset = {split: read(arguments.data, split=split) for split in ("train", "test")}
        for shots in SHOTS:
            task = make()
            task.dataset = dataset
            results = lm_eval.evaluator.evaluate(
                lm=model,
                task_dict={name: task},
                num_fewshot=shots,
                limit=LIMIT,
                bootstrap_iters=BOOTSTRAP_ITERATIONS,
            )
            yield name, shots, recorder.golden(results["results"][name])


def local_tasks(data, folder):
    """The shipped task files, reading local copies of their data."""
    import lm_eval.tasks

    shipped = Path(lm_eval.tasks.__file__).parent / "kobest"
    (folder / "utils.py").write_text((shipped / "utils.py").read_text())
    for name in KOBEST:
        files = {}
        for split, stem in (("train", "train"), ("validation", "dev"), ("test", "test")):
            files[split] = str(folder / f"{name}_{split}.jsonl")
            rows = (json.dumps(row, ensure_ascii=False) for row in kobest(data, name, stem))
            Path(files[split]).write_text("\n".join(rows) + "\n")
        lines = (shipped / f"{name}.yaml").read_text().splitlines()
        kept = [line for line in lines if not line.startswith(("dataset_path", "dataset_name"))]
        own = ["dataset_path: json", f"dataset_kwargs: {json.dumps({'data_files': files})}"]
        (folder / f"{name}.yaml").write_text("\n".join(own + kept) + "\n")


def today(arguments):
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    recorder = Recorder()

    class Model(HFLM):
        def _loglikelihood_tokens(self, requests, **options):
            answers = super()._loglikelihood_tokens(requests, **options)
            recorder.note(requests, answers)
            return answers

    model = Model(
        pretrained=str(arguments.model),
        tokenizer=str(arguments.data / "llama2-tokenizer"),
        dtype="float32",
        max_length=WINDOW,
        batch_size=4,
        device="cpu",
    )
    with tempfile.TemporaryDirectory() as folder:
        local_tasks(arguments.data, Path(folder))
        manager = TaskManager(include_path=folder, include_defaults=False)
        for name in KOBEST:
            for shots in SHOTS:
                results = lm_eval.simple_evaluate(
                    model=model,
                    tasks=[name],
                    num_fewshot=shots,
                    limit=LIMIT,
                    bootstrap_iters=BOOTSTRAP_ITERATIONS,
                    task_manager=manager,
                )
                metrics = results["results"][name].items()
                numbers = {key.split(",")[0]: v for key, v in metrics if isinstance(v, float)}
                yield name, shots, recorder.golden(numbers)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=("polyglot", "lm-eval"))
    for name in ("model", "data", "out"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--code", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    packages = ["torch", "transformers", "tokenizers"] + ["lm-eval"] * (arguments.mode == "lm-eval")
    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in packages}
    if arguments.mode == "polyglot":
        versions["lm-evaluation-harness"] = "polyglot branch at 1f66adc"
    print(versions)
    golden = {"versions": versions, "limit": LIMIT, "window": WINDOW}
    golden |= {"bootstrap_iterations": BOOTSTRAP_ITERATIONS, "tasks": []}
    for name, shots, found in (polyglot if arguments.mode == "polyglot" else today)(arguments):
        print(name, shots, found["metrics"], flush=True)
        golden["tasks"].append({"task": name, "shots": shots} | found)
        save(golden, arguments.out)


def save(golden, path):
    text = json.dumps(golden, separators=(",", ":")).encode()
    path.write_bytes(zstandard.ZstdCompressor(level=19).compress(text))


if __name__ == "__main__":
    main()
