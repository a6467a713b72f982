"""Writes small sound inputs for every fuzz target.

    python fuzz/seeds.py

They go to fuzz/corpus/TARGET, where cargo fuzz looks for them. The targets add the 256 byte pieces
themselves. Needs nothing but Python.
"""

import itertools
import json
import pathlib
import struct

REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
PREPEND = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, REPLACE]}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
TEMPLATE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
PIECES = ["a", "b", "▁", "안", "녕", "ab", "▁a", "안녕", "aba", "▁ab"]


def metaspace(scheme):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}


def splits(piece):
    return [(piece[:at], piece[at:]) for at in range(1, len(piece))
            if piece[:at] in PIECES and piece[at:] in PIECES]


def document(normalizer, pre_tokenizer, strips, added, pairs):
    vocab = {text: id for id, text in enumerate(["<unk>", "<s>", "</s>", *PIECES])}
    merges = [pair for piece in PIECES for pair in splits(piece)]
    listed = [(id, text, True) for id, text in enumerate(["<unk>", "<s>", "</s>"])] + added
    decoders = [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"}] + [STRIP] * strips
    return {
        "version": "1.0",
        "added_tokens": [{"id": id, "content": text, "single_word": False,
                          "lstrip": pairs and not special, "rstrip": False,
                          "normalized": pairs and not special, "special": special}
                         for id, text, special in listed],
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": TEMPLATE,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
                  "vocab": vocab, "merges": [list(m) if pairs else " ".join(m) for m in merges]},
    }


def json_seeds():
    forms = [(PREPEND, None, True), (REPLACE, None, False), (None, metaspace("first"), True),
             (None, metaspace("always"), True), (None, metaspace("never"), False)]
    added = [(13, "<pad>", True), (14, "[tool]", False)]
    for form, added, pairs in itertools.product(forms, [[], added], [False, True]):
        yield json.dumps(document(*form, added, pairs), ensure_ascii=False).encode()


def varint(number):
    out = b""
    while number >= 0x80:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def part(field, content):
    return varint(field << 3 | 2) + varint(len(content)) + content


def piece(text, score=0.0, kind=1):
    return part(1, part(1, text.encode()) + b"\x15" + struct.pack("<f", score)
                + b"\x18" + bytes([kind]))


def model_seeds():
    fixed = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3)
    for prefix, tied, extra in itertools.product([0, 1], [0, 1], [b"", piece("[tool]", 0, 4)]):
        scored = b"".join(piece(text, -(at // (1 + tied))) for at, text in enumerate(PIECES))
        trainer = part(2, b"\x18\x02\x20" + varint(269) + b"\x98\x02\x01\xc0\x02\x00\xc8\x02\x01")
        normalizer = part(3, part(1, b"identity") + b"\x18" + bytes([prefix]) + b"\x20\x00\x28\x01")
        yield fixed + scored + extra + trainer + normalizer


def text_seeds():
    texts = ["", "a ab aba", "  안녕▁ab\n", "abababababab" * 8, "뷁\U0001f600", "[tool] a[tool]"]
    for text, first, extra in itertools.product(texts, ["\x01", "\x01\x05"], ["", "\x01\x04[tool]"]):
        yield (first.join(PIECES) + extra + "\x02" + text).encode() + b"\x03" + bytes(range(12, 40))


def main():
    corpus = pathlib.Path(__file__).parent / "corpus"
    seeds = {"tokenizer_json": json_seeds(), "tokenizer_model": model_seeds(),
             "encode_decode": text_seeds()}
    for target, made in seeds.items():
        (corpus / target).mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(made):
            (corpus / target / f"seed-{number:02}").write_bytes(content)


if __name__ == "__main__":
    main()
