"""lm-eval's own client of completions: reads [context, continuation] a line, asks the server at
argv[1] with the tokenizer of the folder argv[2], and prints what it sent and what it made of the
answers. Ends with code 3 where lm-eval[api] is not installed."""
import json
import sys

try:
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    import tenacity  # Of lm-eval's `api` extra, without which its client only fails later.
except ImportError as error:
    print(f"lm-eval[api] is not installed: {error}", file=sys.stderr)
    sys.exit(3)

url, folder = sys.argv[1:]
pairs = [tuple(json.loads(line)) for line in sys.stdin]
model = LocalCompletionsAPI(
    base_url=f"{url}/v1/completions", model="hf", tokenizer=folder,
    tokenizer_backend="huggingface", batch_size=8, max_length=512, num_concurrent=1,
)
requests = [
    Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0) for pair in pairs
]
for pair, (logprob, greedy) in zip(pairs, model.loglikelihood(requests, disable_tqdm=True)):
    context, continuation = model._encode_pair(*pair)
    print(json.dumps({
        "context": context, "continuation": continuation, "logprob": logprob, "greedy": greedy,
    }))
