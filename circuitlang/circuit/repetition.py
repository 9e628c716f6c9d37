"""Random tokens, repeated: drawn before the vocabulary is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from circuitlang.circuit.prompts import ANSWER, DISTRACTOR, RepeatedTokens

CURRENT, NEXT = "A", "B"
"""Positions: the token at END and the one that follows it, [A][B] ... [A], in each copy."""
UNKNOWN = {ANSWER: "\0answer", DISTRACTOR: "\0distractor"}
"""What stands for the metric's words until the vocabulary is known: no text of a file."""
CHANGES = (NEXT, CURRENT, "copy")


@dataclass(frozen=True, slots=True)
class Layout:
    """Prompt pairs as places of different tokens among themselves.

    ``clean`` and ``corrupt`` are indices of draws, and so are ``answer`` and ``distractor``.
    ``places`` gives the index in the prompt of each (position, occurrence), ``before`` the text
    that begins it.
    """

    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    answer: int
    distractor: int
    places: tuple[tuple[str, int, int], ...]
    before: str = ""


@dataclass(frozen=True, slots=True)
class DrawnTokens:
    """A prompt pair: numbers in [0, 1), each of which chooses one of the tokens that are left."""

    draws: tuple[float, ...]
    layout: Layout

    def tokens(self, vocabulary: Sequence[int]) -> tuple[int, ...]:
        """The token of each draw, all different.

        Raises:
            ValueError: the vocabulary has fewer tokens than there are draws.
        """
        if len(vocabulary) < len(self.draws):
            raise ValueError(f"{len(vocabulary)} tokens for {len(self.draws)} draws")
        taken: dict[int, int] = {}  # what a shuffle of the vocabulary has moved so far
        chosen = []
        for done, draw in enumerate(self.draws):
            index = done + int(draw * (len(vocabulary) - done))
            chosen.append(vocabulary[taken.get(index, index)])
            taken[index] = taken.get(done, done)
        return tuple(chosen)


def draws_of(generator: RepeatedTokens) -> int:
    """How many different tokens a prompt pair has."""
    return 2 * generator.length if generator.change == "copy" else generator.length + 1


def draw_tokens(generator: RepeatedTokens, random: Random) -> DrawnTokens:
    """One prompt pair; equal numbers of draws in every pair, so that pairs do not disturb others.

    The draws are the copy's tokens, and then the one that replaces A or B, or the other copy.
    """
    return DrawnTokens(
        tuple(random.random() for _ in range(draws_of(generator))), _layout(generator)
    )


@cache
def places_of(generator: RepeatedTokens) -> tuple[tuple[str, int, int], ...]:
    """Index in the prompt, counted after ``before``, of each (position, occurrence), in order."""
    length, end, earlier = generator.length, generator.end, generator.repeats - 1
    current = [(CURRENT, n + 1, n * length + end - 1) for n in range(earlier + 1)]
    following = [(NEXT, n + 1, n * length + end) for n in range(earlier)]
    return tuple(sorted([*current, *following], key=lambda place: place[2]))


@cache
def _layout(generator: RepeatedTokens) -> Layout:
    length, end, earlier = generator.length, generator.end, generator.repeats - 1
    copy = list(range(length))
    other, distractor = copy.copy(), length
    if generator.change == "copy":
        other = list(range(length, 2 * length))
        distractor = other[end]
    else:
        other[end if generator.change == NEXT else end - 1] = length
    return Layout(
        (*(copy * earlier), *copy[:end]),
        (*(other * earlier), *copy[:end]),
        copy[end],
        distractor,
        places_of(generator),
        generator.before,
    )
