"""What is read off the logits at END."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import inf
from operator import ge, gt, le, lt
from types import MappingProxyType

from circuitlang.circuit.bound import Unit
from circuitlang.circuit.later import later
from circuitlang.source import Span

ANSWER = "answer"
"""The slot that a metric of one word reads when the file names none."""

JOINED = ("without", "space")
"""Words after a metric whose own words stand right after the prompt."""

NUMBER = re.compile(r"[0-9]{1,18}")
COMPARISONS: dict[str, Callable[[int, int], bool]] = {">": gt, "<": lt, ">=": ge, "<=": le}
"""Of whole numbers; `!=` compares texts."""
OTHER_THAN = "!="
LARGEST = "max"
"""The word before a set of which the largest logit is read."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What holds for a metric whatever it reads.

    ``arguments`` counts them. ``lower_is_better``: effects are those of minus the metric, so that
    an effect is positive where a part helps. ``has_zero``: zero says that the model prefers
    neither or does nothing, so that a share of the metric itself means something.
    ``of_differences``: the sign tells whether the model prefers the answer. ``has_slope``: it
    changes smoothly with the logits, and has a slope in the clean run. It is never below
    ``lowest`` nor above ``highest``.
    """

    unit: Unit
    arguments: int
    lower_is_better: bool = False
    has_zero: bool = False
    of_differences: bool = False
    has_slope: bool = True
    lowest: float = -inf
    highest: float = inf


METRICS = {
    "logit_diff": Kind(Unit.LOGITS, 2, has_zero=True, of_differences=True),
    "prob_diff": Kind(Unit.PROB, 2, has_zero=True, of_differences=True, lowest=-1, highest=1),
    "logprob": Kind(Unit.NATS, 1, highest=0),
    "prob": Kind(Unit.PROB, 1, has_zero=True, lowest=0, highest=1),
    "rank": Kind(Unit.RANKS, 1, lower_is_better=True, has_slope=False, lowest=1),
    "accuracy": Kind(Unit.ACCURACY, 1, has_zero=True, has_slope=False, lowest=0, highest=1),
    "loss": Kind(Unit.NATS, 1, lower_is_better=True, lowest=0),
    "kl": Kind(Unit.NATS, 0, lower_is_better=True, has_slope=False, lowest=0),
}

Sets = Mapping[str, tuple[str, ...]]
"""The words of each list of a row, by its column."""
NO_SETS: Sets = MappingProxyType({})
_SHOWN = 6

_NOISE = {Unit.PROB: 2.5e-5}
_USUAL_NOISE = 1e-4


@dataclass(frozen=True, slots=True)
class FixedWord:
    """`"he"`: the same word after every prompt."""

    text: str

    def __str__(self) -> str:
        return f'"{self.text}"'


@dataclass(frozen=True, slots=True)
class WordSet:
    """`NEXT > YY`: words of NEXT's list that compare so, as whole numbers, with YY's clean word.

    `LETTERS != L` has all words but L's. Without a ``comparison`` it has all words. ``of_rows``:
    NEXT is a column whose value is a list, so that each row has words of its own, and ``words`` is
    empty.
    """

    name: str
    comparison: str
    limit: str
    words: tuple[str, ...]
    of_rows: bool = later(False)

    def __str__(self) -> str:
        return self.shown(self.limit)

    def shown(self, limit: str) -> str:
        """For a reader, with a word in place of the limit."""
        return f"{self.name} {self.comparison} {limit}" if self.comparison else self.name

    def than(self, word: str, own: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The set in a pair whose limit has this clean word; it may be empty.

        ``own`` are the words of the pair's row, where the set is of rows.
        """
        if self.of_rows:
            return _compared(own, self.comparison, word)
        return _than(self, word) if self.comparison else self.words


@dataclass(frozen=True, slots=True)
class Largest:
    """`max LETTERS != L`: the largest logit of a set, whichever word has it in a run."""

    words: WordSet

    def __str__(self) -> str:
        return f"{LARGEST} {self.words}"


@cache
def _than(words: WordSet, limit: str) -> tuple[str, ...]:
    return _compared(words.words, words.comparison, limit)


def _compared(words: tuple[str, ...], comparison: str, limit: str) -> tuple[str, ...]:
    if not comparison:
        return words
    if comparison == OTHER_THAN:
        return tuple(word for word in words if word != limit)
    holds = COMPARISONS[comparison]
    return tuple(word for word in words if holds(int(word), int(limit)))


Argument = str | FixedWord | WordSet | Largest
"""A slot by its name (its clean word), a fixed word, a set of words, or the largest logit of one.
"""


@dataclass(frozen=True, slots=True)
class Metric:
    """A number for every prompt, of the logits at END; docs/language.md defines each.

    The words are those of the clean prompt in every world, so a corrupt or patched run is scored on
    the same tokens (Wang et al. 2022, section 3). `prob_diff` is that of Hanna et al. 2023
    (arXiv:2305.00586, section 2). ``answer`` is None for `kl`, and ``distractor`` for all that do
    not compare. ``joined``: words stand right after the prompt, and not after a space.
    """

    name: str
    answer: Argument | None = None
    distractor: Argument | None = None
    joined: bool = later(False)
    span: Span = field(default=Span(0, 0), compare=False)

    def __str__(self) -> str:
        shown = ", ".join(map(str, self.arguments))
        name = f"{self.name}({shown})" if shown else self.name
        return f"{name} {' '.join(JOINED)}" if self.joined else name

    @property
    def kind(self) -> Kind:
        """What holds for every metric of this name."""
        return METRICS[self.name]

    @property
    def unit(self) -> Unit:
        """Of its values, and of bounds that are no share."""
        return self.kind.unit

    @property
    def sign(self) -> int:
        """What a value is multiplied with so that more is better: the score is sign x metric."""
        return -1 if self.kind.lower_is_better else 1

    @property
    def noise(self) -> float:
        """A difference of this size says nothing: rounding of a logit by 0.0001 makes it.

        A probability follows a logit with a slope of a quarter at most. Ranks and accuracies are
        whole numbers; of their means only the order of a sum is noise.
        """
        return _NOISE.get(self.unit, _USUAL_NOISE)

    @property
    def is_linear(self) -> bool:
        """Whether it is the difference of the same two logits in every run."""
        takes_largest = any(isinstance(each, Largest) for each in self.arguments)
        return self.name == "logit_diff" and not takes_largest

    @property
    def reads_whole_vocabulary(self) -> bool:
        """Whether more than two logits are needed."""
        return not self.is_linear

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """Answer and distractor, as far as there are."""
        return tuple(each for each in (self.answer, self.distractor) if each is not None)

    @property
    def sets(self) -> tuple[WordSet, ...]:
        """The sets among the arguments, also those of which the largest logit is read."""
        found = (each.words if isinstance(each, Largest) else each for each in self.arguments)
        return tuple(each for each in found if isinstance(each, WordSet))

    def words(self, values: Mapping[str, str], sets: Sets = NO_SETS) -> tuple[tuple[str, ...], ...]:
        """The words that each argument stands for in a pair with these clean words of slots.

        ``sets`` holds the lists of the pair's row.
        """
        return tuple(words_of(argument, values, sets) for argument in self.arguments)

    def shown(self, values: Mapping[str, str], sets: Sets = NO_SETS) -> tuple[str, str]:
        """Answer and distractor of a pair in words, empty where there is none."""
        words = [_shown(argument, values, sets) for argument in self.arguments]
        answer, distractor = (*words, "", "")[:2]
        return answer, distractor


def words_of(
    argument: Argument, values: Mapping[str, str], sets: Sets = NO_SETS
) -> tuple[str, ...]:
    """The words that an argument stands for in a pair, as :meth:`Metric.words`."""
    if isinstance(argument, FixedWord):
        return (argument.text,)
    if isinstance(argument, Largest):
        return words_of(argument.words, values, sets)
    if isinstance(argument, WordSet):
        limit = values[argument.limit] if argument.limit else ""
        return argument.than(limit, sets.get(argument.name, ()))
    return (values[argument],)


def _shown(argument: Argument, values: Mapping[str, str], sets: Sets) -> str:
    if isinstance(argument, Largest):
        return f"{LARGEST} {_shown(argument.words, values, sets)}"
    if isinstance(argument, WordSet):
        shown = argument.shown(values[argument.limit] if argument.limit else "")
        words = words_of(argument, values, sets) if argument.of_rows else ()
        more = ", ..." if words[_SHOWN:] else ""
        return f"{shown} ({', '.join(words[:_SHOWN])}{more})" if words else shown
    return words_of(argument, values)[0]
