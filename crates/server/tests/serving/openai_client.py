"""OpenAI's own client against the server at argv[1]: every way of asking that the tests rely on.
Prints one JSON object. Ends with code 3 where the package is not installed."""
import json
import sys

try:
    import openai
except ImportError as error:
    print(f"openai is not installed: {error}", file=sys.stderr)
    sys.exit(3)

client = openai.OpenAI(base_url=f"{sys.argv[1]}/v1", api_key="none", max_retries=0)
models = [model.id for model in client.models.list()]
ask = dict(model=models[0], max_tokens=24, temperature=0.9, seed=11, stop=["\n\n"])
whole = client.completions.create(prompt="Once upon a time", n=2, logprobs=3, **ask)
pieces = ["", ""]
usage = None
for chunk in client.completions.create(
    prompt="Once upon a time", n=2, stream=True, stream_options={"include_usage": True}, **ask
):
    usage = chunk.usage or usage
    for choice in chunk.choices:
        pieces[choice.index] += choice.text
echo = client.completions.create(
    model=models[0], prompt=[1, 403, 407], echo=True, logprobs=0, max_tokens=0
)
more = client.completions.create(
    model=models[0], prompt="Once", max_tokens=3, extra_body={"top_k": 1, "min_p": 0.1}
)
errors = []
for wrong in (dict(max_tokens=-1), dict(extra_body={"mirostat": 2}), dict(model="none")):
    try:
        client.completions.create(**{"model": models[0], "prompt": "a", **wrong})
    except openai.APIStatusError as error:
        errors.append([type(error).__name__, error.param])
try:
    client.chat.completions.create(model=models[0], messages=[{"role": "user", "content": "a"}])
except openai.BadRequestError as error:
    errors.append([type(error).__name__, error.code])
print(json.dumps({
    "models": models,
    "whole": [choice.text for choice in whole.choices],
    "tokens": [len(choice.logprobs.tokens) for choice in whole.choices],
    "streamed": pieces,
    "usage": [usage.completion_tokens, whole.usage.completion_tokens],
    "echo": echo.choices[0].logprobs.token_logprobs,
    "more": more.choices[0].text,
    "errors": errors,
}))
