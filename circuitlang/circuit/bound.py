"""What a claim promises about its effect: an interval, with its unit."""

from dataclasses import dataclass, replace
from enum import StrEnum


class Unit(StrEnum):
    """FRACTION: of the clean-to-corrupt difference of the metric.

    LOGITS, NATS, PROB (a probability), RANKS, ACCURACY (a share of prompts): what metrics
    themselves are counted in. CORRELATION: a distance correlation, from 0 to 1.
    """

    FRACTION = "fraction"
    LOGITS = "logits"
    NATS = "nats"
    PROB = "prob"
    RANKS = "ranks"
    ACCURACY = "accuracy"
    CORRELATION = "correlation"


RAW_UNITS = (Unit.LOGITS, Unit.NATS, Unit.PROB, Unit.RANKS, Unit.ACCURACY)


@dataclass(frozen=True, slots=True)
class Bound:
    """The effect lies in [low, high]; None means no limit on that side.

    ``is_margin`` marks the symmetric bound of a `no ... within` claim.
    """

    low: float | None
    high: float | None
    unit: Unit = Unit.FRACTION
    is_default: bool = False
    is_margin: bool = False

    def inside(self, lowest: float, highest: float) -> "Bound | None":
        """For values from lowest to highest: without the end of a range that none of them misses.

        None where all values meet the bound or none does, or where a limit alone does.
        """
        low = None if self.high is not None and self.low == lowest else self.low
        high = None if self.low is not None and self.high == highest else self.high
        ends = [end for end in (low, high) if end is not None]
        if not ends or not all(lowest < end < highest for end in ends):
            return None
        return replace(self, low=low, high=high)

    def excludes(self, other: "Bound") -> bool:
        """Whether no effect lies in both, as far as their units can be compared."""
        if self.unit is not other.unit:
            return False
        lows = [bound.low for bound in (self, other) if bound.low is not None]
        highs = [bound.high for bound in (self, other) if bound.high is not None]
        return bool(lows and highs) and max(lows) > min(highs)

    def __str__(self) -> str:
        low, high = self._show(self.low), self._show(self.high)
        if self.low is not None and self.high is not None:
            return f"within {high}" if self.is_margin else f"in {low}..{high}"
        return f">= {low}" if self.high is None else f"<= {high}"

    def _show(self, value: float | None) -> str:
        if value is None:
            return ""
        if self.unit is Unit.CORRELATION:
            return f"{value:.6g}"
        return f"{100 * value:.6g}%" if self.unit is Unit.FRACTION else f"{value:.6g} {self.unit}"
