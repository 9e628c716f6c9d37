"""HSIC and the distance correlation against statsmodels, plain definitions, and simulation."""

import numpy as np
import pytest
from scipy import stats

from circuitlang.statistics.dependence import DistanceCorrelation, hsic, hsic_p
from circuitlang.statistics.pairs import LEAST_SPREAD, fewest_pairs, pairs_for_independence


def columns(seed, n=40, strength=0.5):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    return x, strength * x**2 + rng.standard_normal(n)


def test_hsic_is_the_trace_of_its_definition():
    for seed in range(3):
        x, y = columns(seed)
        n = len(x)
        h = np.eye(n) - 1 / n
        kernels = []
        for values in (x, 100 * y):  # each kernel has a width of its own
            d = np.abs(np.subtract.outer(values, values))
            width = np.median([d[i, j] for i in range(n) for j in range(i)])
            kernels.append(np.exp(-(d**2) / (2 * width**2)))
        k, other = kernels
        expected = np.trace(k @ h @ other @ h) / (n - 1) ** 2
        assert hsic(x, 100 * y) == pytest.approx(expected, rel=1e-9)
        assert hsic(x, y) == pytest.approx(expected, rel=1e-9)


def test_hsic_of_a_column_with_itself_has_the_smallest_p_value():
    x = np.arange(100.0)
    assert hsic_p(x, x, 999, seed=0) == 1 / 1000


def test_what_does_not_vary_depends_on_nothing():
    x, flat = np.arange(30.0), np.ones(30)
    assert hsic_p(x, flat, 99, seed=0) == 1.0
    found = DistanceCorrelation.of(x, flat)
    assert (found.plain, found.corrected) == (0.0, 0.0)
    assert found.error == pytest.approx(LEAST_SPREAD / np.sqrt(30))


def test_permutation_p_values_keep_their_level():
    rng = np.random.default_rng(1)
    p = np.array(
        [hsic_p(rng.standard_normal(25), rng.exponential(size=25), 99, i) for i in range(300)]
    )
    for level in (0.05, 0.2):
        hits = int((p <= level).sum())
        assert stats.binom.sf(hits - 1, 300, level) > 0.001
        assert stats.binom.cdf(hits, 300, level) > 0.001


def test_the_plain_distance_correlation_is_statsmodels():
    measures = pytest.importorskip("statsmodels.stats.dist_dependence_measures")
    for seed in range(5):
        x, y = columns(seed, n=20 + seed)
        theirs = measures.distance_correlation(x, y)
        assert DistanceCorrelation.of(x, y).plain == pytest.approx(theirs, rel=1e-9)


def _u_centred(d):
    n = len(d)
    rows = d.sum(axis=0)
    u = d - rows[:, None] / (n - 2) - rows[None, :] / (n - 2) + d.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(u, 0.0)
    return u


def test_the_correction_is_that_of_u_centred_distances():
    """Székely and Rizzo 2013, equations 1.2 to 1.4."""
    for seed in range(5):
        x, y = columns(seed, strength=1.5)
        a, b = (_u_centred(np.abs(np.subtract.outer(v, v))) for v in (x, y))
        square = (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())
        expected = np.sqrt(max(0.0, square))
        assert DistanceCorrelation.of(x, y).corrected == pytest.approx(expected, rel=1e-9)
        assert expected > 0


def test_the_error_is_the_jackknifes():
    rng = np.random.default_rng(5)
    n = 150
    shared = (rng.random(n) < 0.04) * 8
    x, y = rng.standard_normal(n) + shared, rng.standard_normal(n) + shared
    left = [DistanceCorrelation.of(np.delete(x, i), np.delete(y, i)).plain for i in range(n)]
    expected = np.sqrt((n - 1) / n * ((left - np.mean(left)) ** 2).sum())
    found = DistanceCorrelation.of(x, y)
    assert expected > LEAST_SPREAD / np.sqrt(n)
    assert found.error == pytest.approx(expected, rel=1e-9)


def _normal(rng, n):
    x = rng.standard_normal(n)
    return x, 0.35 * x + np.sqrt(1 - 0.35**2) * rng.standard_normal(n)


def _quadratic(rng, n):
    x = rng.standard_normal(n)
    return x, 0.6 * x**2 + rng.standard_normal(n)


def _heavy(rng, n):
    x = rng.standard_t(3, n)
    return x, 0.3 * x + rng.standard_t(3, n)


def _templates(rng, n):
    """Independent inside either template, and both means differ."""
    shift = 2.0 * (np.arange(n) % 2)
    return rng.standard_normal(n) + shift, rng.standard_normal(n) + shift


@pytest.mark.parametrize("draw", [_normal, _quadratic, _heavy, _templates])
def test_bounds_keep_their_error_where_the_truth_is_the_limit(draw):
    """The truth is measured on 3,000 pairs; then 60 pairs at a time, 5 % on either side."""
    rng = np.random.default_rng(7)
    truth = DistanceCorrelation.of(*draw(rng, 3000)).corrected
    found = [DistanceCorrelation.of(*draw(rng, 60)) for _ in range(250)]
    too_low = sum(one.p_below(truth) <= 0.05 for one in found)
    too_high = sum(one.p_above(truth) <= 0.05 for one in found)
    assert stats.binom.sf(too_low - 1, 250, 0.05) > 0.001
    assert stats.binom.sf(too_high - 1, 250, 0.05) > 0.001
    assert truth > 0.2


def test_independent_columns_are_shown_to_be_with_enough_pairs():
    limit, level = 0.3, 0.05
    enough = pairs_for_independence(limit, level)
    rng = np.random.default_rng(8)
    found = [
        DistanceCorrelation.of(rng.standard_normal(enough), rng.standard_normal(enough))
        for _ in range(200)
    ]
    shown = sum(one.p_below(limit) <= level for one in found)
    assert shown >= 140
    too_few = fewest_pairs(limit, level) - 1
    hopeless = DistanceCorrelation(0.0, 0.0, LEAST_SPREAD / np.sqrt(too_few), too_few)
    assert hopeless.p_below(limit) > level
    assert fewest_pairs(limit, level) < enough


def test_strong_dependence_is_shown():
    rng = np.random.default_rng(9)
    x = rng.standard_normal(200)
    found = DistanceCorrelation.of(x, x + 0.3 * rng.standard_normal(200))
    assert found.p_above(0.3) < 1e-6
    low, high = found.bounds(0.025)
    assert 0.8 < low < found.plain < high <= 1.0
    assert found.p_below(high + 1e-9) <= 0.025 or high == 1.0
