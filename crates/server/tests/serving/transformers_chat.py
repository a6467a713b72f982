"""The ids that transformers makes of the messages on standard input with the tokenizer.json and the chat
template of the folder argv[1]. Ends with code 3 where transformers is not installed."""
import json
import sys

try:
    from transformers import PreTrainedTokenizerFast
except ImportError as error:
    print(f"transformers is not installed: {error}", file=sys.stderr)
    sys.exit(3)

tokenizer = PreTrainedTokenizerFast.from_pretrained(sys.argv[1])
text = tokenizer.apply_chat_template(json.load(sys.stdin), tokenize=False, add_generation_prompt=True)
print(json.dumps({"ids": tokenizer(text, add_special_tokens=False)["input_ids"]}))
