"""Shares of a population that is only partly drawn, and beaten only more or less surely."""

import numpy as np
import pytest
from scipy import stats

from circuitlang.statistics.ranking import Ranking, fewest_draws, fewest_of

SURE, NOT = 1e-12, 1.0


def ranking(won, lost=0, open_=0, population=None):
    """So many comparisons surely won, surely lost, and undecided."""
    wins = (SURE,) * won + (NOT,) * (lost + open_)
    losses = (NOT,) * won + (SURE,) * lost + (NOT,) * open_
    return Ranking(wins, losses, population)


@pytest.mark.parametrize("won", [90, 95, 97, 100])
def test_sure_comparisons_leave_an_exact_binomial(won):
    found = ranking(won, 100 - won)
    exact = stats.binom.sf(won - 1, 100, 0.9)
    assert found.p_at_least(0.9) == pytest.approx(min(1.0, 2 * exact), rel=1e-6)
    fewer = stats.binom.sf(100 - won - 1, 100, 0.1)
    assert found.p_less(0.9) == pytest.approx(min(1.0, 2 * fewer), rel=1e-6)


def test_a_whole_population_leaves_no_luck():
    assert ranking(9, 1, population=10).p_at_least(0.9) < 1e-9
    assert ranking(8, 2, population=10).p_at_least(0.9) == 1.0
    assert ranking(8, 2, population=10).p_less(0.9) < 1e-9
    assert ranking(9, 1, population=10).p_less(0.9) == 1.0
    # One undecided comparison: neither.
    found = ranking(8, 1, 1, population=10)
    assert (found.p_at_least(0.9), found.p_less(0.9)) == (1.0, 1.0)


def test_a_part_of_a_population_is_hypergeometric():
    # 107 of 118 are a share of .9; under the null at most 106 are smaller.
    found = ranking(60, population=118)
    assert found.p_at_least(0.9) == pytest.approx(2 * stats.hypergeom.sf(59, 118, 106, 60))
    lost = ranking(52, 8, population=118)
    assert lost.p_less(0.9) == pytest.approx(2 * stats.hypergeom.sf(7, 118, 11, 60), rel=1e-6)


def test_partial_conjunction_by_hand():
    """Benjamini and Heller 2008: two of three nulls false has the p-value 2 p_(2)."""
    found = Ranking((0.001, 0.3, 0.01), (NOT,) * 3, population=3)
    assert found.p_at_least(0.6) == pytest.approx(0.02)
    assert found.p_at_least(1.0) == pytest.approx(0.3)
    assert found.p_at_least(0.3) == pytest.approx(0.003)


def test_bounds_say_what_the_p_values_say():
    for found in (
        ranking(97, 3), ranking(50, 10, 40), ranking(9, 1, population=10),
        ranking(60, 5, population=118), ranking(0, 10),
    ):  # fmt: skip
        low, high = found.bounds(0.05)
        assert 0.0 <= low <= high <= 1.0
        if low > 0.0:
            assert found.p_at_least(low - 1e-6) <= 0.05
        if low + 0.02 < 1:
            assert found.p_at_least(low + 0.02) > 0.05
    assert ranking(9, 1, population=10).bounds(0.05) == pytest.approx((0.9, 0.9))


def test_the_fewest_draws_that_can_pass():
    # 0.9^29 = .047; half of the level goes to the luck of the draw.
    assert fewest_draws(0.9, 0.1) == 29
    for level in (0.05, 0.004):
        n = fewest_draws(0.9, level)
        assert ranking(n).p_at_least(0.9) <= level < ranking(n - 1).p_at_least(0.9)
        m = fewest_of(118, 0.9, level)
        assert ranking(m, population=118).p_at_least(0.9) <= level
        assert ranking(m - 1, population=118).p_at_least(0.9) > level


def _simulated(share, rng, prompts=40, draws=60):
    """Means of squares with noise; a share of the others is truly smaller, the rest equal."""
    own = rng.standard_normal(prompts) ** 2
    smaller = rng.random(draws) < share
    scale = np.where(smaller, 0.3, 1.0)
    others = (rng.standard_normal((draws, prompts)) ** 2) * scale[:, None]
    p = stats.ttest_1samp(own - others, 0.0, axis=1, alternative="greater").pvalue
    return Ranking(tuple(p), tuple(1 - p), None)


def test_the_level_is_kept_at_the_edge_and_there_is_power_beyond_it():
    rng = np.random.default_rng(3)
    at_the_edge = sum(_simulated(0.7, rng).p_at_least(0.7) <= 0.05 for _ in range(400))
    assert stats.binom.sf(at_the_edge - 1, 400, 0.05) > 0.001
    beyond = sum(_simulated(1.0, rng, prompts=200).p_at_least(0.7) <= 0.05 for _ in range(50))
    assert beyond >= 40
