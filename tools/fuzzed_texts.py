"""Strange texts, the same for the same seed; used by check_ids.py.

Characters of all planes, Hangul syllables and jamo, combining marks, blanks of many kinds, the mark
of blanks itself, control characters, emoji, literal pieces such as <0x0A> and <s>, digits, long runs,
pieces of the vocabulary glued together, and lines of real text with a few characters changed.
"""

import random

BLANKS = (" \t\n\r\v\f\x1c\x85\u00a0\u1680\u2000\u2003\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
          "\u200b\ufeff▁")
LITERALS = ["<0x0A>", "<0x00>", "<0xEA>", "<0xFF>", "<s>", "</s>", "<unk>", "<pad>", "[INST]", "▁",
            "▁▁", "[/INST]", "<", ">", "0x0A", "\ufffd", "\ufeff", "\r\n"]
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇰🇷", "❤️", "1️⃣", "🧑🏿‍🚀", "\u200d", "\ufe0f"]
# First and last characters of what one text is drawn from.
RANGES = [(0x20, 0x7e), (0xac00, 0xd7a3), (0x1100, 0x11ff), (0x3131, 0x318e), (0xa960, 0xa97c),
          (0xd7b0, 0xd7fb), (0x300, 0x36f), (0x0, 0x1f), (0x7f, 0x9f), (0x80, 0x24f), (0x370, 0x5ff),
          (0x900, 0xdff), (0x3040, 0x30ff), (0x4e00, 0x9fff), (0x2000, 0x206f), (0xe000, 0xf8ff),
          (0xff00, 0xffef), (0xfff0, 0xffff), (0x1f300, 0x1faff), (0x10000, 0x1ffff),
          (0x20000, 0x3134f), (0xe0000, 0xe01ef), (0x10fff0, 0x10ffff)]


def drawn(draw, ranges, length):
    characters = (chr(draw.randint(*draw.choice(ranges))) for _ in range(length))
    return "".join(characters)


def anywhere(draw, length):
    """Characters of any code but that of a half of a pair."""
    codes = (draw.randrange(0x110000 - 0x800) for _ in range(length))
    return "".join(chr(code if code < 0xd800 else code + 0x800) for code in codes)


def changed(draw, line):
    """A line with a few places cut, doubled, replaced or filled."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randint(0, len(line))
        until = at + draw.randint(0, 3)
        new = ["", line[at:until] * 2, draw.choice(BLANKS), draw.choice(LITERALS), drawn(draw, RANGES, 1)]
        line = line[:at] + draw.choice(new) + line[until:]
    return line


def fuzzed(seed, count, pieces, lines):
    """`count` texts made with a seed, from pieces of a vocabulary and lines of real text."""
    draw = random.Random(seed)
    pieces = [piece.replace("▁", " ") for piece in pieces]

    def glued(of, length):
        return "".join(draw.choices(of, k=length))

    def run(length):
        unit = draw.choice([glued(BLANKS, 1), glued(EMOJI, 1), glued(pieces, 1), drawn(draw, RANGES, 1)])
        return unit * draw.choice([2, 3, 7, 16, 33, length, 10 * length])

    kinds = [
        lambda length: anywhere(draw, length),
        lambda length: drawn(draw, RANGES, length),
        lambda length: drawn(draw, [draw.choice(RANGES)], length),
        lambda length: drawn(draw, [(0xac00, 0xd7a3), (0x20, 0x20), (0x3131, 0x3163)], length),
        lambda length: glued(BLANKS, length),
        lambda length: glued(" \n▁a가", length),
        lambda length: glued("0123456789.,-+ ", length),
        lambda length: glued(EMOJI, length),
        lambda length: glued(LITERALS + list(" a가0"), length),
        lambda length: glued(pieces, length),
        lambda length: " ".join(draw.choices(pieces, k=length)),
        lambda length: changed(draw, draw.choice(lines)),
        lambda length: changed(draw, draw.choice(lines) + draw.choice(lines)),
        run,
        lambda length: run(length) + draw.choice(lines)[:length] + run(length),
    ]
    return [draw.choice(kinds)(draw.randint(0, 24)) for _ in range(count)]
