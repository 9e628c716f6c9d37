"""Claims about the undisturbed model's metric itself: made-up values, and the built-in model."""

import numpy as np
import pytest
import torch
from scipy import stats

from circuitlang.circuit import BaselineClaim, Bound, Unit
from circuitlang.engine.locating import locate_model
from circuitlang.evidence import load_evidence
from circuitlang.mutation.equivalence import meanings
from circuitlang.plan import compile_plan
from circuitlang.plan.reach import judged_by_its_mean
from circuitlang.report import Report, Verdict
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from tests.commands import called
from tests.front_end import ROOT, circuit_of, codes_of
from tests.sample_evidence import CHECKS, sample_evidence
from tests.test_reading_claims import LAWS, spread

TEXT = """
circuit baseline
model "gpt2"
prompts {{
  clean   "When {{IO}} and {{S}} met, {{S}} gave a ring to"
  corrupt IO = fresh, S1 = fresh, S2 = fresh
  IO, S   from names
  sample  {sample} seed 0
}}
metric {metric}
nodes {{
  baseline L9.H6 at END
}}
claims {{
  {claims}
}}
test {{
  resamples 2000
  {settings}
}}
"""


def text_of(metric, *claims, sample=100, settings=""):
    return TEXT.format(metric=metric, claims="\n  ".join(claims), sample=sample, settings=settings)


def judged(metric, *claims, clean, corrupt=None, settings="", answered=None, readings=None):
    text = text_of(metric, *claims, sample=len(clean), settings=settings)
    plan = compile_plan(circuit_of(text))
    made = sample_evidence(
        plan, {}, clean=clean, corrupt=corrupt or [0.5] * len(clean), self_checks=(*CHECKS, *LAWS)
    )
    if answered is not None:
        made = made.model_copy(update={"answered": tuple(answered)})
    if readings is not None:
        of = {need.readings[0]: tuple(readings) for need in plan.needs if need.readings}
        made = made.model_copy(update={"readings": of})
    return judge(plan, made, SourceText("a.circuit", text)).claims


@pytest.mark.parametrize(
    ("written", "bound"),
    [
        ("baseline >= 3 logits", Bound(3, None, Unit.LOGITS)),
        ("baseline corrupt <= -0.5 logits", Bound(None, -0.5, Unit.LOGITS)),
        ("baseline in 3..4 logits", Bound(3, 4, Unit.LOGITS)),
        ("baseline in 3 logits..4 logits", Bound(3, 4, Unit.LOGITS)),
    ],
)
def test_bounds_are_in_the_metrics_own_unit(written, bound):
    (claim,) = circuit_of(text_of("logit_diff(IO, S)", written)).claims
    assert claim == BaselineClaim("corrupt" in written, bound, written)


@pytest.mark.parametrize("metric", ["prob(IO)", "accuracy(IO)", "prob_diff(IO, S)"])
@pytest.mark.parametrize("limits", ["70..90%", "70%..90%", "0.7..0.9 {}", "70%..0.9 {}"])
def test_what_has_one_for_its_whole_may_be_in_percent(metric, limits):
    unit = Unit.ACCURACY if "accuracy" in metric else Unit.PROB
    (claim,) = circuit_of(text_of(metric, f"baseline in {limits.format(unit)}")).claims
    assert (claim.bound.low, claim.bound.high) == (pytest.approx(0.7), pytest.approx(0.9))
    assert claim.bound.unit is unit


@pytest.mark.parametrize(
    ("metric", "claim", "code"),
    [
        ("loss(IO)", "baseline >= 50%", "CL223"),
        ("rank(IO)", "baseline <= 3", "CL223"),
        ("rank(IO)", "baseline <= 1 ranks", "CL222"),
        ("logprob(IO)", "baseline >= 0 nats", "CL222"),
        ("loss(IO)", "baseline >= 0 nats", "CL222"),
        ("prob_diff(IO, S)", "baseline >= -100%", "CL222"),
        ("kl", "baseline <= 1 nats", "CL222"),
        ("kl", "baseline corrupt >= 50%", "CL223"),
    ],
)
def test_what_no_metric_allows_is_refused(metric, claim, code):
    assert [c for c in codes_of(text_of(metric, claim)) if c != "CL203"] == [code]


@pytest.mark.parametrize(
    ("metric", "claim"),
    [
        ("rank(IO)", "baseline <= 1.5 ranks"),
        ("logprob(IO)", "baseline >= -1 nats"),
        ("prob_diff(IO, S)", "baseline corrupt <= 0 prob"),
        ("kl", "baseline corrupt >= 1 nats"),
    ],
)
def test_what_they_allow_is_not(metric, claim):
    assert codes_of(text_of(metric, claim)) == ["CL203"]


def test_the_word_is_no_keyword():
    """It names this circuit and its node, which a claim about no node does not use."""
    assert codes_of(text_of("logit_diff(IO, S)", "ablate baseline >= 5%")) == []
    assert codes_of(text_of("logit_diff(IO, S)", "baseline >= 3 logits")) == ["CL203"]
    assert codes_of(text_of("logit_diff(IO, S)", "baseline baseline >= 3 logits")) == ["CL226"]


def test_the_mean_of_each_world_is_judged():
    clean, corrupt = spread(3.56, 2.0), spread(0.1, 1.0, seed=1)
    bounds = "baseline in 3..4 logits", "baseline corrupt <= 0.5 logits"
    one, other = judged("logit_diff(IO, S)", *bounds, clean=clean, corrupt=corrupt)
    assert (one.verdict, other.verdict) == (Verdict.PASS, Verdict.PASS)
    assert (one.kind, one.bound) == ("baseline", "in 3 logits..4 logits")
    assert one.estimate.value == pytest.approx(np.mean(clean)) == pytest.approx(3.56)
    assert other.estimate.value == pytest.approx(np.mean(corrupt))
    assert one.experiments == ()
    assert one.estimate.unit == "logits"
    # No narrower than Student's t interval, and not much wider on values that are not skewed.
    alone = judged("logit_diff(IO, S)", "baseline >= 3 logits", clean=clean)[0]
    t = stats.t.interval(0.9, 99, loc=np.mean(clean), scale=stats.sem(clean))
    interval = alone.estimate.interval
    assert interval.level == pytest.approx(0.9)
    assert interval.low <= t[0] < t[1] <= interval.high
    assert interval.high - interval.low < 1.5 * (t[1] - t[0])


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("baseline >= 3 logits", Verdict.PASS),
        ("baseline >= 3.5 logits", Verdict.INCONCLUSIVE),
        ("baseline >= 4.5 logits", Verdict.FAIL),
        ("baseline <= 3 logits", Verdict.FAIL),
        ("baseline in 1..3 logits", Verdict.FAIL),
    ],
)
def test_verdicts(claim, verdict):
    (found,) = judged("logit_diff(IO, S)", claim, clean=spread(3.56, 2.0))
    assert found.verdict is verdict


def test_it_is_tested_as_attention_is():
    """The same numbers as a probability and as what was read of a head."""
    values = spread(0.6, 0.2)
    claims = "baseline >= 50%", "attention baseline END -> IO >= 0.5"
    alone = "significance 5% correction none"
    one, other = judged("prob(IO)", *claims, clean=values, readings=values, settings=alone)
    assert (one.p_pass, one.p_fail) == (other.p_pass, other.p_fail)
    assert one.estimate.interval == other.estimate.interval
    assert one.verdict is other.verdict is Verdict.PASS


@pytest.mark.parametrize("metric", ["loss(IO)", "rank(IO)"])
def test_a_metric_that_is_lower_when_better_keeps_its_own_direction(metric):
    unit = "nats" if "loss" in metric else "ranks"
    claims = f"baseline <= 3 {unit}", f"baseline corrupt >= 3 {unit}"
    clean, corrupt = spread(2.0, 0.2), spread(5.0, 0.8, seed=1)
    one, other = judged(metric, *claims, clean=clean, corrupt=corrupt)
    assert (one.verdict, other.verdict) == (Verdict.PASS, Verdict.PASS)
    assert one.estimate.value == pytest.approx(2.0)
    assert other.estimate.value == pytest.approx(5.0)
    assert "minus the metric" not in one.definition


@pytest.mark.parametrize(("hits", "limit"), [(20, 0.9), (18, 0.85)])
def test_an_accuracy_is_held_to_the_binomial_test_too(hits, limit):
    """Twenty prompts that all agree say no more than twenty coins."""
    clean = [1.0] * hits + [0.0] * (20 - hits)
    claim = f"baseline >= {limit} accuracy"
    (found,) = judged("accuracy(IO)", claim, clean=clean)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.p_pass >= stats.binom.sf(hits - 1, 20, limit) - 1e-12
    if hits == 20:
        assert found.p_pass == pytest.approx(limit**20)
        assert found.estimate.interval.low == pytest.approx(0.05 ** (1 / 20), abs=1e-3)
    assert found.estimate.interval.high <= 1
    (more,) = judged("accuracy(IO)", claim, clean=clean * 10)
    assert more.verdict is (Verdict.PASS if hits == 20 else Verdict.INCONCLUSIVE)


def test_intervals_hold_what_the_metric_can_be():
    ranks = [1.0] * 99 + [90.0]
    (rank,) = judged("rank(IO)", "baseline <= 30 ranks", clean=ranks, corrupt=[9.0] * 100)
    assert rank.estimate.interval.low == 1.0
    (probability,) = judged("prob(IO)", "baseline >= 10%", clean=[0.999] * 30 + [0.9])
    assert probability.estimate.interval.high <= 1.0


def test_pairs_that_are_skipped_are_skipped_here():
    clean = [4.0 + 0.01 * i for i in range(60)] + [-2.0 - 0.01 * i for i in range(40)]
    kept, skipped = (
        judged("logit_diff(IO, S)", "baseline >= 3 logits", clean=clean, settings=rule)[0]
        for rule in ("", "pairs wrong skip")
    )
    assert kept.estimate.value == pytest.approx(np.mean(clean))
    assert kept.verdict is Verdict.FAIL
    assert skipped.estimate.value == pytest.approx(np.mean(clean[:60]))
    assert skipped.verdict is Verdict.PASS


def test_it_costs_nothing_and_has_a_power():
    claims = "baseline >= 3 logits", "baseline corrupt >= 3 logits"
    circuit = circuit_of(text_of("logit_diff(IO, S)", *claims))
    plan = compile_plan(circuit)
    assert (plan.experiments, plan.readings, plan.forward_passes) == ((), (), 2)
    assert all(map(judged_by_its_mean, circuit.claims))
    (exact,) = circuit_of(text_of("accuracy(IO)", "baseline >= 80%")).claims
    assert not judged_by_its_mean(exact)
    # The same bound on the two worlds is not one claim.
    assert len(set(meanings(circuit))) == 2


BUILTIN = (ROOT / "circuits" / "builtin_ioi.circuit").read_text(encoding="utf-8")


@pytest.mark.parametrize("metric", ["logit_diff(IO, S)", "loss(IO)"])
def test_the_builtin_model_is_what_transformers_says(metric, tmp_path, capsys):
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    head = BUILTIN.split("\nmetric ")[0].replace("sample  120", "sample  24")
    unit = "logits" if "logit" in metric else "nats"
    text = f"{head}\nmetric {metric}\n\nclaims {{\n  baseline in 0.001..50 {unit}\n"
    text += f"  baseline corrupt in -5..50 {unit}\n}}\n" if unit == "logits" else "}\n"
    file, report, evidence = (tmp_path / name for name in ("a.circuit", "r.json", "e.json"))
    file.write_text(text, encoding="utf-8")
    outcome = called(capsys, "run", file, "--json", report, "--evidence", evidence, "--quiet")
    assert report.is_file(), outcome.out + outcome.err
    found = Report.model_validate_json(report.read_text(encoding="utf-8"))
    folder, _ = locate_model(circuit_of(text).model)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    expected = {"clean": [], "corrupt": []}
    for prompt in load_evidence(evidence).prompts:
        words = [tokenizer(f" {w}").input_ids for w in (prompt.answer, prompt.distractor or "x")]
        for world in expected:
            with torch.no_grad():
                ids = torch.tensor([tokenizer(getattr(prompt, world)).input_ids])
                logits = model(ids).logits[0, -1]
            value = -logits.log_softmax(-1)[words[0][-1]]
            if unit == "logits":
                value = logits[words[0][-1]] - logits[words[1][-1]]
            expected[world].append(float(value))
    for claim, world in zip(found.claims, expected, strict=False):
        assert claim.verdict is not Verdict.ERROR
        assert claim.estimate.value == pytest.approx(np.mean(expected[world]), abs=1e-3)


def test_a_divergence_has_a_baseline_on_corrupt_prompts():
    made = judged("kl", "baseline corrupt in 0.5..1.5 nats", clean=[0.0] * 100, corrupt=spread(1.0))
    assert made[0].verdict is Verdict.PASS
    assert made[0].estimate.value == pytest.approx(1.0)
