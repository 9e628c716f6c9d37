"""Loading `circuit.lark`, and the words a reader sees for its terminals."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from lark import Lark, Token
from lark.lark import PostLex

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "circuit.lark", _HERE.parents[1] / "grammars" / "circuit.lark")

SECTIONS = ("circuit", "model", "prompts", "metric", "nodes", "edges", "claims", "test")

WHOLE = (
    "faithfulness",
    "completeness",
    "minimality",
    "equivalent",
    "independent",
    "minimal",
    "sufficient",
)
"""Claims about the whole circuit, which name nothing."""
ABOUT = (
    "patch",
    "attention",
    "copying",
    "direct_effect",
    "induction",
    "previous_token",
    "duplicate_token",
    "steer",
    "sweep",
)
"""Claims whose first word is no keyword, so that circuits and nodes may be called so."""

BASELINE = "baseline"
"""The claim about the metric itself; no keyword either."""

_WORDS = {
    "NAME": "a name",
    "COMPONENT": "a component such as L9.H6 or L0.MLP",
    "STRING": "a quoted string",
    "NUMBER": "a number",
    "SIGN": "a sign",
    "PERCENT": "`%`",
    "SWEEP_PAIRS": "`sweep pairs`",
    "_NL": "the end of the line",
    "$END": "the end of the file",
}


def grammar_text() -> str:
    """The grammar's text: beside this file when installed, in `grammars/` in a checkout."""
    for place in _PLACES:
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise FileNotFoundError("circuit.lark is missing from the installation")


class _KeepBad(PostLex):
    """Keeps the terminal BAD, which no rule uses: any stray character becomes a token, so that
    lexing never fails and the parser alone decides what an error is."""

    always_accept = ("BAD",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        return stream


@cache
def grammar() -> Lark:
    """The LALR(1) parser."""
    return Lark(
        grammar_text(), parser="lalr", lexer="basic", propagate_positions=True, postlex=_KeepBad()
    )


@cache
def _literals() -> dict[str, str]:
    patterns = {terminal.name: terminal.pattern for terminal in grammar().terminals}
    return {name: pattern.value for name, pattern in patterns.items() if pattern.type == "str"}


@cache
def keywords() -> frozenset[str]:
    """Words of the language that cannot be used as names."""
    return frozenset(text for text in _literals().values() if text.isidentifier())


def terminal_in_words(name: str) -> str:
    """What a reader calls a terminal: `` `at` `` for a literal, `a name` for NAME."""
    literal = _literals().get(name)
    return _WORDS.get(name) or (f"`{literal}`" if literal is not None else name)


def keyword_of(name: str) -> str | None:
    """The keyword that a terminal stands for, or None when it stands for no word."""
    literal = _literals().get(name)
    return literal if literal is not None and literal.isidentifier() else None


def terminal_pattern(name: str) -> str:
    """The regular expression of a terminal, such as COMPONENT, for what colours texts."""
    return str(next(t.pattern.to_regexp() for t in grammar().terminals if t.name == name))


@cache
def signs() -> tuple[str, ...]:
    """Literals of the language that are no words, the longest first: `->`, `>=`, `{`."""
    found = {text for text in _literals().values() if not text.isidentifier()}
    return tuple(sorted(found, key=lambda text: (-len(text), text)))
