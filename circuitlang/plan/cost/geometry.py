"""What the cost of an experiment depends on in a batch of prompts: how many tokens, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
    computed, so prompts whose positions agree stay together, unless they are very few. The longest
    come first: what is checked on the first batch should meet everything that length can bring.
    """
    places: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for row, (length, at) in enumerate(prompts):
        places.setdefault((length, tuple(i for _, i in sorted(at.items()))), []).append(row)
    groups: list[tuple[int, list[int]]] = []
    for (length, _), rows in sorted(places.items(), key=lambda item: (-item[0][0], item[0][1])):
        if groups and groups[-1][0] == length and len(groups[-1][1]) < size / _SHARE:
            groups[-1][1].extend(rows)
        else:
            groups.append((length, rows))
    return [part for _, rows in groups for part in _evenly(rows, size)]


def _evenly(rows: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Parts of at most ``size``, as equal as they can be."""
    parts = -(-len(rows) // size)
    cuts = [len(rows) * part // parts for part in range(parts + 1)]
    return [tuple(rows[a:b]) for a, b in pairwise(cuts)]
