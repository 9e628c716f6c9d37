"""What the resamples say about an estimate: p-values and intervals, widened for small samples."""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from circuitlang.report import Interval
from circuitlang.verdict.bootstrap import Array, Resampler


@dataclass(frozen=True, slots=True)
class Widening:
    """From percentiles of the resamples to one-sided errors and back.

    Percentile intervals are too narrow for small samples: they use normal quantiles and the
    variance with divisor n. The expanded percentile (Hesterberg 2015, The American Statistician
    69:371-386) reads off Phi(-scale * t) instead. With one template ``scale`` is sqrt(n / (n - 1))
    and ``freedom`` n - 1, as there; with more, the scale that makes the stratified variance
    unbiased, and Satterthwaite's degrees of freedom (1946, Biometrics Bulletin 2:110-114).
    """

    scale: float
    freedom: float

    @classmethod
    def of(cls, values: Array, resampler: Resampler) -> "Widening":
        """For the mean of ``values [prompt]``; every template must have two prompts or more."""
        sizes, prompts = resampler.sizes, len(values)
        parts = resampler.within(values) * sizes / prompts**2
        total, shown = parts.sum(), (parts * (sizes - 1) / sizes).sum()
        squares = (parts**2 / (sizes - 1)).sum()
        if squares <= 0:  # nothing varies; or so little that its square is zero
            freedom = prompts - len(sizes)
            return cls(math.sqrt(prompts / freedom), freedom)
        return cls(math.sqrt(total / shown), float(total**2 / squares))

    def percentile(self, error: float) -> float:
        """The percentile to read off for a one-sided error."""
        quantile = -special.stdtrit(self.freedom, error)
        return float(special.ndtr(-self.scale * quantile))

    def error(self, share: float) -> float:
        """The one-sided error for which ``share`` is the percentile: inverse of `percentile`."""
        quantile = -special.ndtri(share) / self.scale
        return float(special.stdtr(self.freedom, -quantile))

    def gain(self, error: float) -> float:
        """How much narrower an interval were, could the variance be known: normal over t."""
        return float(special.ndtri(error) / special.stdtrit(self.freedom, error))


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """An estimate in every resample, sorted from the low end and from the high end.

    Tests and intervals count the same resamples, so a p-value is at most a level exactly when the
    interval of that level leaves out the limit. A resample in which the estimate is not defined
    stands at the far end of both, and so counts against every conclusion.
    """

    low: Array
    high: Array
    resamples: int
    prompts: int
    widening: Widening

    @classmethod
    def of(cls, values: Array, prompts: int, widening: Widening) -> "Distribution":
        """From ``values [resample]``; NaN where the estimate is not defined."""
        undefined = np.isnan(values)
        low = np.sort(np.where(undefined, -np.inf, values))
        high = np.sort(np.where(undefined, np.inf, values))[::-1]
        return cls(low, high, len(values), prompts, widening)

    @property
    def smallest(self) -> float:
        """The smallest p-value there can be.

        The resamples have a smallest share (the plus-one rule), and n prompts all lie on one side
        of the truth with a chance of 2**-n, which no resampling sees.
        """
        return self.error(1)

    def p_above(self, limit: float) -> float:
        """One-sided p-value of the estimand lying above a limit."""
        return self.error(1 + int(np.count_nonzero(self.low <= limit)))

    def p_below(self, limit: float) -> float:
        """One-sided p-value of the estimand lying below a limit."""
        return self.error(1 + int(np.count_nonzero(self.high >= limit)))

    def interval(self, error: float) -> Interval:
        """The interval with ``error`` on each side, or with the smallest error there is."""
        error = max(error, self.smallest)
        last = self._rank(error) - 1
        return Interval(low=float(self.low[last]), high=float(self.high[last]), level=1 - 2 * error)

    def tails(self, error: float) -> "Distribution":
        """What intervals with ``error`` or less on each side need, in less memory."""
        rank = self._rank(max(error, self.smallest))
        return replace(self, low=self.low[:rank].copy(), high=self.high[:rank].copy())

    def error(self, count: int) -> float:
        """The one-sided error that a count of resamples amounts to."""
        error = self.widening.error(count / (self.resamples + 1))
        return max(error, 2.0**-self.prompts)

    def _rank(self, error: float) -> int:
        """The largest count that amounts to at most ``error``."""
        rank = max(1, int(self.widening.percentile(error) * (self.resamples + 1)))
        # The quantile functions are inverse to each other only up to rounding.
        while self.error(rank + 1) <= error:
            rank += 1
        while rank > 1 and self.error(rank) > error:
            rank -= 1
        return rank
