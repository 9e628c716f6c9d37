"""A range may name its unit once, behind its last end: `in 10..30%`."""

import pytest

from circuitlang.circuit.bound import Bound, Unit
from circuitlang.syntax import format_source
from tests.front_end import SourceText, circuit_of, codes_of

TEXT = """model "gpt2"

prompts {{
  clean   "When {{IO}} and {{S}} went home, {{S}} thanked"
  corrupt S2 = IO
  IO, S   from names
}}

metric {metric}

edges {{
  L9.H9 -> logits  {edge}
}}

claims {{
  ablate L9.H9  {claim}
}}
"""


def text_of(bound, metric="logit_diff(IO, S)"):
    return TEXT.format(metric=metric, edge=bound, claim=bound)


@pytest.mark.parametrize(
    ("once", "twice", "expected"),
    [
        ("in 10..30%", "in 10%..30%", Bound(0.1, 0.3)),
        ("in -5..30%", "in -5%..30%", Bound(-0.05, 0.3)),
        ("in 0..30%", "in 0%..30%", Bound(0, 0.3)),
        ("in -1..30%", "in -1%..30%", Bound(-0.01, 0.3)),
        ("in 0.5..2%", "in 0.5%..2%", Bound(0.005, 0.02)),
        ("in 120..250%", "in 120%..250%", Bound(1.2, 2.5)),
        ("in 0.1..2.5 logits", "in 0.1 logits..2.5 logits", Bound(0.1, 2.5, Unit.LOGITS)),
        ("in 3..40 logits", "in 3 logits..40 logits", Bound(3, 40, Unit.LOGITS)),
        ("in 0.1..0.3", "in 10%..30%", Bound(0.1, 0.3)),
    ],
)
def test_the_last_unit_is_that_of_both_ends(once, twice, expected):
    for bound in (once, twice):
        for claim in circuit_of(text_of(bound)).all_claims:
            assert claim.bound.unit is expected.unit
            assert (claim.bound.low, claim.bound.high) == pytest.approx(
                (expected.low, expected.high)
            )


@pytest.mark.parametrize("bound", ["in 10..30%", "in 10%..30%", "in 3..4 logits"])
def test_the_layout_keeps_what_was_written(bound):
    text = text_of(bound)
    assert format_source(SourceText("a.circuit", text)) == text


@pytest.mark.parametrize(
    ("bound", "code"),
    [
        ("in 0.1..30%", "CL223"),  # 0.1% or 10%
        ("in -0.1..30%", "CL223"),
        ("in 10%..30", "CL223"),
        ("in 0.1..2 prob", "CL223"),
        ("in 30..10%", "CL222"),
        ("in 4..3 logits", "CL222"),
    ],
)
def test_what_could_mean_two_things_or_nothing_is_refused_once(bound, code):
    assert codes_of(text_of(bound)) == [code, code]  # the edge's and the claim's


def test_what_may_be_a_share_is_refused_in_baselines_too():
    text = text_of("in 10..30%", "prob(IO)").replace("ablate L9.H9", "baseline")
    assert codes_of(text.replace("in 10..30%\n}\n\nclaims", "in 10..30%\n}\nclaims")) == []
    assert codes_of(text.replace("baseline  in 10..30%", "baseline  in 0.1..30%")) == ["CL223"]
