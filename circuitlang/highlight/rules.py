"""What is coloured, and by which patterns: the first rule that matches at a place wins.

Words, signs and the shapes of components, numbers and strings come from the grammar, so that a
new keyword is coloured without a change here. No pattern depends on what stands on another line:
the language is line-oriented, and its lexer knows no context either.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from circuitlang.syntax.grammar import SECTIONS, keywords, signs, terminal_pattern


class Kind(StrEnum):
    """Classes of text that get colours of their own."""

    COMMENT = "comment"
    STRING = "string"
    COMPONENT = "component"
    SECTION = "section"
    KEYWORD = "keyword"
    BUILTIN = "builtin"
    SLOT = "slot"
    NAME = "name"
    NUMBER = "number"
    OPERATOR = "operator"
    PUNCTUATION = "punctuation"


@dataclass(frozen=True, slots=True)
class Rule:
    """Text that matches ``pattern``, a regular expression for Python and Oniguruma alike."""

    kind: Kind
    pattern: str


BUILTINS = ("END", "embed", "fresh", "logits")
"""Names that the language gives a meaning, although its grammar takes them for any name."""

TEMPLATE_SLOT = r"\{[A-Za-z_][A-Za-z0-9_]*\}"
"""A slot inside a template: `{IO}`."""

TEMPLATE_BRACE = r"\{\{|\}\}"
"""A brace that stands for itself inside a template."""

_WORD_ENDS = "(?![A-Za-z0-9_])"
_BRACKETS = frozenset("{}()[],.")


def rules() -> tuple[Rule, ...]:
    """The rules in order; what none of them matches is white space or no part of the language."""
    operators = [sign for sign in signs() if not _BRACKETS.issuperset(sign) or sign == ".."]
    brackets = [sign for sign in signs() if sign not in operators]
    return (
        Rule(Kind.COMMENT, terminal_pattern("COMMENT")),
        Rule(Kind.STRING, terminal_pattern("STRING")),
        Rule(Kind.COMPONENT, terminal_pattern("COMPONENT")),
        Rule(Kind.SECTION, _words(SECTIONS)),
        Rule(Kind.KEYWORD, terminal_pattern("SWEEP_PAIRS")),
        Rule(Kind.KEYWORD, _words(keywords() - set(SECTIONS))),
        Rule(Kind.SLOT, r"(?<=[A-Za-z0-9_]\.)[A-Za-z_][A-Za-z0-9_]*"),
        Rule(Kind.BUILTIN, _words(BUILTINS)),
        Rule(Kind.NAME, terminal_pattern("NAME")),
        Rule(Kind.NUMBER, terminal_pattern("NUMBER")),
        Rule(Kind.OPERATOR, "|".join([*map(re.escape, operators), terminal_pattern("SIGN")])),
        Rule(Kind.PUNCTUATION, "|".join(map(re.escape, brackets))),
    )


def _words(words: tuple[str, ...] | frozenset[str]) -> str:
    return f"(?:{'|'.join(sorted(words))}){_WORD_ENDS}"
