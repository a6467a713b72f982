"""Checks a whole extended tokenizer against its base, HF tokenizers and sentencepiece.

    python tools/check_extension.py --kollama target/release/kollama --base DIR --extended DIR \
        --korean FILE.jsonl.zst ... --english FILE.jsonl.zst ... [--lines 20000]

Says for each promise of `kollama tokenizer extend` whether it holds: old ids unchanged, English ids
unchanged on every text, every new piece reachable, every merge's parts there, and equal ids from the
three implementations on Korean lines. Exits with 1 if one does not. Needs tokenizers, sentencepiece,
zstandard.
"""

import argparse
import itertools
import json
import re
import subprocess
import sys

import sentencepiece
import tokenizers

from packed_texts import texts


HANGUL = re.compile("[\uac00-\ud7a3\u1100-\u11ff\u3131-\u318e]+")


def encode(program, tokenizer, lines):
    """Ids of lines by kollama; a line holds no line feed."""
    command = [program, "tokenizer", "encode", "--tokenizer", tokenizer, "--input", "-", "--json"]
    run = subprocess.run(command, input="".join(line + "\n" for line in lines), text=True,
                         capture_output=True, check=True)
    return [json.loads(line)["ids"] for line in run.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kollama", required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--extended", required=True)
    parser.add_argument("--korean", nargs="+", required=True)
    parser.add_argument("--english", nargs="+", required=True)
    parser.add_argument("--lines", type=int, default=20000)
    flags = parser.parse_args()
    print(f"tokenizers {tokenizers.__version__}, sentencepiece {sentencepiece.__version__}")

    read = lambda folder: json.load(open(f"{folder}/tokenizer.json", encoding="utf-8"))["model"]
    old, new = read(flags.base), read(flags.extended)
    hf = [tokenizers.Tokenizer.from_file(f"{f}/tokenizer.json") for f in (flags.base, flags.extended)]
    sp = [sentencepiece.SentencePieceProcessor(model_file=f"{f}/tokenizer.model")
          for f in (flags.base, flags.extended)]
    plain = lambda text: not any(special in text for special in ("<s>", "</s>", "<unk>"))
    failed = []

    def say(what, holds, detail):
        print(f"{'ok ' if holds else 'NOT'}  {what}: {detail}")
        if not holds:
            failed.append(what)

    moved = [piece for piece, id in old["vocab"].items() if new["vocab"].get(piece) != id]
    say("old ids unchanged", not moved, f"{len(old['vocab'])} ids, {len(moved)} moved")
    sp_moved = [i for i in range(sp[0].vocab_size()) if sp[0].id_to_piece(i) != sp[1].id_to_piece(i)]
    say("old pieces of tokenizer.model unchanged", not sp_moved, f"{len(sp_moved)} moved")

    pair = lambda merge: merge.split(" ") if isinstance(merge, str) else merge
    loose = [m for m in map(pair, new["merges"])
             if not all(p in new["vocab"] for p in (m[0], m[1], m[0] + m[1]))]
    say("every merge's parts exist", not loose, f"{len(new['merges'])} merges, {len(loose)} loose")

    added = [p for p, id in new["vocab"].items() if id >= len(old["vocab"])]
    # "\n" is a token of its own and keeps the prefix mark away from the piece.
    bare = ["\n" + piece.replace("▁", " ") for piece in added]
    unreached = [p for p, ids in zip(added, (e.ids for e in hf[1].encode_batch(bare, add_special_tokens=False)))
                 if ids[-1] != new["vocab"][p]]
    say("every new piece is reached", not unreached, f"{len(added)} new, {len(unreached)} unreached")

    english, with_hangul, changed = 0, 0, 0
    for text in itertools.chain.from_iterable(map(texts, flags.english)):
        english += 1
        if HANGUL.search(text):
            # The Korean words of an English text are meant to change, and nothing else.
            with_hangul += 1
            text = HANGUL.sub("", text)
        changed += sp[0].encode(text) != sp[1].encode(text)
    detail = f"{english} texts, {changed} changed; {with_hangul} hold Hangul and were compared without it"
    say("English keeps its ids (sentencepiece)", changed == 0, detail)

    lines = []
    for text in itertools.chain.from_iterable(map(texts, flags.korean)):
        lines.extend(line for line in text.split("\n") if line and "\r" not in line and plain(line))
        if len(lines) > 50 * flags.lines:
            break
    lines = lines[:: max(1, len(lines) // flags.lines)][: flags.lines]
    ours = encode(flags.kollama, flags.extended, lines)
    theirs = [e.ids for e in hf[1].encode_batch(lines, add_special_tokens=False)]
    third = sp[1].encode(lines)
    other = sum(not (a == b == c) for a, b, c in zip(ours, theirs, third))
    say("three implementations agree on Korean lines", other == 0, f"{len(lines)} lines, {other} differ")

    for name, paths in (("Korean", flags.korean), ("English", flags.english)):
        for path in paths:
            counts, characters = [0, 0], 0
            for text in texts(path):
                characters += len(text)
                for i in (0, 1):
                    counts[i] += len(sp[i].encode(text))
            before, after = (count / characters for count in counts)
            print(f"     tokens per character, {name}, {path.split('/')[-1]}: {before:.3f} -> {after:.3f}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
