"""A number line of fixed width that shows an interval against its bound."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from circuitlang.report.numbers import bound_limits
from circuitlang.report.report import ClaimReport

CELLS = 20


@dataclass(frozen=True, slots=True)
class Marks:
    """The signs on the line: a point on its interval, the allowed range in brackets, zero."""

    empty: str
    zero: str
    interval: str
    point: str


UNICODE = Marks("\u00b7", "\u2502", "\u2501", "\u25cf")
ASCII = Marks(".", ":", "=", "o")


@dataclass(frozen=True, slots=True)
class Scale:
    """One scale for all fraction claims of a report, so that their lines can be compared."""

    low: float
    high: float

    @classmethod
    def over(cls, claims: Iterable[ClaimReport]) -> "Scale | None":
        """The scale that holds zero and every interval and bound; None without a fraction claim."""
        ends = [0.0]
        for claim in claims:
            if claim.estimate is not None and claim.estimate.unit == "fraction":
                ends += [claim.estimate.interval.low, claim.estimate.interval.high]
                ends += [x for x in bound_limits(claim.bound) or () if math.isfinite(x)]
        low, high = min(ends), max(ends)
        return cls(low, high) if high > low else None

    def axis(self) -> str:
        """The scale's two ends, written above the lines."""
        # What rounds to zero has no sign.
        left, right = (f"{round(100 * end):d}%" for end in (self.low, self.high))
        return left + right.rjust(CELLS - len(left))

    def draw(self, claim: ClaimReport, marks: Marks) -> str:
        """The claim's line, blank for a claim in another unit.

        `[` and `]` are the limits of the claim's bound. Where signs meet in a cell, the point wins
        over a limit and a limit over the interval.
        """
        effect = claim.estimate
        if effect is None or effect.unit != "fraction":
            return ""
        cells = [marks.empty] * CELLS
        cells[self._cell(0.0)] = marks.zero
        first, last = self._cell(effect.interval.low), self._cell(effect.interval.high)
        cells[first : last + 1] = [marks.interval] * (last + 1 - first)
        for limit, bracket in zip(bound_limits(claim.bound) or (), "[]", strict=False):
            if math.isfinite(limit):
                cells[self._cell(limit)] = bracket
        cells[self._cell(effect.value)] = marks.point
        return "".join(cells)

    def _cell(self, value: float) -> int:
        place = (value - self.low) / (self.high - self.low)
        return min(CELLS - 1, max(0, round(place * (CELLS - 1))))
