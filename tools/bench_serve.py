"""Sets `kollama serve` beside llama.cpp's server: one stream, several at once, and a known beginning.

    python tools/random_gguf.py --shape 1b --out GGUF
    python tools/bench_serve.py --kollama target/release/kollama --model MODEL --weights q8 \\
        --llama-server llama-server --gguf GGUF/1b-Q8_0.gguf \\
        --streams 8 --tokens 128 --rounds 3 [--prefix 2000] [--json]

MODEL is a folder of the same shape (`kollama model init`). Both servers get the same requests over HTTP: every
stream is a client with a connection of its own that reads server-sent events; prompts are 16 random ids, tokens
are drawn among the 40 likeliest, so that no guess comes true, and no end token is drawn. A rate is all tokens,
as the servers count them, by the time from the first request to the last event. The sides take turns, round
after round; the one that does not answer waits idle. Medians are printed. With --prefix, a prompt of so many ids is
asked for twice, each time with another last id, and the times to the first token are compared. Build
llama-server for this processor (`cmake -DGGML_NATIVE=ON`); needs nothing but Python.
"""

import argparse
import http.client
import json
import random
import socket
import statistics
import subprocess
import sys
import threading
import time

PROMPT = 16


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ours(options, port):
    return [options.kollama, "serve", "--model", f"bench={options.model}", "--port", str(port),
            "--weights", options.weights, "--threads", str(options.threads)]


def theirs(options, port):
    room = max(PROMPT + options.tokens, options.prefix + 1) + 64
    return [options.llama_server, "--model", options.gguf, "--port", str(port), "--threads", str(options.threads),
            "--parallel", str(options.streams), "--ctx-size", str(room * options.streams)]


class Server:
    """A server as a process."""

    def __init__(self, command, port):
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not self.is_ready():
            assert self.process.poll() is None, f"it ended: {' '.join(command)}"
            time.sleep(0.1)

    def is_ready(self):
        connection = http.client.HTTPConnection(self.address)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def stream(self, prompt, tokens, events):
        """Asks for an answer; puts the time and the content of every event into `events`."""
        connection = http.client.HTTPConnection(self.address)
        body = {"prompt": prompt, "max_tokens": tokens, "temperature": 1, "top_k": 40, "seed": prompt[0],
                "logit_bias": {"2": -100}, "stream": True, "stream_options": {"include_usage": True}}
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                events.append((time.perf_counter(), json.loads(line[6:])))

    def rate(self, prompts, tokens):
        """Tokens a second of all prompts at once, and the longest time between two events of a stream."""
        streams = [[] for _ in prompts]
        clients = [threading.Thread(target=self.stream, args=(prompt, tokens, events))
                   for prompt, events in zip(prompts, streams)]
        begun = time.perf_counter()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        written = [events[-1][1]["usage"]["completion_tokens"] for events in streams]
        assert written == [tokens] * len(prompts), written
        times = [[moment for moment, _ in events] for events in streams]
        gap = max(later - before for one in times for before, later in zip(one, one[1:]))
        return sum(written) / (max(one[-1] for one in times) - begun), gap

    def first_token(self, prompt):
        """Seconds from the request to the event of its only token."""
        events = []
        begun = time.perf_counter()
        self.stream(prompt, 1, events)
        return events[0][0] - begun

    def end(self):
        self.process.terminate()
        self.process.wait()


def measure(name, server, options, note):
    """One round of one side; `note` is told each figure."""
    def ids(count):
        return [random.randrange(300, options.vocabulary) for _ in range(count)]

    for streams in (1, options.streams):
        rate, gap = server.rate([ids(PROMPT) for _ in range(streams)], options.tokens)
        note(f"{name}, {streams} streams, tokens/s", rate)
        note(f"{name}, {streams} streams, longest gap, s", gap)
    if options.prefix:
        prompt = ids(options.prefix)
        for beginning in ("new", "known"):
            note(f"{name}, first token, {beginning} beginning, s", server.first_token(prompt + ids(1)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kollama", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights", default="q8")
    parser.add_argument("--llama-server")
    parser.add_argument("--gguf")
    parser.add_argument("--vocabulary", type=int, default=46336)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefix", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    random.seed(5)
    commands = {"kollama": ours}
    if options.llama_server:
        commands["llama.cpp"] = theirs
    sides = {}
    for name, command in commands.items():
        port = free_port()
        sides[name] = Server(command(options, port), port)
    figures = {}

    def note(name, value):
        figures.setdefault(name, []).append(value)
        print(f"{name}: {value:.4g}", file=sys.stderr)

    for server in sides.values():
        server.rate([[300 + stream] for stream in range(options.streams)], 8)
    for number in range(options.rounds):
        for name, server in sides.items():
            measure(name, server, options, note)
    for server in sides.values():
        server.end()
    medians = {name: statistics.median(values) for name, values in figures.items()}
    print(json.dumps(medians) if options.json else "\n".join(f"{n}: {v:.4g}" for n, v in medians.items()))


main()
