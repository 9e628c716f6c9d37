"""Shares of a population that is only partly drawn, and beaten only more or less surely."""

import numpy as np
import pytest
from scipy import stats

from circuitlang.statistics.ranking import Ranking, fewest_draws, fewest_of

SURE, NOT = 1e-12, 1.0


LEVEL = 0.05


def ranking(won, lost=0, open_=0, population=None, level=LEVEL):
    """So many comparisons surely won, surely lost, and undecided."""
    wins = (SURE,) * won + (NOT,) * (lost + open_)
    losses = (NOT,) * won + (SURE,) * lost + (NOT,) * open_
    return Ranking(wins, losses, population, level, level)


@pytest.mark.parametrize("level", [0.05, 0.004])
def test_sure_comparisons_leave_an_exact_binomial(level):
    """The number of wins that is asked for, and the chance that luck alone gives it."""
    needed = next(k for k in range(101) if stats.binom.sf(k - 1, 100, 0.9) <= level / 2)
    luck = stats.binom.sf(needed - 1, 100, 0.9)
    for won in (needed, 100):
        found = ranking(won, 100 - won, level=level)
        assert found.p_at_least(0.9) == pytest.approx(luck, rel=1e-6)
    assert ranking(needed - 1, 101 - needed, level=level).p_at_least(0.9) == 1.0
    lost = next(k for k in range(101) if stats.binom.sf(k - 1, 100, 0.1) <= level / 2)
    luck = stats.binom.sf(lost - 1, 100, 0.1)
    found = ranking(100 - lost, lost, level=level)
    assert found.p_less(0.9) == pytest.approx(luck, rel=1e-6)
    assert ranking(101 - lost, lost - 1, level=level).p_less(0.9) == 1.0


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
    law = stats.hypergeom(118, 106, 60)
    needed = next(k for k in range(61) if law.sf(k - 1) <= LEVEL / 2)
    found = ranking(needed, 60 - needed, population=118)
    assert found.p_at_least(0.9) == pytest.approx(law.sf(needed - 1), rel=1e-6)
    law = stats.hypergeom(118, 11, 60)
    lost = next(k for k in range(61) if law.sf(k - 1) <= LEVEL / 2)
    found = ranking(60 - lost, lost, population=118)
    assert found.p_less(0.9) == pytest.approx(law.sf(lost - 1), rel=1e-6)


def test_partial_conjunction_by_hand():
    """Benjamini and Heller 2008: two of three nulls false has the p-value 2 p_(2)."""
    found = Ranking((0.001, 0.3, 0.01), (NOT,) * 3, 3, LEVEL, LEVEL)
    assert found.p_at_least(0.6) == pytest.approx(0.02)
    assert found.p_at_least(1.0) == pytest.approx(0.3)
    assert found.p_at_least(0.3) == pytest.approx(0.003)


def test_noise_and_luck_add_up():
    found = Ranking((0.0001,) * 100, (NOT,) * 100, None, LEVEL, LEVEL)
    needed = next(k for k in range(101) if stats.binom.sf(k - 1, 100, 0.9) <= LEVEL / 2)
    luck = stats.binom.sf(needed - 1, 100, 0.9)
    assert found.p_at_least(0.9) == pytest.approx(luck + (101 - needed) * 0.0001)


def test_bounds_agree_with_the_p_values():
    for found in (
        ranking(97, 3), ranking(50, 10, 40), ranking(9, 1, population=10),
        ranking(60, 5, population=118), ranking(0, 10),
    ):  # fmt: skip
        low, high = found.bounds(LEVEL)
        assert 0.0 <= low <= high <= 1.0
        for share in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
            assert (found.p_at_least(share) <= LEVEL) == (share <= low), share
            assert (found.p_less(share) <= LEVEL) == (share > high), share
    assert ranking(9, 1, population=10).bounds(LEVEL) == pytest.approx((0.9, 0.9))


def test_the_fewest_draws_that_can_pass():
    # 0.9^29 = .047; half of the level goes to the luck of the draw.
    assert fewest_draws(0.9, 0.1) == 29
    for level in (0.05, 0.004):
        n = fewest_draws(0.9, level)
        assert ranking(n, level=level).p_at_least(0.9) <= level
        assert ranking(n - 1, level=level).p_at_least(0.9) == 1.0
        m = fewest_of(118, 0.9, level)
        assert ranking(m, population=118, level=level).p_at_least(0.9) <= level
        assert ranking(m - 1, population=118, level=level).p_at_least(0.9) == 1.0


def _simulated(share, rng, prompts=40, draws=60):
    """Means of squares with noise; a share of the others is truly smaller, the rest equal."""
    own = rng.standard_normal(prompts) ** 2
    smaller = rng.random(draws) < share
    scale = np.where(smaller, 0.3, 1.0)
    others = (rng.standard_normal((draws, prompts)) ** 2) * scale[:, None]
    p = stats.ttest_1samp(own - others, 0.0, axis=1, alternative="greater").pvalue
    return Ranking(tuple(p), tuple(1 - p), None, LEVEL, LEVEL)


def test_the_level_is_kept_at_the_edge_and_there_is_power_beyond_it():
    rng = np.random.default_rng(3)
    at_the_edge = sum(_simulated(0.7, rng).p_at_least(0.7) <= 0.05 for _ in range(400))
    assert stats.binom.sf(at_the_edge - 1, 400, 0.05) > 0.001
    beyond = sum(_simulated(1.0, rng, prompts=200).p_at_least(0.7) <= 0.05 for _ in range(50))
    assert beyond >= 40


def test_copies_are_not_paid_for_twice():
    """Ten circuits drawn ten times each: a Bonferroni correction over ten is enough."""
    losses = (0.0001,) * 76 + (NOT,) * 24
    found = Ranking((NOT,) * 100, losses, None, LEVEL, LEVEL, different=10)
    needed = next(k for k in range(101) if stats.binom.sf(k - 1, 100, 0.1) <= LEVEL / 2)
    luck = stats.binom.sf(needed - 1, 100, 0.1)
    assert found.p_less(0.9) == pytest.approx(luck + 10 * 0.0001)


def test_so_many_losses_are_asked_for_that_the_smallest_p_values_can_show_them():
    """At a Holm level, 82 times the smallest p-value of 10,000 resamples is too much."""
    level, smallest = 0.0025, 1 / 10_001
    all_lost = Ranking((NOT,) * 100, (smallest,) * 100, None, level, level, smallest=smallest)
    best = stats.binom.sf(np.arange(101) - 1, 100, 0.1) + (101 - np.arange(101)) * smallest
    needed = int(np.argmax(best <= level))
    assert needed > 70
    luck = stats.binom.sf(needed - 1, 100, 0.1)
    assert all_lost.p_less(0.9) == pytest.approx(luck + (101 - needed) * smallest)
    assert all_lost.p_less(0.9) <= level
    few = (smallest,) * (needed - 1) + (NOT,) * (101 - needed)
    assert Ranking((NOT,) * 100, few, None, level, level, smallest=smallest).p_less(0.9) == 1.0


def test_copies_keep_the_level():
    """Nulls that are all true, each of eight drawn many times: the wrong conclusion is rare."""
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(1000):
        own = rng.random(8)
        p = tuple(own[rng.integers(0, 8, 100)])
        wrong += Ranking(p, p, None, LEVEL, LEVEL, different=8).p_at_least(0.01) <= LEVEL
    assert stats.binom.sf(wrong - 1, 1000, LEVEL) > 0.001
