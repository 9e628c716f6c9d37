"""Bounds on values that have limits of their own."""

import pytest

from circuitlang.circuit import Bound
from tests.front_end import circuit_of

FILE = """model "gpt2"

prompts {{
  clean   "When {{IO}} and {{S}} went home, {{S}} thanked"
  corrupt S2 = IO
  IO, S   from names
}}

metric {metric}

claims {{
  {claim}
}}
"""


@pytest.mark.parametrize(
    ("low", "high", "kept"),
    [
        (0.5, 1, (0.5, None)),
        (0, 0.5, (None, 0.5)),
        (0.2, 0.5, (0.2, 0.5)),
        (0.5, None, (0.5, None)),
        (0, 1, None),
        (1, None, None),
        (None, 0, None),
        (0, None, None),
        (None, 1, None),
        (0.5, 1.5, None),
    ],
)
def test_an_end_that_nothing_misses_is_none(low, high, kept):
    found = Bound(low, high).inside(0, 1)
    assert (None if found is None else (found.low, found.high)) == kept


@pytest.mark.parametrize(
    ("metric", "claim"),
    [
        ("accuracy(IO)", "baseline in 90%..100%"),
        ("accuracy(IO)", "baseline in 0..0.9 accuracy"),
        ("prob(IO)", "baseline in 50..100%"),
        ("logit_diff(IO, S)", "attention L9.H9 END -> IO in 50%..100%"),
        ("logit_diff(IO, S)", "induction L5.H5 in 0..0.5"),
    ],
)
def test_a_range_may_end_where_the_values_do(metric, claim):
    circuit = circuit_of(FILE.format(metric=metric, claim=claim))
    (found,) = circuit.claims
    assert (found.bound.low is None) != (found.bound.high is None)
