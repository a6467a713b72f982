"""Reads the files of `kollama eval --mode lm-eval --out DIR` with lm-evaluation-harness itself.

    python tools/check_result_files.py DIR

Its table maker draws `results.json`, its file names find the samples, `datasets` loads them, and the
scores and hashes of the samples are computed again from their own fields and compared with what
`results.json` says. Needs lm-eval and datasets; prints the versions it ran with.
"""

import argparse
import glob
import json
from importlib.metadata import version
from pathlib import Path

from datasets import load_dataset
from lm_eval.utils import get_file_task_name, hash_string, make_table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    folder = Path(parser.parse_args().folder)
    print({name: version(name) for name in ("lm_eval", "datasets")})
    results = json.loads((folder / "results.json").read_text())
    print(make_table(results))
    if "groups" in results:
        print(make_table(results, "groups"))
    for path in sorted(glob.glob(str(folder / "samples_*.jsonl"))):
        task = get_file_task_name(Path(path).name)
        shots = Path(path).stem.rsplit("_", 1)[1].removesuffix("-shot")
        key = task if task in results["results"] else f"{task}_{shots}_shot"
        samples = load_dataset("json", data_files=path, split="train")
        check(results, key, samples, [json.loads(line) for line in open(path)])
        print(f"{path}: {len(samples)} samples agree with {key}")


def check(results, key, samples, lines):
    whole = []
    for sample, line in zip(samples, lines, strict=True):
        document = json.dumps(line["doc"], indent=2, ensure_ascii=False)
        assert sample["doc_hash"] == hash_string(document)
        assert sample["prompt_hash"] == hash_string(sample["arguments"]["gen_args_0"]["arg_0"])
        assert sample["target_hash"] == hash_string(sample["target"])
        whole.append(sample["doc_hash"] + sample["prompt_hash"] + sample["target_hash"])
    assert results["task_hashes"][key] == hash_string("".join(whole))
    if "acc" in samples.column_names:
        mean = sum(samples["acc"]) / len(samples)
        assert abs(mean - results["results"][key]["acc,none"]) < 1e-12
    assert len(samples) == results["n-samples"][key]["effective"]


if __name__ == "__main__":
    main()
