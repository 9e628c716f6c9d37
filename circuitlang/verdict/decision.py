"""Deciding a bound: one-sided tests, Holm over the family, and the verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from circuitlang.circuit import Bound
from circuitlang.report import Interval, Verdict
from circuitlang.verdict.distribution import Distribution

FLOAT_NOISE = 1e-4
"""An estimate this close to its bound is undecided: it could fall on either side of it by the
order of a sum alone."""

_MOST_PROMPTS = 10_000_000


@dataclass(frozen=True, slots=True)
class Tests:
    """One-sided p-values of the two conclusions about a bound.

    ``p_pass`` tests the null hypothesis that the effect lies outside the bound (both sides for a
    range: TOST), ``p_fail`` that it lies inside.
    """

    __test__ = False  # not a pytest class

    p_pass: float
    p_fail: float


@dataclass(frozen=True, slots=True)
class Level:
    """The level that Holm held a hypothesis against, and whether it was rejected."""

    value: float
    rejected: bool


def bound_tests(distribution: Distribution, bound: Bound) -> Tests:
    """Both p-values by inverting the bootstrap interval.

    To lie in a range an effect must pass both of its limits, so the larger p-value counts and the
    level is not shared (TOST). To lie outside it one limit is enough: two chances to be wrong, so
    the smaller p-value is doubled.
    """
    inside, outside = [], []
    if bound.low is not None:
        inside.append(distribution.p_above(bound.low))
        outside.append(distribution.p_below(bound.low))
    if bound.high is not None:
        inside.append(distribution.p_below(bound.high))
        outside.append(distribution.p_above(bound.high))
    return Tests(max(inside), min(1.0, sides(bound) * min(outside)))


def sides(bound: Bound) -> int:
    """Number of limits of a bound: in how many ways an effect can lie outside it."""
    return (bound.low is not None) + (bound.high is not None)


def holm_levels(p_values: Sequence[float | None], level: float) -> list[Level]:
    """Holm's step-down procedure (1979, Scandinavian Journal of Statistics 6:65-70).

    None stands for a hypothesis that could not be tested: it counts in the family and is never
    rejected. After the first hypothesis that is not rejected the level stays where it is.
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    family = max(1, len(p_values))
    result = [Level(level / family, False)] * len(p_values)
    rejected, reached = True, level / family
    for rank, (p, index) in enumerate(tested):
        if rejected:
            reached = level / (family - rank)
            rejected = p <= reached
        result[index] = Level(reached, rejected)
    return result


def plain_levels(p_values: Sequence[float | None], level: float) -> list[Level]:
    """Every hypothesis at the whole level: no correction."""
    return [Level(level, p is not None and p <= level) for p in p_values]


def is_near(value: float, bound: Bound, noise: float) -> bool:
    """Whether float noise alone could put an estimate on the other side of a limit."""
    limits = (limit for limit in (bound.low, bound.high) if limit is not None)
    return any(abs(value - limit) < noise for limit in limits)


def margin(value: float, bound: Bound) -> float:
    """How far inside its bound a value lies; negative outside."""
    low = value - bound.low if bound.low is not None else math.inf
    high = bound.high - value if bound.high is not None else math.inf
    return min(low, high)


def verdict_of(near: bool, passed: bool, failed: bool) -> Verdict:
    """PASS, FAIL, or INCONCLUSIVE when neither null hypothesis is rejected or float noise could
    have decided."""
    if near or passed == failed:
        return Verdict.INCONCLUSIVE
    return Verdict.PASS if passed else Verdict.FAIL


def prompts_needed(
    value: float, interval: Interval, bound: Bound, prompts: int, gain: float
) -> int | None:
    """Prompts at which the interval would just leave out the nearest limit, other things equal.

    Widths shrink with the square root of the number of prompts, and by ``gain`` once there are so
    many that Student's t is the normal. None when no thinkable number would do.
    """
    limits = [limit for limit in (bound.low, bound.high) if limit is not None]
    nearest = min(limits, key=lambda limit: abs(value - limit))
    distance = abs(value - nearest)
    reach = gain * (value - interval.low if nearest < value else interval.high - value)
    if distance * math.sqrt(_MOST_PROMPTS) <= reach * math.sqrt(prompts):
        return None
    return max(prompts + 1, math.ceil(prompts * (reach / distance) ** 2))
