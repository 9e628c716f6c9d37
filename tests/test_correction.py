"""Corrections for many hypotheses, against statsmodels and SciPy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from circuitlang.statistics.correction import bh_adjusted, bh_levels, holm_levels

p_lists = st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=12)


@given(p_lists, st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_and_bh_reject_what_statsmodels_rejects(p_values, level):
    for ours, method in ((holm_levels, "holm"), (bh_levels, "fdr_bh")):
        theirs = multipletests(p_values, level, method)[0]
        found = ours(p_values, level)
        assert [one.rejected for one in found] == theirs.tolist()
        assert [p <= one.value for p, one in zip(p_values, found, strict=True)] == theirs.tolist()


@given(p_lists)
def test_adjusted_p_values_are_scipys(p_values):
    theirs = stats.false_discovery_control(p_values, method="bh")
    assert bh_adjusted(p_values) == pytest.approx(theirs.tolist(), rel=1e-12)


def test_hypotheses_that_were_not_tested_stand_in_the_family_with_p_one():
    chosen = [0.001, 0.004, 0.02]
    theirs = stats.false_discovery_control([*chosen, *[1.0] * 97], method="bh")[:3]
    assert bh_adjusted(chosen, family=100) == pytest.approx(theirs.tolist(), rel=1e-12)


def test_bh_counts_what_could_not_be_tested():
    levels = bh_levels([0.02, None, 0.03], 0.05)
    assert [level.rejected for level in levels] == [True, False, True]
    assert not any(level.rejected for level in bh_levels([0.04, None], 0.05))
    assert bh_levels([], 0.05) == []
