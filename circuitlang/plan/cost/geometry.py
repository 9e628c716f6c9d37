"""What the cost of an experiment depends on in a batch of prompts: how many tokens, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from circuitlang.circuit import AT_END, TOKEN, Position

_SHARE = 4
"""A batch may end early once it holds this part of what it could."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """A batch of ``prompts`` prompt pairs of ``length`` tokens each.

    ``places`` are named positions with the first token, counted from 0, that one stands on in any
    of the prompts: passes over the batch start there.
    """

    prompts: int
    length: int
    places: tuple[tuple[Position, int], ...] = ()

    @classmethod
    def of(cls, length: int, places: Sequence[Mapping[Position, int]]) -> "Geometry":
        """Of prompts of one length, with the token of each named position for each prompt."""
        named = {position for one in places for position in one}
        first = {p: min(one.get(p, length - 1) for one in places) for p in named}
        return cls(len(places), length, tuple(sorted(first.items())))

    @property
    def tokens(self) -> int:
        """Of all prompts."""
        return self.prompts * self.length

    def count(self, positions: Sequence[Position]) -> int:
        """How many tokens of a prompt an edit touches; no positions mean every token."""
        return len(positions) or self.length

    def first(self, positions: Sequence[Position]) -> int:
        """The first token that an edit touches in any prompt."""
        return min((self._token(position) for position in positions), default=0)

    def _token(self, position: Position) -> int:
        if position == AT_END:
            return self.length - 1
        if position.slot == TOKEN:
            return position.offset
        return dict(self.places)[position]


def rows_of_batches(
    prompts: Sequence[tuple[int, Mapping[Position, int]]], size: int
) -> list[tuple[int, ...]]:
    """Which prompts, each of a length and with positions, share a batch of at most ``size``.

    A batch has one length. Tokens before the first changed one of any of its prompts are never
    computed, so prompts whose positions agree stay together: where positions change, a batch that
    is not too small ends.
    """
    places = [(length, tuple(i for _, i in sorted(at.items()))) for length, at in prompts]
    found: list[list[int]] = []
    for row in sorted(range(len(prompts)), key=lambda row: places[row]):
        last = places[found[-1][-1]] if found else None
        full = not found or len(found[-1]) == size or places[row][0] != (last or (0,))[0]
        if full or (places[row] != last and len(found[-1]) >= size / _SHARE):
            found.append([])
        found[-1].append(row)
    return [tuple(rows) for rows in found]
