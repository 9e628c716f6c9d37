"""Text that is safe to show: no characters that hide or change what a reader sees."""

import re
from collections.abc import Iterable

BLANK, ASCII_BLANK = "\u00b7", "_"
"""What stands for a space where one must be seen."""

# Control characters other than tab and line end, bidirectional controls (CVE-2021-42574), line
# separators that editors draw and this language does not, and characters without any width. The
# joiners U+200C and U+200D stay allowed: words of several scripts need them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)


def hidden_characters(text: str) -> list[int]:
    """Offsets of all such characters."""
    return [match.start() for match in _HIDDEN.finditer(text)]


def visible(text: str) -> str:
    """The text with a replacement character for each hidden one, so that a terminal obeys none."""
    return _HIDDEN.sub("\ufffd", text)


def clip(text: str, most: int = 300) -> str:
    """The text, or its beginning where a name or a number in it is absurdly long."""
    return text if len(text) <= most else text[: most - 3] + "..."


def in_a_row(tokens: Iterable[str], blank: str = BLANK) -> str:
    """Tokens with their white space visible, which decides what a token is."""
    shown = str.maketrans({" ": blank, "\n": "\\n", "\t": "\\t", "\r": "\\r"})
    return "|".join(token.translate(shown) for token in tokens)
