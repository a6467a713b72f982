"""Runs lm-evaluation-harness on the tasks of the Open LLM Leaderboard and writes the numbers the
harness must reproduce: hashes of ids, log-likelihoods, answers, metrics. No text of the data.

    cargo run --release -p kollama-harness --example leaderboard_models -- MODELS
    python tools/leaderboard_goldens.py lm-eval --models MODELS --data DATA --tokenizer TOKENIZER \
        --out crates/harness/tests/goldens/leaderboard_lm_eval.json.zst
    python tools/leaderboard_goldens.py leaderboard-v1 --original CHECKOUT --models MODELS ... \
        --out crates/harness/tests/goldens/leaderboard_v1.json.zst

`lm-eval` takes the tasks that the installed lm-eval ships, pointed at local copies of the data.
`leaderboard-v1` takes the original code: CHECKOUT is a checkout of lm-evaluation-harness at commit
b281b0921b636bc36ad05c0b0b0763bd6dd43463 (its tasks, its evaluator, its model class; modules it
imports for other tasks are replaced by empty ones). DATA holds gsm8k/, truthfulqa/, hellaswag/,
arc/, mmlu/ and winogrande/ as the tests read them. Needs torch, transformers, datasets, scipy and
zstandard; prints and stores the versions it ran with.
"""

import argparse
import hashlib
import importlib
import itertools
import json
import os
import platform
import random
import re
import struct
import sys
import tempfile
import types
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("HF_HOME", tempfile.mkdtemp())

import datasets
import numpy as np
import torch
import transformers
import zstandard

SHOTS = {"arc": 25, "hellaswag": 10, "mmlu": 5, "truthfulqa": 0, "winogrande": 5, "gsm8k": 5, "drop": 3}
WRITTEN_LIMIT = 50


# The local copies in the shape of the Hugging Face data sets.


def unpacked(path):
    return zstandard.ZstdDecompressor().stream_reader(Path(path).read_bytes()).read().decode()


def json_lines(path):
    return [json.loads(line) for line in unpacked(path).split("\n") if line]


def arc_rows(path):
    def row(it):
        choices = it["question"]["choices"]
        return {
            "id": it["id"],
            "question": it["question"]["stem"],
            "choices": {key: [choice[key] for choice in choices] for key in ("text", "label")},
            "answerKey": it["answerKey"],
        }

    return list(map(row, json_lines(path)))


def hellaswag_rows(path):
    """Six lines an item. What follows the last end of a sentence is `ctx_b` where it begins with a
    small letter."""
    lines = unpacked(path).split("\n")
    for at in range(0, len(lines) - 5, 6):
        activity, context = lines[at].split(": ", 1)
        parts = re.match(r"(.*[.!?][\"')\]]*) ([a-z].*)$", context, re.DOTALL)
        last = parts and not re.search(r"[.!?][\"')\]]* ", parts[2])
        a, b = parts.groups() if last else (context, "")
        yield {
            "activity_label": activity,
            "ctx_a": a,
            "ctx_b": b,
            "endings": lines[at + 2 : at + 6],
            "label": lines[at + 1],
        }


def truthfulqa_rows(path):
    def targets(choices):
        return {"choices": list(choices), "labels": list(choices.values())}

    return [
        {"question": it["question"], **{key: targets(it[key]) for key in ("mc1_targets", "mc2_targets")}}
        for it in json.loads(unpacked(path))
    ]


def winogrande_rows(path):
    for it in json_lines(path):
        one, two = it["context_options"]
        start = len(os.path.commonprefix([one, two]).rpartition(" ")[0])
        start += bool(start)
        yield {
            "sentence": one[:start] + "_ " + it["continuation"],
            "option1": one[start:],
            "option2": two[start:],
            "answer": str(it["gold"] + 1),
        }


def mmlu_rows(path):
    return [{**it, "answer": "ABCD".index(it["answer"])} for it in json_lines(path)]


def local_splits(data):
    """Task to split to rows; where there is no train split, another one or none stands for it."""
    mmlu = {split: mmlu_rows(data / f"mmlu/mmlu_{split}.jsonl.zst") for split in ("dev", "test")}
    return {
        "arc": {
            "train": arc_rows(data / "arc/ARC-Challenge-Dev.jsonl.zst"),
            "test": arc_rows(data / "arc/ARC-Challenge-Test.jsonl.zst"),
        },
        "hellaswag": {"validation": list(hellaswag_rows(data / "hellaswag/hellaswag_val_full.txt.zst"))},
        "truthfulqa": {"validation": truthfulqa_rows(data / "truthfulqa/v0_mc_task.json.zst")},
        "winogrande": {"validation": list(winogrande_rows(data / "winogrande/winogrande_dev.llmfoundry.jsonl.zst"))},
        "gsm8k": {split: json_lines(data / f"gsm8k/{split}.jsonl.zst") for split in ("train", "test")},
        "mmlu": mmlu,
        "drop": invented_drop(),
    }


def invented_drop():
    """Passages, questions and answers of every kind that DROP has, made by chance: there is no copy."""
    chance = random.Random(7)
    words = "the a field goals yards 12 3.5 1,200 Smith-Jones touchdown won an in 1987 Paris $5 % run".split()

    def text(least, most):
        return " ".join(chance.choices(words, k=chance.randint(least, most)))

    def answer():
        kind = chance.randrange(4)
        date = {"day": "", "month": "", "year": ""}
        if kind == 1:
            date = {"day": chance.choice(["", "7"]), "month": chance.choice(["", "May"]), "year": "1987"}
        spans = [text(1, 3) for _ in range(chance.randint(1, 3))] if kind > 1 else []
        number = chance.choice(["3", "12", "3.5"]) if kind == 0 else ""
        return {"number": number, "date": date, "spans": spans, "worker_id": "", "hit_id": ""}

    def row(index):
        others = [answer() for _ in range(chance.randrange(3))]
        return {
            "section_id": "",
            "query_id": str(index),
            "passage": text(20, 60),
            "question": text(4, 12) + "?",
            "answer": answer(),
            "validated_answers": {key: [it[key] for it in others] for key in answer()},
        }

    return {"train": [row(i) for i in range(40)], "validation": [row(100 + i) for i in range(20)]}


# What is written down.


def short_hash(context, continuation):
    words = [len(context), *context, len(continuation), *continuation]
    return hashlib.sha256(struct.pack(f"<{len(words)}I", *words)).hexdigest()[:16]


def six_digits(number):
    return float(f"{number:.6g}")


def written_requests(recorded):
    return {
        "requests": [short_hash(context, continuation) for context, continuation, _, _ in recorded],
        "logprobs": [six_digits(logprob) for _, _, logprob, _ in recorded],
        "is_greedy": "".join(str(int(greedy)) for *_, greedy in recorded),
    }


class Recorder:
    """Remembers, by their texts, which ids requests had and how they were answered."""

    def __init__(self):
        self.scored, self.written = {}, {}

    def likelihoods(self, requests, answers):
        for (texts, context, continuation), (logprob, greedy) in zip(requests, answers, strict=True):
            self.scored[texts] = (list(context), list(continuation), logprob, greedy)


# Today's lm-eval.

YAML_FOLDERS = ["arc", "hellaswag", "mmlu/default", "truthfulqa", "winogrande", "gsm8k", "drop"]


def lm_eval_goldens(options):
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    class RecordingLM(HFLM):
        def _loglikelihood_tokens(self, requests, **kwargs):
            answers = super()._loglikelihood_tokens(requests, **kwargs)
            self.recorder.likelihoods(requests, answers)
            return answers

        def tok_batch_encode(self, strings, **kwargs):
            ids, mask = super().tok_batch_encode(strings, **kwargs)
            assert len(strings) == 1, "without padding the ids are the request"
            self.recorder.written[strings[0]] = ids[0].tolist()
            return ids, mask

    def open_model(name):
        lm = RecordingLM(
            pretrained=str(options.models / name),
            tokenizer=str(options.tokenizer),
            device="cpu",
            dtype="float32",
            batch_size=1,
        )
        lm.recorder = Recorder()
        return lm

    def run(lm, name, shots, limit):
        return lm_eval.simple_evaluate(
            model=lm,
            tasks=[name],
            num_fewshot=shots,
            limit=limit,
            task_manager=manager,
            bootstrap_iters=2,
            log_samples=True,
        )

    folder = Path(tempfile.mkdtemp())
    shipped_tasks_on_local_data(Path(lm_eval.__file__).parent / "tasks", options.data, folder)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    tasks, groups = {}, {}
    lm = open_model("choosing")
    for family, name, limit in [
        ("arc", "arc_challenge", 200),
        ("hellaswag", "hellaswag", 200),
        ("truthfulqa", "truthfulqa_mc1", 200),
        ("truthfulqa", "truthfulqa_mc2", 200),
        ("winogrande", "winogrande", 200),
        ("mmlu", "mmlu", 4),
    ]:
        ran = run(lm, name, SHOTS[family], limit)
        for task, samples in ran["samples"].items():
            recorded = []
            for sample in sorted(samples, key=lambda sample: sample["doc_id"]):
                arguments = sample["arguments"].values() if isinstance(sample["arguments"], dict) else sample["arguments"]
                texts = [tuple(it.values()) if isinstance(it, dict) else tuple(it) for it in arguments]
                recorded += [lm.recorder.scored[pair[:2]] for pair in texts]
            tasks[task] = {
                "model": "choosing",
                "shots": SHOTS[family],
                "limit": limit,
                **written_requests(recorded),
                "metrics": measured(ran["results"][task]),
            }
            print(task, len(recorded), tasks[task]["metrics"], flush=True)
        groups.update({name: measured(it) for name, it in ran.get("groups", {}).items()})
    for model in ("writing", "forgetting"):
        lm = open_model(model)
        for name in ("gsm8k", "drop"):
            ran = run(lm, name, SHOTS[name], WRITTEN_LIMIT)
            tasks[f"{name} {model}"] = written_answers(ran["samples"][name], lm, model, SHOTS[name], ran["results"][name])
    return {
        "tasks": tasks,
        "groups": groups,
        "invented": {"drop": invented_drop()},
        "scoring": {"gsm8k": invented_gsm8k(manager), "drop": invented_drop_scores()},
        "versions": {"lm-eval": importlib.metadata.version("lm-eval")},
    }


def shipped_tasks_on_local_data(shipped, data, folder):
    """Copies of the shipped task files whose data set is a local file; nothing else is changed but
    the train split of data that has none here."""
    splits = local_splits(data)
    rows_of = {"arc": "arc", "hellaswag": "hellaswag", "truthfulqa": "truthfulqa", "winogrande": "winogrande"}
    rows_of |= {"gsm8k": "gsm8k", "drop": "drop"}
    for name in YAML_FOLDERS:
        target = folder / name
        target.mkdir(parents=True)
        for path in (shipped / name).iterdir():
            if path.is_dir() or path.name.startswith("gsm8k-"):
                continue
            text = path.read_text()
            if path.suffix == ".py":
                (target / path.name).write_text(text)
                continue
            if path.suffix == ".md" or "truthfulqa_gen" in path.name:
                continue
            subject = re.search(r'"dataset_name": "(.*)"', text)
            text = re.sub(r'(?m)^"?dataset_(path|name)"?:.*\n', "", text)
            if subject or (name in rows_of and "output_type" in text):
                text += data_files(splits[rows_of.get(name, "mmlu")], subject and subject[1], target, path.stem)
            if name in ("hellaswag", "winogrande"):
                text = text.replace("training_split: train", "training_split: null")
            (target / path.name).write_text(text)


def data_files(splits, subject, folder, stem):
    lines = ["", "dataset_path: json", "dataset_kwargs:", "  data_files:"]
    for split, rows in splits.items():
        own = [row for row in rows if subject is None or row["subject"] == subject]
        path = folder / f"{stem}-{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in own))
        lines.append(f"    {split}: {path}")
    return "\n".join(lines) + "\n"


def measured(results):
    named = {key.replace(",none", "").replace(",", " "): value for key, value in results.items()}
    return {key: value for key, value in named.items() if isinstance(value, (int, float)) and "sample" not in key}


def written_answers(samples, lm, model, shots, results):
    samples = sorted(samples, key=lambda sample: (sample["doc_id"], sample["filter"]))
    whole = {sample["doc_id"]: sample for sample in samples}
    texts = [list(it["arguments"].values())[0] if isinstance(it["arguments"], dict) else it["arguments"][0] for it in whole.values()]
    contexts = [next(iter(it.values())) if isinstance(it, dict) else it[0] for it in texts]
    filters = sorted({sample["filter"] for sample in samples})
    golden = {
        "model": model,
        "shots": shots,
        "limit": len(whole),
        "requests": [short_hash(lm.recorder.written[context], []) for context in contexts],
        "answers": [it["resps"][0][0] for it in whole.values()],
        "filtered": {name: [filtered(it) for it in samples if it["filter"] == name] for name in filters},
        "metrics": measured(results),
    }
    print(model, golden["metrics"], golden["answers"][:3], flush=True)
    return golden


def filtered(sample):
    found = sample["filtered_resps"]
    return found[0] if isinstance(found, list) else found


def invented_answers(numbers):
    """Texts that look like answers of GSM8K, good and bad, around given numbers."""
    chance = random.Random(11)
    frames = ["#### {}", "so 3 + 4 = {}.", "It is $ {}.\n#### {}\n", "#### {}.", "####{}", "{} #### -{}", "####  {}", "... {} ,,", "A.{}-{}"]
    frames += ["#### {},", "#### {}\n#### 7", "no number", "", "#### .", "$.", "x{}y", "#### {}.00", "#### ${}", "(-{})", "٣ {}", "#### ٣"]
    for number in numbers:
        for frame in frames:
            other = chance.choice([number, "1,234", "-5", "0.50", "12"])
            yield frame.replace("{}", other if chance.random() < 0.3 else number)


def invented_gsm8k(manager):
    """What today's filters and its exact match say of invented answers, with their targets."""
    task = manager.load("gsm8k")["tasks"]["gsm8k"] if hasattr(manager, "load") else manager.load_task_or_group("gsm8k")["gsm8k"]
    cases = []
    for target in ["18", "1,234", "-5", "0.50"]:
        for answer in invented_answers([target, "77"]):
            case = {"target": f"Some words 5.\n#### {target}", "answer": answer}
            for ensemble in task._filters:
                instance = types.SimpleNamespace(resps=[answer], doc={}, filtered_resps={})
                ensemble.apply([instance])
                found = instance.filtered_resps[ensemble.name]
                hit = task.process_results({"question": "?", "answer": case["target"]}, [found])
                case[ensemble.name] = [found, float(hit["exact_match"])]
            cases.append(case)
    return cases


DROP_SPANS = [
    "the 12 yards", "12", "12.0", "1,200", "1200", "Smith-Jones", "smith jones", "a", "an the", "", "  ", "$5", "5%", "5", "3.5 %", "won in 1987",
    "1987", "in 1987 won", "inf", "nan", "1e3", "1_000", "+7", "7", "x-1", "-1", "theatre", "a-b c", "É", "é", "ﬁ", "0x10", "½", "٣", "infinity",
    "9007199254740993", "1e16", "1e-5", "0.00001234", "123456789012345678", ".5", "5.", "the the", "th’e", "a.b", "12\u00a0yards",
    "new\tline", "1\n2", "“quoted”", "don't", "U.S.", "7 May 1987", "-", "--", "1e400", "-0", "100000000000000000000000", "Ǆ", "İ",
]


def invented_drop_scores():
    """What the scoring of DROP says of pairs of invented answers; several spans on either side."""
    from lm_eval.tasks.drop import utils

    chance = random.Random(5)
    normal = [[span, utils._normalize(span)] for span in DROP_SPANS]
    pairs = list(itertools.product(DROP_SPANS, DROP_SPANS))
    chance.shuffle(pairs)
    cases = []
    for index, (predicted, gold) in enumerate(pairs[:1200]):
        golds = [[gold] + chance.choices(DROP_SPANS, k=chance.choice([0, 0, 1, 2, 3]))]
        golds += [chance.choices(DROP_SPANS, k=chance.choice([1, 2])) for _ in range(index % 3)]
        scores = utils.process_results({"answers": [tuple(it) for it in golds]}, [predicted])
        cases.append([predicted, golds, float(scores["em"]), float(scores["f1"])])
    return {"normal": normal, "cases": cases}


# The original code of the leaderboard.

LEADERBOARD_TASKS = [
    ("arc", "arc", "ARCChallenge", "arc_challenge", 40),
    ("hellaswag", "hellaswag", "HellaSwag", "hellaswag", 40),
    ("truthfulqa", "truthfulqa", "TruthfulQAMultipleChoice", "truthfulqa_mc", 40),
    ("winogrande", "winogrande", "Winogrande", "winogrande", 60),
    ("mmlu", "hendrycks_test", None, "hendrycksTest-", 2),
    ("gsm8k", "gsm8k", "GradeSchoolMath8K", "gsm8k", 25),
    ("drop", "drop", "DROP", "drop", 20),
]


def leaderboard_goldens(options):
    sys.path.insert(0, str(options.original))
    needed = transformers.PreTrainedModel, transformers.AutoModelForCausalLM, transformers.AutoTokenizer
    assert all(needed), "they look for peft before it is replaced"
    for name in ["peft", "bleurt", "omegaconf"]:
        sys.modules[name] = empty_module(name)
    for name in ["lm_eval.tasks", "lm_eval.models", "lm_eval.datasets", "lm_eval.datasets.drop", "lm_eval.datasets.drop.drop"]:
        sys.modules[name] = empty_module(name)
    for name in ["tasks", "models"]:
        sys.modules[f"lm_eval.{name}"].__path__ = [str(options.original / "lm_eval" / name)]
    sys.modules["lm_eval.datasets.drop.drop"].__file__ = __file__
    import lm_eval

    lm_eval.datasets = sys.modules["lm_eval.datasets"]
    lm_eval.datasets.drop = sys.modules["lm_eval.datasets.drop"]
    lm_eval.datasets.drop.drop = sys.modules["lm_eval.datasets.drop.drop"]
    import lm_eval.base
    import lm_eval.evaluator
    huggingface = importlib.import_module("lm_eval.models.huggingface")
    del sys.modules["peft"]

    splits = local_splits(options.data)

    def open_model(name):
        """The class of the leaderboard; only its constructor, which knows an older transformers, is
        passed over."""
        lm = object.__new__(huggingface.AutoCausalLM)
        lm_eval.base.LM.__init__(lm)
        lm.batch_schedule, lm.batch_sizes = 1, {}
        lm._batch_size, lm._max_length, lm._max_gen_toks = 1, None, 256
        lm._add_special_tokens, lm._device = None, torch.device("cpu")
        lm.model = transformers.AutoModelForCausalLM.from_pretrained(options.models / name, dtype=torch.float32).eval()
        lm._config = lm.model.config
        lm.tokenizer = transformers.AutoTokenizer.from_pretrained(options.tokenizer)
        lm.tokenizer.pad_token, lm.tokenizer.padding_side = lm.tokenizer.eos_token, "left"
        lm.recorder = Recorder()
        answer, encode = lm._loglikelihood_tokens, lm.tok_encode_batch

        def recorded_likelihoods(requests, **kwargs):
            answers = answer(requests, **kwargs)
            lm.recorder.likelihoods(requests, answers)
            return answers

        def recorded_batch(strings):
            encoded = encode(strings)
            kept = encoded["input_ids"][:, lm.max_gen_toks - lm.max_length :]
            assert len(strings) == 1, "without padding the ids are the request"
            lm.recorder.written[strings[0]] = kept[0].tolist()
            return encoded

        lm._loglikelihood_tokens, lm.tok_encode_batch = recorded_likelihoods, recorded_batch
        torch.set_grad_enabled(False)
        return lm

    def task_of(module, name, rows):
        made = getattr(importlib.import_module(f"lm_eval.tasks.{module}"), name)
        overridden = {"download": lambda self, *_: setattr(self, "dataset", {k: list(v) for k, v in rows.items()})}
        if not {"train", "dev"} & set(rows):
            overridden["has_training_docs"] = lambda self: False
        return type(name, (made,), overridden)

    tasks = {}
    for family, module, cls, name, limit in LEADERBOARD_TASKS:
        rows = splits[family]
        named = {}
        if family == "mmlu":
            made = importlib.import_module("lm_eval.tasks.hendrycks_test")
            for subject in made.SUBJECTS:
                own = {split: [row for row in rows[split] if row["subject"] == subject] for split in rows}
                named[name + subject] = task_of(module, "GeneralHendrycksTest", own)(subject)
        else:
            named[name] = task_of(module, cls, rows)()
        written = family in ("gsm8k", "drop")
        for model in ("writing", "forgetting") if written else ("choosing",):
            lm = open_model(model)
            texts = {key: [] for key in named}
            for key, task in named.items():
                record_requests(task, texts[key])
            ran = lm_eval.evaluator.evaluate(lm=lm, task_dict=named, num_fewshot=SHOTS[family], limit=limit, bootstrap_iters=2)
            for key in named:
                golden = {"model": model, "shots": SHOTS[family], "limit": limit}
                if written:
                    contexts = [pair[0] for pair in texts[key]]
                    golden["requests"] = [short_hash(lm.recorder.written[context], []) for context in contexts]
                    golden["answers"] = named[key].answers
                else:
                    golden |= written_requests([lm.recorder.scored[pair] for pair in texts[key]])
                golden["metrics"] = {k: float(v) for k, v in ran["results"][key].items()}
                tasks[f"{key} {model}" if written else key] = golden
                print(key, model, golden["metrics"], golden.get("answers", [])[:3], flush=True)
    return {"tasks": tasks, "versions": {"original": "b281b0921b636bc36ad05c0b0b0763bd6dd43463"}}


def record_requests(task, texts):
    """Notes the texts of a task's requests in their order, and the answers it is given."""
    construct, process = task.construct_requests, task.process_results
    task.answers = []

    def recorded(doc, context):
        made = construct(doc, context)
        texts.extend(tuple(it.args) for it in (made if isinstance(made, (list, tuple)) else [made]))
        return made

    def noted(doc, results):
        task.answers.append(results[0])
        return process(doc, results)

    task.construct_requests, task.process_results = recorded, noted


def empty_module(name):
    module = types.ModuleType(name)
    module.__version__ = "0"
    module.__getattr__ = lambda attribute: type(attribute, (), {}) if attribute[0] != "_" else (_ for _ in ()).throw(AttributeError(attribute))
    return module


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["lm-eval", "leaderboard-v1"])
    for name in ("models", "data", "tokenizer", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--original", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    golden = lm_eval_goldens(options) if options.mode == "lm-eval" else leaderboard_goldens(options)
    golden["versions"] |= {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "datasets": datasets.__version__,
        "numpy": np.__version__,
    }
    print(golden["versions"])
    text = json.dumps(golden, ensure_ascii=False)
    options.out.write_bytes(zstandard.ZstdCompressor(level=19).compress(text.encode()))
    print(options.out, options.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
