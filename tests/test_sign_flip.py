"""Sign-flip tests against SciPy's permutation test, and how often they are wrong."""

import numpy as np
import pytest
from scipy import stats

from circuitlang.statistics.bootstrap import Resampler
from circuitlang.statistics.permutations import smallest_p
from circuitlang.statistics.sign_flip import sign_flip_p


def scipys(values: np.ndarray) -> float:
    found = stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=np.inf,
        vectorized=False,
    )
    return float(found.pvalue)


@pytest.mark.parametrize("count", [4, 7, 10])
@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.5, 5.0])
def test_few_prompts_are_counted_exactly_as_scipy_does(count, shift):
    values = np.random.default_rng(count).normal(shift, 1, count)
    ours = sign_flip_p(values[:, None], Resampler((0,) * count, 1000, 0))
    assert ours[0] == pytest.approx(scipys(values), abs=1e-12)


def test_ties_count():
    """1, 1, 1, -1: sums of all flips of four ones; 2 or more in 5 of 16."""
    ours = sign_flip_p(np.array([[1.0], [1.0], [1.0], [-1.0]]), Resampler((0,) * 4, 1000, 0))
    assert ours[0] == 5 / 16


def test_four_pairs_reach_a_sixteenth():
    ours = sign_flip_p(np.full((4, 1), 0.1), Resampler((0,) * 4, 1000, 0))
    assert ours[0] == 0.0625 == smallest_p(4, 1000)


def test_many_prompts_take_random_flips_and_the_plus_one_rule():
    values = np.random.default_rng(3).normal(0.25, 1, 40)
    draws = Resampler((0,) * 40, 100_000, 7)
    ours = float(sign_flip_p(values[:, None], draws)[0])
    theirs = stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=100_000,
        rng=np.random.default_rng(1),
        vectorized=True,
    ).pvalue
    assert ours == pytest.approx(theirs, abs=5 * np.sqrt(2 * ours / 100_000))
    certain = sign_flip_p(np.ones((40, 1)), Resampler((0,) * 40, 999, 7))
    assert certain[0] == 1 / 1000 == smallest_p(40, 999)


def test_every_column_is_tested_alone_and_the_same_flips_serve_all():
    columns = np.random.default_rng(0).normal(0.2, 1, (30, 3))
    draws = Resampler((0,) * 30, 2000, 4)
    together = sign_flip_p(columns, draws)
    assert [sign_flip_p(columns[:, [j]], draws)[0] for j in range(3)] == pytest.approx(together)


def test_templates_at_different_levels_cost_no_power_and_make_no_false_alarm():
    """The mean over templates is 0 or 0.5; the templates lie 10 below and above it."""
    count, repetitions, level = 40, 2000, 0.05
    templates = np.arange(count) % 2
    draws = Resampler(tuple(templates.tolist()), 2000, 1)
    noise = np.random.default_rng(5).normal(size=(count, repetitions))
    values = noise + np.where(templates == 0, -10.0, 10.0)[:, None]
    wrong = int((sign_flip_p(values, draws) <= level).sum())
    assert wrong <= stats.binom.isf(1e-4, repetitions, level)
    assert wrong >= stats.binom.ppf(1e-4, repetitions, level)
    found = float((sign_flip_p(values + 0.5, draws) <= level).mean())
    # Two templates estimate two means: Student's t with 38 degrees of freedom.
    power = stats.nct.sf(stats.t.isf(level, 38), 38, 0.5 * np.sqrt(count))
    assert found == pytest.approx(power, abs=0.04)
    plain = float((sign_flip_p(values + 0.5, Resampler((0,) * count, 2000, 1)) <= level).mean())
    assert plain < 0.01  # so moving the templates is what keeps the power
