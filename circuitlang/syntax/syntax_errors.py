"""What a reader is told about a syntax error: expected, found, and what was probably meant."""

import re
import unicodedata
from collections.abc import Iterable

from lark import Token

from circuitlang.source import closest
from circuitlang.syntax.grammar import (
    ABOUT,
    BASELINE,
    SECTIONS,
    WHOLE,
    keyword_of,
    keywords,
    terminal_in_words,
)

_LOOKALIKES = {
    "\u2192": "->",
    "\u21dd": "~>",
    "\u2265": ">=",
    "\u2264": "<=",
    "\u2212": "-",
    "\u2013": "-",
    "\u2014": "-",
    "\u2018": '"',
    "\u2019": '"',
    "\u201c": '"',
    "\u201d": '"',
    "'": '"',
    "=": ">=",
    ">": ">=",
    "<": "<=",
}
_ALMOST_A_HEAD = r"[A-Za-z]?(\d{1,4})(?:[._]?[A-Za-z]?(\d{1,4}))?"
_LINE_WORDS = {
    "prompts": ("clean", "corrupt", "sample"),
    "edges": ("no", "each"),
    "claims": (*WHOLE, "ablate", *ABOUT, BASELINE),
}
_PLACES = {"_NL": "the end of the line", "$END": "the end of the file"}


def hidden_message(char: str) -> str:
    """What to call a character that nobody can see."""
    return f"character {_named(char, 'CONTROL CHARACTER')} is not allowed"


def explain(
    token: Token, first: Token, accepted: Iterable[str], block: str, odd_quotes: bool
) -> tuple[str, str, str]:
    """Code, message and hint for a token that the parser did not accept.

    ``first`` began the statement, ``accepted`` are the terminals that could have stood there,
    ``block`` is the keyword of the open block (empty outside), ``odd_quotes`` tells that a quote
    on the line has no partner.
    """
    text = str(token)
    if token.type == "BAD" and text == '"':
        hint = "a string ends on the line where it begins"
        return "CL111", "this string is not closed", hint
    allowed = sorted(name for name in accepted if name != "BAD")
    found = _PLACES.get(token.type) or f"`{text}`"
    if token.type == "BAD" and not text.isascii():
        found = f"the character `{text}`, {_named(text, 'an unknown character')}"
    message = f"expected {_listed(allowed, block)}, found {found}"
    if odd_quotes:
        return "CL110", message, "a quote on this line has no partner"
    return "CL110", message, _first_word(first, block) or _hint(token, allowed, block)


def _first_word(first: Token, block: str) -> str:
    """A misspelled first word passes as a name, and only what follows it is an error."""
    meant = closest(first, _LINE_WORDS.get(block, ())) if first.type == "NAME" else None
    return f"did you mean `{meant}`?" if meant and meant != str(first) else ""


def _named(char: str, default: str) -> str:
    return f"U+{ord(char):04X} {unicodedata.name(char, default)}"


def _listed(allowed: list[str], block: str) -> str:
    words = [terminal_in_words(name) for name in allowed]
    if "PROMPTS" in allowed:
        return "a section (" + ", ".join(f"`{name}`" for name in SECTIONS) + ")"
    if "RBRACE" in allowed and len(allowed) > 2 and "_NL" not in allowed:
        # At the start of a line, the close of the block is no news.
        words.remove("`}`")
        return f"{_joined(words)} in `{block}`"
    if block and "_NL" in allowed and "RBRACE" in allowed:
        words.remove("`}`")
    return _joined(words) or "nothing more"


def _joined(words: list[str]) -> str:
    return ", ".join(words[:-1]) + (" or " if len(words) > 1 else "") + "".join(words[-1:])


def _hint(token: Token, allowed: list[str], block: str) -> str:
    text = str(token)
    known = [word for name in allowed if (word := keyword_of(name))]
    signs = [terminal_in_words(name).strip("`") for name in allowed]
    meant = _LOOKALIKES.get(text)
    if meant and (meant in signs or (meant == '"' and "STRING" in allowed)):
        return f"did you mean `{meant}`?"
    if text == "[":
        return "a neuron is written `L5.MLP[123]`"
    if token.type == "COMPONENT" and "NAME" in allowed and "COMPONENT" not in allowed:
        return "a component cannot be a name"
    if text == "}" and not block:
        return "there is no open block that it could close"
    if text in SECTIONS and "_NL" in allowed and not block:
        return "a section begins on a line of its own"
    if token.type == "_NL" and "LBRACE" in allowed:
        return "a block opens with `{` on the line of its name"
    if text in keywords() and "NAME" in allowed:
        return f"`{text}` is a word of the language and cannot be a name"
    if "COMPONENT" in allowed and (head := re.fullmatch(_ALMOST_A_HEAD, text)):
        return f"a head is written `L{head[1]}.H{head[2]}`" if head[2] else "such as `L9.H6`"
    if (token.type == "NAME" or text in keywords()) and (word := closest(text, known)):
        return f"did you mean `{word}`?"
    if token.type in ("NUMBER", "NAME") and "STRING" in allowed and not block:
        return "put it in quotes"
    return ""
