"""Encodes texts with SentencePiece, for tests that compare.

usage: tokenizer_oracle.py TOKENIZER.model < texts > ids

One text a line as a JSON string on stdin; one JSON list of ids a line on stdout. The version that
ran is named on stderr. Exit code 3: sentencepiece is not installed.
"""

import json
import sys


def main() -> int:
    try:
        import sentencepiece
    except ImportError:
        print("sentencepiece is not installed in this Python; set KOLLAMA_PYTHON", file=sys.stderr)
        return 3
    print(f"sentencepiece {sentencepiece.__version__}", file=sys.stderr)
    processor = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(processor.encode(json.loads(line)), separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
