"""Writes what transformers makes of a Llama tokenizer's config, for the tokenizer's tests.

    python tools/transformers_goldens.py --tokenizer DIR > crates/tokenizer/tests/goldens/transformers.json

DIR holds Llama 2's tokenizer.json and tokenizer_config.json. For each reading (the class LlamaTokenizer
with `legacy` and `add_prefix_space`, and the class that takes the file as it stands) it gives the ids of
some texts, an added piece [tool] among them; and for a tokenizer with several chat templates the files
that save_pretrained writes, and the template that is taken where none is named. Needs transformers.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

import tokenizers
import transformers

TEXTS = ["hi", " hi", "  hi", "hi[tool]there", "hi[tool] there", "[tool]x", "[tool]  x", "a [tool] b",
         "\n hi", "안녕 [tool]안녕", "  ", "▁hi", "x  y   z"]
READINGS = {
    "legacy": {"tokenizer_class": "LlamaTokenizer", "legacy": True},
    "not legacy": {"tokenizer_class": "LlamaTokenizer", "legacy": False},
    "no prefix": {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_prefix_space": False},
    "as the file": {"tokenizer_class": "PreTrainedTokenizerFast"},
}


def opened(source, **config):
    """The tokenizer with another config, and [tool] added."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(f"{source}/tokenizer.json", folder)
        written = json.loads(pathlib.Path(source, "tokenizer_config.json").read_text())
        written.pop("legacy", None)
        pathlib.Path(folder, "tokenizer_config.json").write_text(json.dumps(written | config))
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([transformers.AddedToken("[tool]", normalized=False)])
    return tokenizer


def templates(source):
    """Each way to hold chat templates: the files written, and the template meant."""
    ways = {"one": "{{ 1 }}", "several": {"default": "{{ 2 }}", "tool_use": "{{ 3 }}\n"}}
    for way, held in ways.items():
        for as_files in (True, False):
            tokenizer = opened(source)
            tokenizer.chat_template = held
            with tempfile.TemporaryDirectory() as folder:
                tokenizer.save_pretrained(folder, save_jinja_files=as_files)
                files = {str(path.relative_to(folder)): path.read_text()
                         for path in sorted(pathlib.Path(folder).rglob("*.jinja"))}
                config = json.loads(pathlib.Path(folder, "tokenizer_config.json").read_text())
            yield {"way": way, "files": files, "field": config.get("chat_template"),
                   "meant": tokenizer.get_chat_template()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", required=True)
    source = parser.parse_args().tokenizer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    ids = {name: [opened(source, **config).encode(text, add_special_tokens=False) for text in TEXTS]
           for name, config in READINGS.items()}
    golden = {"versions": f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}",
              "texts": TEXTS, "ids": ids, "templates": list(templates(source))}
    json.dump(golden, sys.stdout, ensure_ascii=False, indent=1)
    print()


if __name__ == "__main__":
    main()
