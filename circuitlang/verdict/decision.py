"""Deciding a bound: one-sided tests, Holm over the family, and the words for it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from circuitlang.circuit import Bound
from circuitlang.report import Interval, Verdict
from circuitlang.verdict.bootstrap import Array, Resampler, share_at_least, share_at_most

FLOAT_NOISE = 1e-4
"""An estimate this close to its bound is undecided: it could fall on either side of it by the
order of a sum alone."""


@dataclass(frozen=True, slots=True)
class Tests:
    """One-sided p-values of the two conclusions about a bound.

    ``p_pass`` tests the null hypothesis that the effect lies outside the bound (both sides for a
    range: TOST), ``p_fail`` that it lies inside.
    """

    __test__ = False  # not a pytest class

    p_pass: float
    p_fail: float


def test_bound(resampled: Array, bound: Bound, resampler: Resampler) -> Tests:
    """Both p-values by inverting the bootstrap interval."""
    outside, inside = [], []
    if bound.low is not None:
        outside.append(share_at_most(resampled, bound.low))
        inside.append(share_at_least(resampled, bound.low))
    if bound.high is not None:
        outside.append(share_at_least(resampled, bound.high))
        inside.append(share_at_most(resampled, bound.high))
    return Tests(resampler.p_value(max(outside)), resampler.p_value(min(inside)))


test_bound.__test__ = False  # type: ignore[attr-defined]  # not a pytest test


def holm_levels(p_values: Sequence[float | None], level: float) -> list[tuple[float, bool]]:
    """For each hypothesis the level that Holm held it against, and whether it was rejected.

    None stands for a hypothesis that could not be tested: it counts in the family and is never
    rejected (Holm 1979).
    """
    family = len(p_values)
    order = sorted(
        (i for i in range(family) if p_values[i] is not None), key=lambda i: p_values[i] or 0.0
    )
    result = [(level / max(1, family), False)] * family
    rejecting = True
    reached = level / max(1, family)
    for rank, index in enumerate(order):
        if rejecting:
            reached = level / (family - rank)
            rejecting = (p_values[index] or 0.0) <= reached
        result[index] = (reached, rejecting)
    return result


def interval_of(resampled: Array, level: float, resampler: Resampler) -> Interval:
    """The interval with error ``level`` on each side; it decides as the tests do."""
    tail = resampler.percentile(level)
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high), level=1 - 2 * level)


def verdict_of(
    value: float, bound: Bound, passed: bool, failed: bool
) -> Verdict:
    """PASS, FAIL, or INCONCLUSIVE when neither null hypothesis is rejected or float noise could
    have decided."""
    near = any(
        limit is not None and abs(value - limit) < FLOAT_NOISE for limit in (bound.low, bound.high)
    )
    if near or passed == failed:
        return Verdict.INCONCLUSIVE
    return Verdict.PASS if passed else Verdict.FAIL


def prompts_needed(value: float, interval: Interval, bound: Bound, prompts: int) -> int | None:
    """Prompts at which the interval would just leave out the nearest limit, other things equal.

    Interval widths shrink with the square root of the number of prompts. None when the estimate
    stands on the limit, which no number of prompts resolves.
    """
    limits = [limit for limit in (bound.low, bound.high) if limit is not None]
    nearest = min(limits, key=lambda limit: abs(value - limit))
    distance = abs(value - nearest)
    reach = value - interval.low if nearest < value else interval.high - value
    if distance < FLOAT_NOISE:
        return None
    needed = math.ceil(prompts * (reach / distance) ** 2)
    return needed if needed < 10_000_000 else None
