"""Sets `kollama serve` beside llama.cpp: one stream, several at once, and a known beginning.

    python tools/random_gguf.py --shape 1b --out GGUF
    python tools/bench_serve.py --kollama target/release/kollama --model MODEL --weights q8 \\
        --gguf GGUF/1b-Q8_0.gguf --streams 8 --tokens 128 --rounds 3 [--prefix 2000] [--json]

MODEL is a folder of the same shape (`kollama model init`). Every stream is a client with a connection of
its own that reads server-sent events; prompts are 16 random ids, tokens are drawn among the 40 likeliest,
so that no guess comes true, and no end token is drawn. A rate is all tokens by the time from the first
request to the last event. llama.cpp is called through its C interface, which its server calls too: one `llama_decode` with
the next token of every sequence, without HTTP and without sampling, which its server has besides. The sides
take turns, round after round; medians are printed. With --prefix, a prompt of so many ids is asked for
twice, each time with another last id, and the times to the first token are compared. Needs
llama-cpp-python, built for this processor (see bench_generate.py), if --gguf is given.
"""

import argparse
import ctypes
import http.client
import importlib.metadata
import json
import random
import statistics
import subprocess
import sys
import threading
import time

PROMPT = 16


def ids(count, vocabulary):
    return [random.randrange(300, vocabulary) for _ in range(count)]


class Server:
    """`kollama serve` as a process."""

    def __init__(self, options):
        command = [options.kollama, "serve", "--model", f"bench={options.model}", "--port", "0",
                   "--weights", options.weights, "--threads", str(options.threads)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.address = self.process.stderr.readline().strip().rsplit("//", 1)[1]
        while not self.get("/health")[0] == 200:
            time.sleep(0.05)
        info = json.loads(self.get("/info")[1])
        self.vocabulary = info["config"]["vocab_size"]

    def get(self, path):
        connection = http.client.HTTPConnection(self.address)
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()

    def stream(self, prompt, tokens, seen):
        """Asks for an answer; puts the time of every event into `seen`."""
        connection = http.client.HTTPConnection(self.address)
        body = {"prompt": prompt, "max_tokens": tokens, "temperature": 1, "top_k": 40, "seed": prompt[0],
                "logit_bias": {"2": -100}, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(body),
                           {"Content-Type": "application/json"})
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                seen.append(time.perf_counter())

    def rate(self, streams, tokens):
        """Tokens a second of so many streams at once, and the longest time between two tokens."""
        seen = [[] for _ in range(streams)]
        clients = [threading.Thread(target=self.stream, args=(ids(PROMPT, self.vocabulary), tokens, one))
                   for one in seen]
        begun = time.perf_counter()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert all(len(one) == tokens for one in seen), [len(one) for one in seen]
        gap = max(later - before for one in seen for before, later in zip(one, one[1:]))
        return streams * tokens / (max(one[-1] for one in seen) - begun), gap

    def first_token(self, prompt):
        seen = []
        begun = time.perf_counter()
        self.stream(prompt, 1, seen)
        return seen[0] - begun

    def end(self):
        self.process.terminate()
        self.process.wait()


class LlamaCpp:
    """A model and a context of llama.cpp with room for several sequences."""

    def __init__(self, options):
        import llama_cpp as lib

        self.lib = lib
        self.silent = lib.llama_log_callback(lambda level, text, data: None)
        lib.llama_log_set(self.silent, ctypes.c_void_p(0))
        lib.llama_backend_init()
        path = options.gguf.encode()
        self.model = lib.llama_model_load_from_file(path, lib.llama_model_default_params())
        parameters = lib.llama_context_default_params()
        parameters.n_ctx = options.streams * (PROMPT + options.tokens + 8)
        parameters.n_seq_max = options.streams
        parameters.n_batch = parameters.n_ubatch = 512
        parameters.n_threads = parameters.n_threads_batch = options.threads
        self.context = lib.llama_init_from_model(self.model, parameters)
        self.batch = lib.llama_batch_init(512, 0, 1)
        self.vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))

    def decode(self, rows):
        """Reads (token, position, sequence, whether logits are wanted) rows."""
        self.batch.n_tokens = len(rows)
        for row, (token, position, sequence, wanted) in enumerate(rows):
            self.batch.token[row], self.batch.pos[row] = token, position
            self.batch.n_seq_id[row], self.batch.seq_id[row][0] = 1, sequence
            self.batch.logits[row] = wanted
        assert self.lib.llama_decode(self.context, self.batch) == 0
        self.lib.llama_synchronize(self.context)

    def rate(self, streams, tokens):
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        begun = time.perf_counter()
        self.decode([(token, place, sequence, place == PROMPT - 1) for sequence in range(streams)
                     for place, token in enumerate(ids(PROMPT, self.vocabulary))])
        for step in range(tokens - 1):
            self.decode([(ids(1, self.vocabulary)[0], PROMPT + step, sequence, True)
                         for sequence in range(streams)])
        return streams * tokens / (time.perf_counter() - begun), 0.0

    def end(self):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kollama", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights", default="q8")
    parser.add_argument("--gguf")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefix", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    random.seed(5)
    sides = {"kollama": Server(options)}
    if options.gguf:
        sides["llama.cpp"] = LlamaCpp(options)
        print("llama-cpp-python", importlib.metadata.version("llama-cpp-python"), file=sys.stderr)
    figures = {}
    for side in sides.values():
        side.rate(options.streams, 8)
    for number in range(options.rounds):
        for name, side in sides.items():
            for streams in (1, options.streams):
                rate, gap = side.rate(streams, options.tokens)
                figures.setdefault(f"{name} {streams}", []).append(rate)
                print(f"round {number}: {name}, {streams} streams: {rate:.1f} tokens/s, longest gap {gap:.3f} s",
                      file=sys.stderr)
        if options.prefix:
            prompt = ids(options.prefix, sides["kollama"].vocabulary)
            for again in ("new", "known"):
                seconds = sides["kollama"].first_token(prompt + ids(1, sides["kollama"].vocabulary))
                figures.setdefault(f"first token, {again}", []).append(seconds)
                print(f"round {number}: first token, {again}: {seconds:.3f} s", file=sys.stderr)
    for side in sides.values():
        side.end()
    medians = {name: statistics.median(values) for name, values in figures.items()}
    print(json.dumps(medians) if options.json else "\n".join(f"{n}: {v:.4g}" for n, v in medians.items()))


main()
