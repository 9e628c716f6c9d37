"""What a reader is told about a syntax error: expected, found, and what was probably meant."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from lark import Token

from circuitlang.source import closest, plain, written_component
from circuitlang.syntax.grammar import (
    ABOUT,
    BASELINE,
    SECTIONS,
    WHOLE,
    keyword_of,
    keywords,
    terminal_in_words,
)
from circuitlang.syntax.habits import CLAUSES, EXPECTED, FALLBACKS, FIRST, HABITS, MEANT, Habit

_LINE_WORDS = {
    "prompts": ("clean", "corrupt", "sample"),
    "edges": ("no", "each"),
    "claims": (*WHOLE, "ablate", *ABOUT, BASELINE),
}
_PLACES = {"_NL": "the end of the line", "$END": "the end of the file"}
_HOMES = {
    **dict.fromkeys(("clean", "corrupt", "sample"), "prompts"),
    **dict.fromkeys(("no", "each"), "edges"),
    **dict.fromkeys((*WHOLE, "ablate"), "claims"),
    **dict.fromkeys(("ablation", "significance", "direction", "resamples", "seed"), "test"),
    **dict.fromkeys(("minimum", "random", "greedy", "looks", "pairs", "sweep pairs"), "test"),
}
"""The block of each word that begins a line of one block alone."""
_SHAPES = (
    ("claims", "a claim", re.compile(rf"({'|'.join(ABOUT)})\s+[\w.]+(?!\s*[-~]>)")),
    ("edges", "an edge", re.compile(r"[\w.\[\]]+\s*[-~]>|\w+\s+from\b.*[-~]>")),
    ("nodes", "a node", re.compile(r"\w+\s+[Ll]\d+\.")),
    ("prompts", "a list of words", re.compile(r"\w+(\s*,\s*\w+)*\s+from\b")),
)
"""What lines that begin with a name are, by their shape."""
_LONGEST = 300
"""So much of a line is looked at, on each side of a mistake."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A token that the parser did not accept.

    ``first`` began the statement, ``accepted`` are the terminals that could have stood there,
    ``block`` is the keyword of the open block (empty outside), ``before`` and ``after`` are the
    statement's line up to the token and from it on, and ``odd_quotes`` tells that a quote on the
    line has no partner.
    """

    token: Token
    first: Token
    accepted: frozenset[str]
    block: str
    before: str
    after: str
    odd_quotes: bool

    @property
    def allowed(self) -> list[str]:
        """The terminals that could have stood there, but for the one that no rule uses."""
        return sorted(name for name in self.accepted if name != "BAD")

    @property
    def section(self) -> str:
        """The open block, or the section of one line, or `header` or `top`."""
        if self.block:
            return self.block
        if "LBRACE" in self.accepted:
            return "header"
        return str(self.first) if self.before and str(self.first) in SECTIONS else "top"


def hidden_message(char: str) -> str:
    """What to call a character that nobody can see."""
    return f"character {_named(char, 'CONTROL CHARACTER')} is not allowed"


def explain(stop: Stop) -> tuple[str, Token, str, str]:
    """Code, the token to point at, message and hint."""
    token, text, block = stop.token, str(stop.token), stop.block
    if token.type == "BAD" and text == '"':
        return "CL111", token, "this string is not closed", _unclosed(stop)
    found = _PLACES.get(token.type) or f"`{text}`"
    foreign = token.type == "BAD" and not text.isascii()
    mixed = token.type == "NAME" and not _around(stop, r"\w").isascii()
    if foreign:
        found = f"the character `{text}`, {_named(text, 'an unknown character')}"
    message = f"expected {_listed(stop.allowed, block)}, found {found}"
    if (foreign or mixed) and (hint := _plainly(stop)):
        return "CL110", token, message, hint
    if away := _misplaced(stop):
        return "CL110", stop.first, *away
    hint = _habit(stop, FIRST)
    if not hint and stop.odd_quotes:
        hint = "a quote on this line has no partner"
    return "CL110", token, message, hint or _first_word(stop) or _hint(stop)


def _unclosed(stop: Stop) -> str:
    odd = next((c for c in stop.after[1:] if plain(c) == '"'), None)
    if odd:
        return f'`{odd}` is {_named(odd, "another quote")}: write `"`'
    if stop.before.endswith('""'):
        return 'a string stands between single `"`, on one line'
    if re.search(r'\\"', stop.before):
        return 'there are no escapes, so a string cannot hold `"`'
    return "a string ends on the line where it begins"


def _plainly(stop: Stop) -> str:
    """What to write for a character that is not of the language."""
    char = str(stop.token)
    if char in "\u200c\u200d":
        return "delete it"
    if char.isspace():
        return "write a plain space"
    if plain(char) == '"':
        return 'a string stands between `"` and `"`'
    word = _around(stop, r"[^\s,()\"]")
    if re.search(r"[^\W\d_]", word):  # a name, and not signs
        word = _around(stop, r"[^\s,()\"<>=~]")
    if meant := plain(word):
        is_arrow = "DIRECT" in stop.accepted and "AT_LEAST" not in stop.accepted
        return f"write `{'->' if is_arrow and set(meant) == {'-'} else meant}`"
    return "names have the letters A to Z, digits and `_`" if char.isalpha() else ""


def _around(stop: Stop, chars: str) -> str:
    """All neighbours of a kind around the start of a token."""
    left = re.search(rf"{chars}*$", stop.before)
    right = re.match(rf"{chars}*", stop.after)
    return (left[0] if left else "") + (right[0] if right else "")


def _misplaced(stop: Stop) -> tuple[str, str] | None:
    """Message and hint for a line that belongs into another block."""
    word, line = str(stop.first), (stop.before + stop.after)[:_LONGEST]
    if stop.section not in ("top", *_LINE_WORDS, "nodes", "test"):
        return None
    if (hint := CLAUSES.get((stop.block, word))) and not stop.before:
        return f"no line of `{stop.block}` begins with `{word}`", hint
    home, what = _HOMES.get(word, ""), f"`{word}`"
    if not home and stop.first.type in ("NAME", "COMPONENT"):
        shapes = ((block, name) for block, name, shape in _SHAPES if shape.match(line))
        home, what = next(shapes, ("", ""))
    # A word of the language with a line of this block after it was meant as a name.
    is_name = any(b == stop.block and shape.match(line) for b, _, shape in _SHAPES)
    if not home or home == stop.block or is_name:
        return None
    if not stop.block:
        return f"{what} stands outside of every block", f"write it under `{home}`"
    return f"{what} has no place in `{stop.block}`", f"write it under `{home}`"


def _first_word(stop: Stop) -> str:
    """A misspelled first word passes as a name, and only what follows it is an error."""
    word, known = str(stop.first), _LINE_WORDS.get(stop.block, ())
    if stop.first.type != "NAME" or not (stop.block or not stop.before):
        return ""
    meant = closest(word, known)
    if not meant and (other := MEANT.get(word.lower())):
        wanted = known or {keyword_of(name) for name in stop.allowed}
        meant = other if other in wanted or (stop.block == "prompts" and other == "from") else None
    return f"did you mean `{meant}`?" if meant and meant != word else ""


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


def _habit(stop: Stop, habits: Sequence[Habit]) -> str:
    """The hint of the first habit that what stands around the token shows."""
    tags = {"*", stop.section}
    tags |= {tag for tag, wanted in EXPECTED.items() if wanted <= stop.accepted}
    if "receiver" in tags:
        tags.remove("arrow")  # the arrow of this edge has been read
    before, after = stop.before[-_LONGEST:], stop.after[:_LONGEST]
    for habit in habits:
        if not any(tags.issuperset(where.split("+")) for where in habit.where.split()):
            continue
        match = re.match(habit.after, after)
        if match and re.search(habit.before, before):
            return match.expand(habit.hint)
    return ""


def _hint(stop: Stop) -> str:
    token, text, allowed, block = stop.token, str(stop.token), stop.allowed, stop.block
    known = [word for name in allowed if (word := keyword_of(name))]
    if text == "'" and "STRING" in allowed:
        return 'did you mean `"`?'
    if text == "}" and not block:
        return "there is no open block that it could close"
    if text in SECTIONS and "_NL" in allowed and not block:
        return "a section begins on a line of its own"
    if stop.section in ("nodes", "edges", "claims") and (hint := _component(stop)):
        return hint
    if token.type == "NAME" and (word := closest(text, known)):
        return f"did you mean `{word}`?"
    if hint := _habit(stop, HABITS):
        return hint
    if (
        token.type == "COMPONENT"
        and text != "embed"
        and {"NAME", "COMPONENT"} & {*allowed} == {"NAME"}
    ):
        return "a component cannot be a name"
    if (text in keywords() or text == "embed") and "NAME" in allowed:
        return f"`{text}` is a word of the language and cannot be a name"
    if text in keywords() and (word := closest(text, known)):
        return f"did you mean `{word}`?"
    if token.type in ("NUMBER", "NAME") and "STRING" in allowed and not block:
        return "put it in quotes"
    return _habit(stop, FALLBACKS)


def _component(stop: Stop) -> str:
    """What stands around a token, where it is a component as other tools write it."""
    word = _around(stop, r"[\w.*\[\]:/-]").rstrip(":")
    if not re.search(r"\d", word) or ("COMPONENT" not in stop.accepted and word[0].isdigit()):
        return ""
    return written_component(re.sub(r"[-~]+>.*", "", word))
