"""RASP programs with different composition, and prompts on which their edges carry something.

All are compiled with causal attention, so a program means what Tracr's causal evaluator says. Four
are Tracr's own (`tracr.compiler.lib`); its reversing looks at the whole prompt, as END alone does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tracr.compiler import lib
from tracr.rasp import rasp

from tests.tracr_models import BOS


def _equal(key: Any, query: Any) -> bool:
    """As `Comparison.EQ`, but nothing (the word before the first) equals no word."""
    return key == query


@dataclass(frozen=True)
class Program:
    """A program, its words, its longest prompt without BOS, how its output becomes logits, and the
    `prompts` and `metric` of a circuit file.

    An output that is a word of the vocabulary becomes that word's logit. A number becomes the logit
    of BOS, and every other logit is zero: the difference of the two is the number. For truth
    values, True becomes the logit of BOS and False that of every other word.
    """

    make: Callable[[], rasp.SOp]
    words: str
    length: int
    readout: Mapping[str, Mapping[Any, float]]
    prompts: str
    metric: str

    @property
    def vocabulary(self) -> set[str]:
        return set(self.words)


def _words(words: str) -> dict[str, dict[Any, float]]:
    return {word: {word: 1.0} for word in words}


_NUMBER: dict[str, dict[Any, float]] = {BOS: {None: 1.0}}


def _truth(words: str) -> dict[str, dict[Any, float]]:
    return {BOS: {True: 1.0}} | {word: {False: 1.0} for word in words}


def _induction() -> rasp.SOp:
    """The word that followed the last word's earlier occurrence: K-composition of two heads."""
    before = lib.shift_by(1, rasp.tokens).named("before")
    return rasp.Aggregate(rasp.Select(before, rasp.tokens, _equal), rasp.tokens).named("induction")


def _recall() -> rasp.SOp:
    """The word at the index that says how often the last word has occurred: a head counts, an MLP
    makes it a number, and that is another head's query."""
    count = lib.make_hist().named("count")
    return rasp.Aggregate(rasp.Select(rasp.indices, count, _equal), rasp.tokens).named("recall")


PROGRAMS = {
    "fraction": Program(
        lambda: lib.make_frac_prevs(rasp.tokens == "x"),
        "wxyz",
        4,
        _NUMBER,
        """
  clean   "{BOS} {A} {B} {C} {D}"
  corrupt A = "w", B = C
  BOS     from "BOS"
  A       from "x"
  B       from "w", "x", "y", "z"
  C       from "w", "y", "z"
  D       from "w", "x", "y", "z\"""",
        "logit_diff(BOS, A)",
    ),
    # Two heads of one layer that pull in opposite directions: 200 % and -100 %.
    "balance": Program(
        lambda: lib.make_pair_balance(rasp.tokens, "l", "r"),
        "lrab",
        6,
        _NUMBER,
        """
  clean   "{BOS} {D} {A} {B} {C} {E} {F}"
  corrupt A = "a", B = "b", C = "a"
  BOS     from "BOS"
  A       from "l"
  B       from "r"
  C       from "l"
  D       from "l", "r", "a", "b"
  E       from "l", "r", "a", "b"
  F       from "l", "r", "a", "b\"""",
        "logit_diff(BOS, A)",
    ),
    # Every input of an AND is needed: each edge alone breaks it.
    "pattern": Program(
        lambda: lib.detect_pattern(rasp.tokens, "abc"),
        "abcd",
        6,
        _truth("abcd"),
        """
  clean   "{BOS} {P} {R} {T} {A} {B} {C}"
  corrupt A = "d", B = "d", C = "d"
  BOS     from "BOS"
  P       from "a", "b", "c", "d"
  R       from "a", "b", "c", "d"
  T       from "a", "b", "c", "d"
  A       from "a"
  B       from "b"
  C       from "c\"""",
        "logit_diff(BOS, A)",
    ),
    "induction": Program(
        _induction,
        "abcdef",
        5,
        _words("abcdef"),
        """
  clean      "{BOS} {X} {A} {Y} {B} {X}"
  corrupt    X1 = Y, Y = X
  BOS        from "BOS"
  X, A, Y, B from "a", "b", "c", "d", "e", "f\"""",
        "logit_diff(A, B)",
    ),
    "recall": Program(
        _recall,
        "abcde",
        4,
        _words("abcde"),
        """
  clean   "{BOS} {X} {A} {B} {X}"
  corrupt X1 = fresh
  BOS     from "BOS"
  X, A, B from "a", "b", "c", "d", "e\"""",
        "logit_diff(B, A)",
    ),
    # The length is counted, turned into an index and asked for, and no corruption may change it.
    "reverse": Program(
        lambda: lib.make_reverse(rasp.tokens),
        "abcde",
        4,
        _words("abcde"),
        """
  clean      "{BOS} {A} {B} {C} {D}"
  corrupt    A = B, B = A
  BOS        from "BOS"
  A, B, C, D from "a", "b", "c", "d", "e\"""",
        "logit_diff(A, B)",
    ),
}


def circuit_text(name: str, edges: list[str], dtype: str = "float64") -> str:
    """A circuit file over a program's prompts; the model is a folder beside it, named after it."""
    program, lines = PROGRAMS[name], "\n  ".join(edges)
    return f"""circuit {name}
model "./{name}" dtype {dtype}
prompts {{{program.prompts}
  sample 32 seed 0
}}
metric {program.metric}
edges {{
  {lines}
}}
test {{
  random edges 0
}}
"""
