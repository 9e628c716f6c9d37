"""What the cost of an experiment depends on in a batch of prompts: how many tokens, and where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from circuitlang.circuit import AT_END, TOKEN, Position


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


def rows_of_batches(lengths: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Which prompts share a batch: at most ``size`` of one length, in the file's order."""
    rows: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        rows.setdefault(length, []).append(row)
    return [
        tuple(some[start : start + size])
        for some in rows.values()
        for start in range(0, len(some), size)
    ]
