"""What each metric makes of evidence: direction, units, doubtful pairs, and the printed report."""

from dataclasses import replace
from math import inf, isfinite

import numpy as np
import pytest
import torch

from circuitlang.circuit import METRICS, Bound, Unit
from circuitlang.circuit.resolve.limits import MAX_SET_WORDS
from circuitlang.engine.attribution import attributions
from circuitlang.engine.errors import RunError
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.readout import Readout
from circuitlang.engine.screening import screen
from circuitlang.engine.target import Target
from circuitlang.engine.world import final_site
from circuitlang.plan import Experiment, Plan, Use, compile_plan, experiment_id
from circuitlang.plan.cost import EngineCost, operations, run_cost
from circuitlang.report import Verdict, render_terminal
from circuitlang.report.numbers import bound_limits, format_effect
from circuitlang.report.screening import screening_report
from circuitlang.report.screening_page import render_screening
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from tests.engine_models import bench, gpt2
from tests.front_end import circuit_of, codes_of
from tests.sample_evidence import sample_evidence
from tests.test_cost import EXPERIMENTS, Bench, counted
from tests.test_cost import gpt2 as sized
from tests.test_metrics import COUNT, targets, worlds_of
from tests.test_screening import loaded

TEXT = """
circuit small
model "gpt2"
prompts {{
  clean   "When {{IO}} and {{S}} met, {{S}} gave a ring to"
  clean   "When {{S}} and {{IO}} met, {{S}} gave a ring to"
  corrupt IO = fresh, S1 = fresh, S2 = fresh
  IO, S   from names
}}
metric {metric}
nodes {{
  A L0.H1 at S2
  B L5.H5 at S2
}}
edges {{
  A ~> B.V {bound}
}}
claims {{
  {claims}
}}
test {{
  resamples 2000
  random edges 0
  {settings}
}}
"""
N = 100
ARGUMENTS = ("", "(IO)", "(IO, S)")
WRITTEN = {name: name + ARGUMENTS[count] for name, count in COUNT.items()}
LOWER = ("loss", "kl", "rank")


def text_of(name, bound=">= 20%", claims="ablate A >= 10%", settings=""):
    return TEXT.format(metric=WRITTEN[name], bound=bound, claims=claims, settings=settings)


def judged(name, patched, *, bound=">= 20%", claims="ablate A >= 10%", settings="", answered=None,
           **columns):  # fmt: skip
    text = text_of(name, bound, claims, settings)
    plan = compile_plan(circuit_of(text))
    evidence = sample_evidence(plan, patched, **columns)
    if answered is not None:
        evidence = evidence.model_copy(update={"answered": tuple(answered)})
    return judge(plan, evidence, SourceText("test.circuit", text))


def columns(seed=0):
    """A metric that is lower when better: clean near 2, corrupt near 6, patched near 3 and 4."""
    rng = np.random.default_rng(seed)
    return [level + 0.1 * rng.normal(size=N) for level in (2.0, 6.0, 3.0, 4.0)]


def test_metrics_have_the_directions_that_are_documented():
    assert tuple(sorted(n for n in METRICS if METRICS[n].lower_is_better)) == tuple(sorted(LOWER))


@pytest.mark.parametrize("name", LOWER)
def test_less_of_a_lower_is_better_metric_is_judged_as_more_of_its_opposite(name):
    """Law: `loss` with some values gives the verdicts and numbers of `logprob` with minus these."""
    clean, corrupt, one, other = columns()
    if name == "kl":
        clean = np.zeros(N)  # from which it is counted
    claims = "ablate A >= 10%\n  faithfulness >= 80%"
    made = {0: one, 1: other, (2, Use.CIRCUIT): one, (2, Use.EMPTY): corrupt}
    minus = {key: -column for key, column in made.items()}
    ours = judged(name, made, clean=clean, corrupt=corrupt, claims=claims)
    theirs = judged("logprob", minus, clean=-clean, corrupt=-corrupt, claims=claims)
    for mine, its in zip(ours.claims, theirs.claims, strict=True):
        assert mine.estimate is not None
        assert mine.definition != its.definition
        assert "minus the metric" in mine.definition
        left = {"place", "definition", "text"}
        assert mine.model_dump(exclude=left) == its.model_dump(exclude=left)
    assert ours.baseline.clean == pytest.approx(clean.mean())
    assert theirs.baseline.clean == pytest.approx(-clean.mean())


@pytest.mark.parametrize("name", LOWER)
def test_an_effect_is_the_share_of_what_the_whole_corruption_loses(name):
    least = 0.0 if name == "kl" else 2.0
    clean, corrupt = [least] * N, [least + 4.0] * N
    patched = {0: [least + 1] * N, 1: [least + 3] * N}
    report = judged(name, patched, clean=clean, corrupt=corrupt)
    assert [c.estimate.value for c in report.claims] == [pytest.approx(x) for x in (0.25, 0.75)]
    assert [c.estimate.change for c in report.claims] == [pytest.approx(x) for x in (1.0, 3.0)]
    if name == "kl":
        return
    # A part that hurts has a negative effect.
    (worse, _) = judged(name, {0: [1.5] * N, 1: [2.0] * N}, clean=clean, corrupt=corrupt).claims
    assert worse.estimate.value == pytest.approx(-0.125)
    assert worse.verdict is Verdict.FAIL


LIMITS = {
    "prob": (0, 1), "prob_diff": (-1, 1), "accuracy": (0, 1), "logprob": (-inf, 0),
    "loss": (0, inf), "kl": (0, inf), "rank": (1, inf), "logit_diff": (-inf, inf),
}  # fmt: skip
"""From the definitions: a probability lies between 0 and 1, so its logarithm is not positive; the
first of all tokens has rank 1; a divergence is not negative (Gibbs)."""
INSIDE = {"prob": (0.9, 0.1), "prob_diff": (0.9, -0.9), "accuracy": (1.0, 0.0)} | {
    "logprob": (-1.0, -5.0), "loss": (1.0, 5.0), "kl": (0.0, 5.0), "rank": (1.0, 5.0),
    "logit_diff": (5.0, -5.0),
}  # fmt: skip
BEYOND = [
    (name, limit, side)
    for name, limits in LIMITS.items()
    for limit, side in zip(limits, (-1, 1), strict=True)
    if isfinite(limit)
]


def test_every_metric_has_the_limits_of_its_definition():
    assert {name: (kind.lowest, kind.highest) for name, kind in METRICS.items()} == LIMITS


def with_one(column, value):
    return [*column[:7], value, *column[8:]]


@pytest.mark.parametrize("name, limit, side", BEYOND)
@pytest.mark.parametrize("beyond, possible", [(1e-6, True), (5e-4, False), (6.5, False)])
def test_a_value_that_a_metric_cannot_have_is_no_evidence(name, limit, side, beyond, possible):
    """Neither in a patched run, whose claim alone it ends, nor in those that all claims need."""
    value, (clean, corrupt) = limit + side * beyond, ([x] * N for x in INSIDE[name])
    patched = {0: with_one(clean, value), 1: corrupt}
    one, other = judged(name, patched, clean=clean, corrupt=corrupt).claims
    assert (one.estimate is not None) == possible
    assert other.estimate is not None
    if not possible:
        where = "above" if side > 0 else "below"
        words = f"its {name} is {value:.6g} on prompt 8, and none lies {where} {limit}"
        assert (one.verdict, words in one.reason) == (Verdict.ERROR, True)
    good = {0: clean, 1: corrupt}
    for worlds in (
        {"clean": with_one(clean, value), "corrupt": corrupt},
        {"clean": clean, "corrupt": with_one(corrupt, value)},
    ):
        found = judged(name, good, **worlds).claims
        assert [c.estimate is not None for c in found] == [possible] * 2


def test_the_clean_run_does_not_diverge_from_itself():
    good = {0: [1.0] * N, 1: [2.0] * N}
    for value, possible in ((0.0, True), (1e-6, True), (0.01, False)):
        report = judged("kl", good, clean=with_one([0.0] * N, value), corrupt=[5.0] * N)
        assert [c.estimate is not None for c in report.claims] == [possible] * 2


def test_no_logit_difference_is_impossible():
    report = judged("logit_diff", {0: [-1e6] * N, 1: [1e6] * N}, clean=[1e3] * N, corrupt=[0.0] * N)
    assert all(c.estimate is not None for c in report.claims)


def test_denoising_a_divergence_restores_a_share_of_it():
    report = judged(
        "kl", {0: [0.5] * N, 1: [0.0] * N}, bound=">= 20%  by denoising",
        clean=[0.0] * N, corrupt=[2.0] * N,
    )  # fmt: skip
    assert report.claims[0].estimate.value == pytest.approx(0.75)


def test_faithfulness_of_a_divergence_is_the_part_of_it_that_is_gone():
    report = judged(
        "kl", {0: [0.1] * N, 1: [0.1] * N, (2, Use.CIRCUIT): [0.2] * N, (2, Use.EMPTY): [2.0] * N},
        clean=[0.0] * N, corrupt=[2.0] * N, claims="ablate A >= 10%\n  faithfulness >= 80%",
    )  # fmt: skip
    claim = report.claims[2]
    assert claim.estimate.value == pytest.approx(0.9)
    assert claim.verdict is Verdict.PASS
    assert "F(C) = -0.2, F(M) = 0;" in claim.also, "a share of nothing is not printed"


def possible(name, value):
    """A column of a value that is meant to lie between -1 and 1, moved to where the metric lies."""
    return [value + {"logprob": -1.0, "loss": 1.0, "kl": 1.0, "rank": 2.0}.get(name, 0.0)] * N


@pytest.mark.parametrize("name", METRICS)
def test_raw_bounds_are_in_the_metrics_unit(name):
    unit = METRICS[name].unit
    sign = -1 if name in LOWER else 1
    patched = possible(name, sign * 0.5)
    report = judged(
        name, {0: patched, 1: patched}, clean=possible(name, sign), corrupt=possible(name, 0.0),
        bound=f">= 0.25 {unit}",
    )  # fmt: skip
    claim = report.claims[0]
    assert (claim.estimate.unit, claim.estimate.value) == (unit, 0.5)
    assert claim.bound == f">= 0.25 {unit}"
    assert bound_limits(claim.bound) == (0.25, np.inf)
    assert claim.verdict is Verdict.PASS
    for other in {kind.unit for kind in METRICS.values()} - {unit}:
        assert codes_of(text_of(name, bound=f">= 0.25 {other}")) == ["CL223"]


def test_a_probability_has_less_noise_than_a_logit():
    def verdict(name, unit):
        patched = [1 - 0.20005] * N
        return judged(name, {0: patched, 1: patched}, bound=f">= 0.2 {unit}").claims[0]

    assert "rounding could decide" in verdict("logit_diff", "logits").reason
    assert verdict("prob", "prob").verdict is Verdict.PASS
    near = judged("prob", {0: [0.8 - 1e-5] * N, 1: [0.0] * N}, bound=">= 0.2 prob").claims[0]
    assert "rounding could decide" in near.reason


@pytest.mark.parametrize("name", METRICS)
def test_wrong_pairs_are_those_that_the_metric_can_call_wrong(name):
    """Of a difference: not above zero. Else: the answer is not the likeliest token."""
    clean, corrupt = (np.full(N, value) for value in INSIDE[name])
    if METRICS[name].of_differences:
        clean[[3, 8]] = -0.5, 0.0
    hits = [i not in (8, 50, 87) for i in range(N)]
    patched = {0: corrupt, 1: corrupt}
    report = judged(name, patched, clean=clean, corrupt=corrupt, answered=hits)
    numbers = [pair.number for pair in report.pairs.wrong.pairs]
    kind = METRICS[name]
    assert numbers == ([4, 9] if kind.of_differences else [] if name == "kl" else [9, 51, 88])
    assert report.baseline.preferred == (pytest.approx(0.98) if kind.of_differences else None)
    assert report.baseline.answered == (None if name == "kl" else pytest.approx(0.97))


def test_pairs_without_a_difference_are_so_within_the_metrics_noise():
    for name, gap, count in (("prob", 5e-5, 0), ("prob", 1e-5, 1), ("logprob", 5e-5, 1)):
        corrupt = [0.0] * N
        corrupt[7] = 1.0 - gap
        report = judged(name, {0: [0.5] * N, 1: [0.5] * N}, corrupt=corrupt)
        assert report.pairs.same.count == count, (name, gap)


@pytest.mark.parametrize("name", METRICS)
def test_the_printed_baseline_is_true_of_the_metric(name):
    sign = -1 if name in LOWER else 1
    patched = {0: possible(name, sign * 0.5), 1: possible(name, sign * 0.5)}
    worlds = {"clean": possible(name, sign), "corrupt": possible(name, 0.0)}
    report = judged(name, patched, **worlds)
    text = " ".join(render_terminal(report, width=110).split())
    unit = METRICS[name].unit
    more, less = ("corrupt", "clean") if name in LOWER else ("clean", "corrupt")
    assert f"{'lower' if name in LOWER else 'higher'} is better" in text
    assert f"100% is mean({more}) - mean({less}) = {format_effect(1.0, unit)}" in text
    assert ("have a metric above 0" in text) == METRICS[name].of_differences
    assert ("likeliest token" in text) == (name != "kl")
    assert ("answered wrongly" in text) == (name != "kl")


@pytest.mark.parametrize("name", [name for name in METRICS if name != "kl"])  # none is below 0
def test_a_corruption_that_makes_things_better_is_told(name):
    sign = -1 if name in LOWER else 1
    patched = {0: possible(name, 0.0), 1: possible(name, 0.0)}
    worlds = {"clean": possible(name, 0.0), "corrupt": possible(name, sign)}
    report = judged(name, patched, **worlds)
    swapped = METRICS[name].of_differences
    hint = "are the two words of the metric exchanged?" if swapped else "better on the corrupt"
    assert {claim.verdict for claim in report.claims} == {Verdict.ERROR}
    assert all(hint in claim.reason for claim in report.claims)


def test_bounds_are_printed_with_their_unit():
    assert str(Bound(0.1, None, Unit.PROB)) == ">= 0.1 prob"
    assert str(Bound(-2, 2, Unit.RANKS, is_margin=True)) == "within 2 ranks"
    assert bound_limits("in 0.1 prob..0.3 prob") == (0.1, 0.3)
    assert format_effect(0.000312, "prob") == "+0.000312 prob"
    assert format_effect(-0.5, "nats") == "-0.50 nats"


SMOOTH = [name for name in METRICS if METRICS[name].has_slope]


@pytest.mark.parametrize("name", SMOOTH)
def test_first_order_estimates_follow_the_metrics_own_slope(name):
    """Into the logits: the metric of a stream moved a little, against the estimate."""
    b = bench(gpt2, seed=5)
    _, batch, worlds = worlds_of(b, b.engine, name)
    pieces = [p for p in attributions(b.model, worlds) if str(p.receivers[0]) == "logits"]
    final = b.worlds.clean.activations[final_site(b.model)]
    checked, step = 0, 1e-6
    for piece in pieces:
        for number, sender in enumerate(piece.senders):
            if not hasattr(sender, "head"):
                continue
            z = b.worlds.corrupt.z(sender.layer) - b.worlds.clean.z(sender.layer)
            change = b.model.head_write(sender.layer, sender.head, z[:, :, sender.head])
            up, down = (batch.metric(b.model.read_out(final + s * change)) for s in (step, -step))
            slope = (up - down) / (2 * step)
            assert torch.allclose(piece.estimates[:, number, 0].double(), slope, atol=1e-6)
            checked += bool(slope.abs().max() > 1e-4)
    assert checked > 4


def test_a_screen_of_a_loss_is_that_of_the_log_probability():
    """Edges, effects and their signs; only the two means are the other way round."""
    b, found = bench(gpt2, seed=5), {}
    for name in ("loss", "logprob"):
        tokens = [Target(name, (pair.target.tokens[0],)) for pair in b.batch.pairs]
        pairs = [replace(p, target=t) for p, t in zip(b.batch.pairs, tokens, strict=True)]
        found[name] = screen(loaded(b), pairs, top=3)
    loss, logprob = found["loss"], found["logprob"]
    assert loss.edges == logprob.edges
    assert (loss.clean, loss.corrupt) == (-logprob.clean, -logprob.corrupt)
    texts = {n: text_of(n) for n in found}
    reports = [
        screening_report(found[n], circuit_of(texts[n]), SourceText("test.circuit", texts[n]))
        for n in found
    ]
    assert reports[0].edges == reports[1].edges
    assert [r.lower_is_better for r in reports] == [True, False]
    assert [r.metric_unit for r in reports] == ["nats", "nats"]
    shown = render_screening(reports[0], width=100)
    assert "lower is better" in shown


@pytest.mark.parametrize("name", [name for name in METRICS if name not in SMOOTH])
def test_what_has_no_slope_cannot_be_screened(name):
    b = bench(gpt2)
    chosen = targets(name, 1)
    pair = replace(b.batch.pairs[0], target=chosen[0])
    with pytest.raises(RunError, match="no slope"):
        screen(None, [pair], top=1)


def test_the_cost_of_reading_the_whole_vocabulary_is_counted():
    """Every experiment of the fast engine then unembeds all tokens, as torch counts it."""
    own = Bench(sized)
    chosen = targets("kl", len(own.batch.rows))
    readout = Readout.of(chosen, torch.device("cpu"))
    engine = FastEngine(own.model, own.means)
    worlds = engine.worlds(replace(own.batch, readout=readout))
    names = ("direct", "through to Q at END", "ablated at END", "circuit")
    interventions = [EXPERIMENTS[name] for name in names]
    for each in interventions:
        told = operations(each, own.size, own.geometry, whole_vocabulary=True)
        assert counted(lambda each=each: engine.answers([each], worlds)) == pytest.approx(told)
    circuit = replace(circuit_of(text_of("kl")), edges=(), claims=())
    found = tuple(Experiment(experiment_id(each), each) for each in interventions)
    cost = run_cost(Plan(circuit, found, ()), own.size, [own.geometry], EngineCost.FAST)
    spent = sum(kind.operations for kind in cost.kinds)
    assert spent == pytest.approx(counted(lambda: engine.answers(interventions, worlds)))


def test_sets_are_taken_of_lists_of_a_few_thousand_words():
    def codes(count):
        words = ", ".join(f'"{number}"' for number in range(count))
        text = text_of("kl").replace(
            "IO, S   from names", f"IO, S   from names\n  NEXT from {words}"
        )
        text = text.replace("metric kl", 'metric prob_diff(NEXT > YY, "Mary")')
        return codes_of(text.replace("NEXT from", 'YY from "3", "4"\n  NEXT from'))

    assert "CL228" not in codes(MAX_SET_WORDS)
    assert "CL228" in codes(MAX_SET_WORDS + 1)
