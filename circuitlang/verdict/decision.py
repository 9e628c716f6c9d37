"""Deciding a bound: one-sided tests, and the verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from circuitlang.circuit import Bound
from circuitlang.report import Verdict

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


@dataclass(frozen=True, slots=True)
class OneSided:
    """p-values of an effect lying above and below one limit."""

    above: float
    below: float

    def and_also(self, other: "OneSided") -> "OneSided":
        """Both tests must reject: the larger p-value counts."""
        return OneSided(max(self.above, other.above), max(self.below, other.below))


def limits_of(bound: Bound) -> tuple[float, ...]:
    """The limits of a bound, the lower one first."""
    return tuple(limit for limit in (bound.low, bound.high) if limit is not None)


def bound_tests(bound: Bound, tests: Sequence[OneSided]) -> Tests:
    """The p-values of the two conclusions, from those of each of `limits_of` the bound.

    To lie in a range an effect must pass both of its limits, so the larger p-value counts and the
    level is not shared (TOST). To lie outside it one limit is enough: two chances to be wrong, so
    the smaller p-value is doubled.
    """
    low = tests[0] if bound.low is not None else None
    high = tests[-1] if bound.high is not None else None
    inside = [*([low.above] if low else []), *([high.below] if high else [])]
    outside = [*([low.below] if low else []), *([high.above] if high else [])]
    return Tests(max(inside), min(1.0, len(tests) * min(outside)))


def sides(bound: Bound) -> int:
    """Number of limits of a bound: in how many ways an effect can lie outside it."""
    return len(limits_of(bound))


def is_near(value: float, bound: Bound, noise: float) -> bool:
    """Whether float noise alone could put an estimate on the other side of a limit."""
    return any(abs(value - limit) < noise for limit in limits_of(bound))


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
