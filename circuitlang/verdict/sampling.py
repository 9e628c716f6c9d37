"""Resampling and testing the effects of many claims at once."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from circuitlang.circuit import Bound
from circuitlang.statistics.bca import bca_shift
from circuitlang.statistics.bootstrap import Array, Resampler
from circuitlang.statistics.distribution import Distribution, Widening
from circuitlang.statistics.sign_flip import sign_flip_p
from circuitlang.verdict.decision import OneSided, Tests, bound_tests, limits_of
from circuitlang.verdict.effect import Effect, ratio
from circuitlang.verdict.shares import also_as_share
from circuitlang.verdict.whole import Family, is_sure, p_of_whole

_HELD = 20_000_000
"""Most resampled means held at once; effects are taken in groups of so many."""


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """An effect with its tests and what its intervals need; or the error that there is none.

    ``flips`` are the sign-flip p-values at each limit of the bound; ``tests`` takes them and those
    of the distribution together.
    """

    effect: Effect
    tests: Tests
    flips: tuple[OneSided, ...]
    distribution: Distribution


def sample_effects(
    effects: Sequence[tuple[Effect, Bound]], draws: Resampler, family: Family
) -> Iterator[Tested | str]:
    """Every effect resampled and tested, in turn; or why that cannot be done.

    A conclusion takes three tests that are wrong in different ways: the bootstrap, which sees how
    skewed the effects of the sample are; Student's t, which reckons with more skewness than the
    sample shows; and sign flips, which are exact for few prompts and take effects for symmetric.
    The largest p-value counts. The first two also make the interval.

    A fraction needs a denominator that is above zero at the level that the first claim of the
    family must reach: otherwise a PASS could come from dividing by noise.
    """
    size = max(1, _HELD // (2 * draws.resamples))
    for first in range(0, len(effects), size):
        group = effects[first : first + size]
        columns = [
            values
            for effect, _ in group
            for values in (effect.numerator, effect.denominator)
            if values is not None
        ]
        means = iter(draws.means(np.stack(columns, axis=1)).T)
        flips = iter(_flips(group, draws))
        for effect, bound in group:
            above = next(means)
            below = None if effect.denominator is None else next(means)
            own = tuple(also_as_share(next(flips), effect, x) for x in limits_of(bound))
            yield _sample(effect, bound, above, below, own, draws, family)


def _flips(group: Sequence[tuple[Effect, Bound]], draws: Resampler) -> list[OneSided]:
    """Sign-flip p-values at every limit of every bound, in turn."""
    columns = [effect.beyond(limit) for effect, bound in group for limit in limits_of(bound)]
    if not columns:
        return []
    values = np.stack(columns, axis=1)
    p_values = sign_flip_p(np.concatenate([values, -values], axis=1), draws)
    return [OneSided(*map(float, pair)) for pair in p_values.reshape(2, -1).T]


def _sample(
    effect: Effect,
    bound: Bound,
    above: Array,
    below: Array | None,
    flips: tuple[OneSided, ...],
    draws: Resampler,
    family: Family,
) -> Tested | str:
    prompts = len(effect.numerator)
    if effect.denominator is not None and not effect.whole > effect.noise:
        return _nothing_below(effect)
    values = above if below is None else ratio(above, below)
    if not np.isfinite(effect.value) or np.isinf(values).any():
        return f"{effect.definition} is too large for a number"
    shift = bca_shift(values, effect.value, _left_out(effect, draws), draws)
    widening = Widening.of(effect.residuals, draws).over(effect.whole)
    distribution = Distribution.of(values, effect.value, prompts, widening, shift)
    if effect.denominator is not None and below is not None:
        whole = p_of_whole(effect.denominator, below, draws)
        # A resample without a whole stands at the far end of both tails.
        if not is_sure(max(whole, distribution.p_above(-math.inf)), prompts, family):
            return _nothing_below(effect)
    tests = (
        OneSided(distribution.p_above(limit), distribution.p_below(limit)).and_also(flip)
        for limit, flip in zip(limits_of(bound), flips, strict=True)
    )
    return Tested(effect, bound_tests(bound, tuple(tests)), flips, distribution.tails(family.level))


def _left_out(effect: Effect, draws: Resampler) -> Array:
    """The effect without each prompt."""
    if effect.denominator is None:
        return draws.left_out(effect.numerator[:, None])[:, 0]
    means = draws.left_out(np.stack([effect.numerator, effect.denominator], axis=1))
    return ratio(means[:, 0], means[:, 1])


def _nothing_below(effect: Effect) -> str:
    swapped = effect.whole < -effect.noise
    hint = f"; {effect.hint}" if swapped else ""
    return (
        f"there is nothing to divide by: the denominator of {effect.definition} is "
        f"{effect.whole:.4g} and not reliably above zero{hint}"
    )
