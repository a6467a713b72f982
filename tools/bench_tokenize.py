"""Runs other tokenizers beside kollama, for `kollama bench tokenize --against`.

    kollama bench tokenize --tokenizer DIR --corpus FILE... --document-size line,4k,100k,1m \
        --against tools/bench_tokenize.py                    (KOLLAMA_PYTHON names the interpreter)

    python tools/bench_tokenize.py                           lists what is installed, a name a line
    python tools/bench_tokenize.py NAME TOKENIZER THREADS    serves one; src/commands/peers.rs has how

Each is called in the cheapest way it offers that gives the ids of a list of texts in memory: its
batch call, flat arrays where it has them, no ids added. The texts are made into what the call takes
beforehand. TOKENIZER is a folder with tokenizer.json and tokenizer.model. Needs numpy, and the peers:

    python3 -m venv peers
    peers/bin/pip install numpy tokenizers==0.23.3 sentencepiece==0.2.3 gigatoken==0.10.0 \
        fastokens==0.3.5 splintr-rs==0.22.0 snaptokens==0.2.6 tuetoken==0.1.3 kitoken==0.11.1 \
        tokie==0.1.4 morpheme==0.5.0
    peers/bin/pip install --no-deps --target peers/tokenizers-1 tokenizers==1.0.0rc3
"""

import gc
import importlib.metadata
import json
import os
import sys
import time

# Two versions of one package: the newer stands beside the environment's own packages.
NEWER = os.path.join(sys.prefix, "tokenizers-1")


def with_changes(folder, **changes):
    """The text of a tokenizer.json with some fields replaced."""
    with open(f"{folder}/tokenizer.json", encoding="utf-8") as file:
        return json.dumps(json.load(file) | changes)


# Each loader returns what makes the texts into its argument, and what encodes that argument.


def sentencepiece(folder, threads):
    from sentencepiece import SentencePieceProcessor

    model = SentencePieceProcessor(model_file=f"{folder}/tokenizer.model")
    return list, lambda texts: model.encode(texts, num_threads=threads)


def tokenizers(folder, threads):
    from tokenizers import Tokenizer

    model = Tokenizer.from_file(f"{folder}/tokenizer.json")
    # The newer version has dropped the call without offsets: its common one does not make them.
    batch = getattr(model, "encode_batch_fast", model.encode_batch)
    return list, lambda texts: batch(texts, add_special_tokens=False)


def gigatoken(folder, threads):
    from gigatoken import Tokenizer

    model = Tokenizer.from_sentencepiece(f"{folder}/tokenizer.model")
    encode = lambda texts: model.encode_batch(texts, parallel=threads > 1)
    return lambda texts: [text.encode() for text in texts], encode


def fastokens(folder, threads):
    from fastokens import Tokenizer

    model = Tokenizer.from_file(f"{folder}/tokenizer.json")
    return list, lambda texts: model.encode_batch_flat(texts, False, True)


def splintr(folder, threads):
    from splintr import from_json_bytes

    # It has no batch call that leaves out the ids of the template: without a template there are none.
    model = from_json_bytes(with_changes(folder, post_processor=None).encode())
    return list, model.encode_batch_flat


def snaptokens(folder, threads):
    from snaptokens import Tokenizer

    # It knows neither Prepend nor Strip: the blank in front is put there beforehand.
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    model = Tokenizer.from_json_str(with_changes(folder, normalizer=replace, decoder=None))
    return lambda texts: [" " + text if text else "" for text in texts], model.encode_batch_flat


def tuetoken(folder, threads):
    from tuetoken import Tokenizer

    model = Tokenizer(f"{folder}/tokenizer.json")

    def encode(texts):
        found = model.encode_ordinary_to_buffer(texts, threads)
        return found["data"], found["offsets"]

    return list, encode


def kitoken(folder, threads):
    from kitoken import Kitoken

    model = Kitoken.from_sentencepiece_file(f"{folder}/tokenizer.model")
    return list, lambda texts: model.encode_all(texts, False)


def tokie(folder, threads):
    from tokie import Tokenizer

    model = Tokenizer.from_json(f"{folder}/tokenizer.json")
    return list, lambda texts: model.encode_batch_flat(texts, False)


def morpheme(folder, threads):
    from morpheme import Tokenizer

    model = Tokenizer.from_file(f"{folder}/tokenizer.json")
    return list, lambda texts: model.encode_batch(texts, False)


PEERS = {
    "tokenizers": tokenizers,
    "tokenizers-1": tokenizers,
    "sentencepiece": sentencepiece,
    "gigatoken": gigatoken,
    "fastokens": fastokens,
    "splintr-rs": splintr,
    "snaptokens": snaptokens,
    "tuetoken": tuetoken,
    "kitoken": kitoken,
    "tokie": tokie,
    "morpheme": morpheme,
}


def version(name):
    if name == "tokenizers-1":
        found = importlib.metadata.distributions(path=[NEWER], name="tokenizers")
        return next((distribution.version for distribution in found), None)
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def lengths_and_ids(found, count):
    """Of any form in which a peer gives ids: the number of each document's, and all of them."""
    import numpy

    def array(values, kind):
        is_bytes = isinstance(values, (bytes, bytearray, memoryview))
        return numpy.frombuffer(values, kind) if is_bytes else numpy.asarray(values)

    if isinstance(found, tuple):
        ids, ends = array(found[0], "<u4"), array(found[1], "<u8")
        lengths = ends if len(ends) == count else numpy.diff(ends)
    elif hasattr(found, "layout"):
        import awkward

        ids, lengths = awkward.flatten(found).to_numpy(), awkward.num(found).to_numpy()
    else:
        rows = [row if isinstance(row, list) else row.ids for row in found]
        ids = numpy.fromiter((id for row in rows for id in row), "<u4")
        lengths = numpy.fromiter(map(len, rows), "<u4")
    return lengths.astype("<u4").tobytes(), ids.astype("<u4").tobytes()


def load(name, folder, threads):
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
    # tokie and tokenizers 1.0 take every core whatever they are told: there are no more than asked for.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if name == "tokenizers-1":
        sys.path.insert(0, NEWER)
    return PEERS[name](folder, threads)


def serve(prepare, encode, answer):
    import numpy

    gc.disable()
    answer(ready=True)
    commands = sys.stdin.buffer
    texts, found = [], None
    while line := commands.readline():
        command, *number = line.split()
        if command == b"documents":
            count = int(number[0])
            lengths = numpy.frombuffer(commands.read(4 * count), "<u4").tolist()
            texts = prepare([commands.read(length).decode() for length in lengths])
        elif command == b"encode":
            found = None
            began = time.perf_counter()
            found = encode(texts)
            answer(seconds=time.perf_counter() - began)
        elif command == b"ids":
            answer(*lengths_and_ids(found, len(texts)), ids=len(texts))


def main():
    if len(sys.argv) == 1:
        installed = {name: version(name) for name in PEERS}
        print("".join(f"{name} {v}\n" for name, v in installed.items() if v), end="")
        return
    # The peers' own talk must not stand between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(*blocks, **fields):
        answers.write(json.dumps(fields).encode() + b"\n" + b"".join(blocks))
        answers.flush()

    try:
        name, folder, threads = sys.argv[1].split()[0], sys.argv[2], int(sys.argv[3])
        serve(*load(name, folder, threads), answer)
    except Exception as error:  # whatever a peer raises is its answer
        answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
