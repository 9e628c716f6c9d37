"""Exact tests of shares against SciPy, published constants, and enumeration."""

import math
from itertools import product

import pytest
from scipy import stats

from circuitlang.statistics.proportion import (
    binomial_at_least,
    binomial_at_most,
    difference_p,
    drawn_at_least,
    equivalence_p,
    equivalence_power,
    share_bounds,
    trials_for_equivalence,
)

SHARES = (0.001, 0.1, 0.4, 0.5, 0.6, 0.9, 0.999)


@pytest.mark.parametrize("n", [1, 2, 7, 100, 3000])
def test_binomial_tails_are_scipys(n):
    for k, share in product({-1, 0, 1, n // 10, n // 2, n - 1, n, n + 1}, SHARES):
        law = stats.binom(n, share)
        assert binomial_at_least(k, n, share) == pytest.approx(law.sf(k - 1), rel=1e-9, abs=1e-300)
        assert binomial_at_most(k, n, share) == pytest.approx(law.cdf(k), rel=1e-9, abs=1e-300)
    assert binomial_at_least(1, n, 0.0) == 0.0
    assert binomial_at_least(n, n, 1.0) == 1.0


def test_draws_without_replacement_are_scipys():
    for population, good, draws in ((10, 8, 10), (118, 106, 100), (118, 106, 30), (16, 3, 5)):
        law = stats.hypergeom(population, good, draws)
        for k in range(draws + 2):
            assert drawn_at_least(k, draws, good, population) == pytest.approx(
                law.sf(k - 1), rel=1e-9, abs=1e-300
            )


@pytest.mark.parametrize(
    "share, p", [(0.60, 0.543), (0.65, 0.180), (0.70, 0.0248), (0.75, 0.00119)]
)
def test_p_values_of_the_original_form(share, p):
    """Shi et al. 2024: n = 100, eps = .1; |k/n - 1/2| at least as large under a share of .6."""
    k = round(100 * share)
    both = binomial_at_least(k, 100, 0.6) + binomial_at_most(100 - k, 100, 0.6)
    assert both == pytest.approx(p, rel=5e-3)


@pytest.mark.parametrize(
    "draws, tests, critical", [(10_000, 963, 8881), (1000, 235, 864), (1000, 24, 871)]
)
def test_critical_counts_of_the_original_minimality(draws, tests, critical):
    level = 0.05 / tests
    assert binomial_at_most(critical, draws, 0.9) <= level
    assert binomial_at_most(critical + 1, draws, 0.9) > level


POWERS = {100: 0.236, 200: 0.771, 220: 0.800, 300: 0.927, 500: 0.995}


@pytest.mark.parametrize("n, power", POWERS.items())
def test_power_at_equality(n, power):
    assert equivalence_power(n, 0.05) == pytest.approx(power, abs=5e-4)
    exact = sum(
        stats.binom.pmf(k, n, 0.5)
        for k in range(n + 1)
        if max(stats.binom.sf(k - 1, n, 0.4), stats.binom.cdf(k, n, 0.6)) <= 0.05
    )
    assert equivalence_power(n, 0.05) == pytest.approx(exact, rel=1e-9)


def test_prompts_for_equivalence():
    few = trials_for_equivalence(0.05, 0.0)
    assert equivalence_p(few / 2, few) <= 0.05 or equivalence_p((few - 1) / 2, few) <= 0.05
    for n in range(1, few):
        assert all(equivalence_p(k, n) > 0.05 for k in range(n + 1))
    likely = trials_for_equivalence(0.05, 0.8)
    assert equivalence_power(likely, 0.05) >= 0.8 > equivalence_power(likely - 1, 0.05)
    assert 200 < likely <= 220
    assert trials_for_equivalence(0.05 / 12, 0.0) > few


@pytest.mark.parametrize("level", [0.05, 0.01, 0.05 / 12])
def test_the_smallest_number_of_trials_among_the_teeth_of_the_saw(level):
    for power in (0.0, 0.5, 0.8):
        found = trials_for_equivalence(level, power)
        reached = (equivalence_power(n, level) for n in range(1, found))
        assert all(p == 0 or p < power for p in reached)
        assert equivalence_power(found, level) >= max(power, 1e-9)


def _trinomial(n, above, tie):
    """Chances of every (number above, number of ties)."""
    below = 1 - above - tie
    for k, t in product(range(n + 1), repeat=2):
        if k + t <= n:
            ways = math.comb(n, k) * math.comb(n - k, t)
            yield k, t, ways * above**k * tie**t * below ** (n - k - t)


@pytest.mark.parametrize("tie", [0.0, 0.1, 0.4, 0.7, 0.8])
@pytest.mark.parametrize("n", [20, 51])
def test_ties_that_count_half_keep_every_level(n, tie):
    """Exact: at either edge of the null, with any share of ties, no level is exceeded."""
    for edge in (0.4, 0.6):  # P(above) + P(tie) / 2
        above = edge - tie / 2
        cases = list(_trinomial(n, above, tie)) if 0 <= above <= 1 - tie else []
        for level in (0.2, 0.05, 0.01, 0.001):
            for p_value in (equivalence_p, difference_p):
                rate = sum(p for k, t, p in cases if p_value(k + t / 2, n) <= level)
                assert rate <= level * (1 + 1e-9)
    if tie < 0.8:
        assert cases


def test_a_pass_and_a_fail_exclude_each_other():
    for positive in range(301):
        assert max(equivalence_p(positive, 300), difference_p(positive, 300)) >= 0.4
    assert equivalence_p(150, 300) < 0.001
    assert difference_p(240, 300) < 0.001
    assert difference_p(60, 300) < 0.001
    # A half is rounded against either conclusion.
    assert equivalence_p(150.5, 301) == max(equivalence_p(150, 301), equivalence_p(151, 301))


def test_share_bounds_are_clopper_and_pearsons():
    for k, n, error in ((0, 10, 0.05), (10, 10, 0.05), (3, 10, 0.025), (96, 100, 0.001)):
        theirs = stats.binomtest(k, n).proportion_ci(1 - 2 * error, method="exact")
        assert share_bounds(k, n, error) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
