"""Resampling and testing the effects of many claims at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from circuitlang.circuit import Bound
from circuitlang.verdict.bootstrap import Array, Resampler
from circuitlang.verdict.decision import FLOAT_NOISE, Tests, bound_tests
from circuitlang.verdict.distribution import Distribution, Widening
from circuitlang.verdict.effect import Effect, ratio

_HELD = 20_000_000
"""Most resampled means held at once; effects are taken in groups of so many."""


@dataclass(frozen=True, slots=True, eq=False)
class Tested:
    """An effect with its tests and what its intervals need; or the error that there is none."""

    effect: Effect
    tests: Tests
    distribution: Distribution


def sample_effects(
    effects: Sequence[tuple[Effect, Bound]], draws: Resampler, level: float, family: int
) -> Iterator[Tested | str]:
    """Every effect resampled and tested, in turn; or why that cannot be done.

    A fraction needs a denominator that is above zero at the level that the first claim of the
    family must reach, ``level / family``: otherwise a PASS could come from dividing by noise.
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
        for effect, bound in group:
            above = next(means)
            below = None if effect.denominator is None else next(means)
            yield _sample(effect, bound, above, below, draws, (level, level / family))


def _sample(
    effect: Effect,
    bound: Bound,
    above: Array,
    below: Array | None,
    draws: Resampler,
    levels: tuple[float, float],
) -> Tested | str:
    prompts = len(effect.numerator)
    if effect.denominator is not None and not effect.whole > FLOAT_NOISE:
        return _nothing_below(effect)
    values = above if below is None else ratio(above, below)
    if not np.isfinite(effect.value) or np.isinf(values).any():
        return f"{effect.definition} is too large for a number"
    distribution = Distribution.of(values, prompts, Widening.of(effect.residuals, draws))
    if effect.denominator is not None and below is not None:
        whole = Distribution.of(below, prompts, Widening.of(effect.denominator, draws))
        undefined = int(np.isnan(values).sum())
        p_value = max(whole.p_above(0.0), distribution.error(1 + undefined))
        if p_value > max(levels[1], distribution.smallest, whole.smallest):
            return _nothing_below(effect)
    return Tested(effect, bound_tests(distribution, bound), distribution.tails(levels[0]))


def _nothing_below(effect: Effect) -> str:
    return (
        f"there is nothing to divide by: the denominator of {effect.definition} is "
        f"{effect.whole:.4g} and not reliably above zero"
    )
