"""Judging evidence: what becomes PASS, FAIL, INCONCLUSIVE and ERROR, and what a reader is told."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from circuitlang.plan import Use, compile_plan
from circuitlang.report import ExitCode, Report, Verdict, exit_code, render_json
from circuitlang.source import SourceText
from circuitlang.statistics.bca import bca_shift
from circuitlang.statistics.bootstrap import Resampler
from circuitlang.statistics.distribution import Widening
from circuitlang.statistics.sign_flip import sign_flip_p
from circuitlang.verdict import judge, sampling
from tests.front_end import circuit_of
from tests.sample_evidence import BROKEN, CHECKS, HOLDS, sample_evidence

TEXT = """
circuit small
model "gpt2"
prompts {{
  clean   "When {{IO}} and {{S}} met, {{S}} gave a ring to"
  clean   "When {{S}} and {{IO}} met, {{S}} gave a ring to"
  corrupt IO = fresh, S1 = fresh, S2 = fresh
  IO, S   from names
  sample  100 seed 0
}}
metric logit_diff(IO, S)
nodes {{
  A L0.H1 at S2
  B L5.H5 at S2
  C L9.H9 at END
}}
edges {{
  {edges}
}}
claims {{
  {claims}
}}
test {{
  resamples {resamples}
  random edges 0
  {settings}
}}
"""

ONE = "A ~> B.V >= 20%"
N = 100


def source_of(edges=ONE, claims="", settings="", resamples=2000):
    text = TEXT.format(edges=edges, claims=claims, settings=settings, resamples=resamples)
    text = text if claims else text.replace("claims {\n  \n}\n", "")
    return SourceText("test.circuit", text)


def judged(
    patched, *, edges=ONE, claims="", settings="", resamples=2000, change=None, **evidence
) -> Report:
    source = source_of(edges, claims, settings, resamples)
    plan = compile_plan(circuit_of(source.text))
    measured = sample_evidence(plan, patched, **evidence)
    return judge(plan, change(measured) if change else measured, source)


def effects(mean, standard_error=0.02, count=N, seed=0):
    """Patched values whose noising effects have exactly this mean and standard error."""
    values = np.random.default_rng(seed).normal(size=count)
    values = (values - values.mean()) / values.std(ddof=1) * standard_error * math.sqrt(count)
    return (1 - mean - values).tolist()


def only(report):
    (claim,) = report.claims
    return claim


# Effects


def test_an_effect_is_a_ratio_of_means_and_not_a_mean_of_ratios():
    # Ratios of 1/10 and 8/10 on wholes of 10 and 1: the mean of ratios is 45%.
    rng = np.random.default_rng(0)
    corrupt = rng.normal(size=N)
    whole = np.where(np.arange(N) // 2 % 2 == 0, 10.0, 1.0)
    share = np.where(whole == 10, 0.1, 0.8)
    claim = only(judged({0: corrupt + whole * (1 - share)}, clean=corrupt + whole, corrupt=corrupt))
    assert claim.estimate.value == pytest.approx((10 * 0.1 + 1 * 0.8) / (10 + 1))
    assert claim.estimate.value != pytest.approx(0.45, abs=0.1)
    assert claim.estimate.change == pytest.approx((1 + 0.8) / 2)
    assert claim.verdict is Verdict.FAIL
    assert claim.definition.startswith("mean(clean - patched) / mean(clean - corrupt)")


def test_the_p_value_of_a_ratio_counts_a_linear_contrast():
    """num / den > b just when mean(num - b den) > 0 (Fieller), and few prompts follow Welch."""
    rng = np.random.default_rng(6)
    count, bound = 12, 0.2
    number = np.arange(count) % 2
    # The whole varies in one template only, and what the effect does not explain mostly in the
    # other: degrees of freedom come from the latter.
    whole = 10 + np.where(number == 0, rng.uniform(-8, 8, count), 0.0)
    change = 0.3 * whole + np.where(number == 0, 0.2, 2.0) * rng.normal(size=count)
    claim = only(judged({0: whole - change}, clean=whole, resamples=20_000))
    draws = Resampler(tuple(number.tolist()), 20_000, 0)
    both = np.stack([change, whole, change - bound * whole], axis=1)
    means, left_out = draws.means(both), draws.left_out(both)
    share = (1 + np.count_nonzero(means[:, 2] <= 0)) / 20_001
    effect = change.mean() / whole.mean()
    resampled, without = means[:, 0] / means[:, 1], left_out[:, 0] / left_out[:, 1]
    shift = bca_shift(resampled, effect, without, draws)
    z = shift.corrected(stats.norm.ppf(share))
    rest = change - effect * whole
    freedom = stats.ttest_ind(rest[::2], rest[1::2], equal_var=False).df
    assert freedom < 6
    scale = math.sqrt(6 / 5)
    by_resamples = stats.t.cdf(z / scale, freedom)
    by_flips = sign_flip_p(both[:, 2:], draws)[0]
    widening = Widening.of(rest, draws)
    assert widening.freedom == pytest.approx(freedom)
    distance = (effect - bound) * whole.mean()
    by_student = widening.t_error(distance, widening.bends[0])
    assert claim.p_pass == pytest.approx(max(by_resamples, by_flips, by_student), rel=1e-3)


def test_noising_denoising_ablation_and_raw_units():
    clean, corrupt, patched = [5.0] * N, [1.0] * N, [4.0] * N

    def value(edges="", claims="", settings="", key=0):
        source = edges or "C ~> logits"
        index = 1 if claims else key
        columns = {0: patched, index: patched}
        report = judged(columns, edges=source, claims=claims, settings=settings,
                        clean=clean, corrupt=corrupt)  # fmt: skip
        return report.claims[index].estimate

    assert value().value == pytest.approx(1 / 4)
    assert value(settings="direction denoising").value == pytest.approx(3 / 4)
    assert value(claims="ablate C >= 1%").value == pytest.approx(1 / 4)
    raw = value(edges="C ~> logits >= 0.5 logits")
    assert (raw.value, raw.unit) == (pytest.approx(1.0), "logits")
    assert value(edges="C ~> logits >= 0.5 logits", settings="direction denoising").value == (
        pytest.approx(3.0)
    )


def test_faithfulness_is_counted_from_the_empty_circuit():
    report = judged(
        {(1, Use.CIRCUIT): [4.0] * N, (1, Use.EMPTY): [2.0] * N, 0: [1.0] * N},
        claims="faithfulness >= 50%",
        clean=[5.0] * N,
    )
    claim = report.claims[1]
    assert claim.estimate.value == pytest.approx((4 - 2) / (5 - 2))
    assert claim.verdict is Verdict.PASS
    assert "F(C) / F(M) = 4 / 5 = 80.0%" in claim.also
    assert "F(empty) = 2" in claim.also


# Verdicts


@pytest.mark.parametrize(
    ("edge", "mean", "verdict"),
    [
        ("A ~> B.V >= 20%", 0.27, Verdict.PASS),
        ("A ~> B.V >= 20%", 0.13, Verdict.FAIL),
        ("A ~> B.V >= 20%", 0.21, Verdict.INCONCLUSIVE),
        ("A ~> B.V <= -20%", -0.27, Verdict.PASS),
        ("A ~> B.V <= -20%", -0.13, Verdict.FAIL),
        ("A ~> B.V in 10%..30%", 0.2, Verdict.PASS),
        ("A ~> B.V in 10%..30%", 0.37, Verdict.FAIL),
        ("A ~> B.V in 10%..30%", 0.29, Verdict.INCONCLUSIVE),
        ("no A ~> B.V within 10%", 0.03, Verdict.PASS),
        ("no A ~> B.V within 10%", 0.08, Verdict.INCONCLUSIVE),
        ("no A ~> B.V within 10%", -0.17, Verdict.FAIL),
        ("no A ~> B.V within 2%", 0.0, Verdict.INCONCLUSIVE),
        ("A ~> B.V", 0.07, Verdict.PASS),
        ("A ~> B.V", 0.0, Verdict.INCONCLUSIVE),
        ("A ~> B.V", -0.07, Verdict.FAIL),
    ],
)
def test_verdicts_of_effects_with_a_standard_error_of_two_percent(edge, mean, verdict):
    claim = only(judged({0: effects(mean)}, edges=edge))
    assert claim.verdict is verdict
    assert claim.estimate.value == pytest.approx(mean)
    interval = claim.estimate.interval
    assert interval.low < mean < interval.high
    # Outside a range there are two chances to be wrong, which share the level.
    shares = verdict is Verdict.FAIL and ("within" in edge or " in " in edge)
    assert interval.level == pytest.approx(0.95 if shares else 0.9)
    words = {
        Verdict.PASS: "lies inside",
        Verdict.FAIL: "lies outside",
        Verdict.INCONCLUSIVE: "holds a limit",
    }
    assert words[verdict] in claim.reason


def test_effects_that_do_not_vary_are_judged():
    """Dead edges: zero on every prompt."""
    claim = only(judged({0: [1.0] * N}, edges="no A ~> B.V within 2%"))
    assert claim.verdict is Verdict.PASS
    assert (claim.estimate.interval.low, claim.estimate.interval.high) == (0.0, 0.0)
    assert only(judged({0: [1.0] * N})).verdict is Verdict.FAIL
    assert only(judged({0: [0.0] * N})).verdict is Verdict.PASS


@pytest.mark.parametrize("offset", [0.0, 9e-5, -9e-5])
def test_float_noise_decides_nothing(offset):
    claim = only(judged({0: [0.8 + offset] * N}))
    assert claim.verdict is Verdict.INCONCLUSIVE
    assert "rounding could decide" in claim.reason


def test_float_noise_in_logits_is_more_of_a_small_whole():
    # 2e-5 of a logit is 2% of a whole of .001: far from the bound in percent, and still noise.
    columns = {"clean": [1.001] * N, "corrupt": [1.0] * N}
    claim = only(judged({0: [1.001 - 0.00022] * N}, **columns))
    assert claim.estimate.value == pytest.approx(0.22)
    assert claim.verdict is Verdict.INCONCLUSIVE
    assert "0.0001 logits are 10% here" in claim.reason


def test_holm_is_applied_over_the_file():
    edges = "A ~> B.V >= 20%\n  A -> B.V >= 20%\n  C ~> logits >= 20%\n  C -> logits >= 20%"
    # t of about 1.9 each: reached by one claim alone, and not by four that share the level.
    columns = {i: effects(0.238, seed=i) for i in range(4)}
    alone = only(judged({0: columns[0]}))
    assert alone.verdict is Verdict.PASS
    shared = judged(columns, edges=edges)
    assert [c.verdict for c in shared.claims] == [Verdict.INCONCLUSIVE] * 4
    assert all(c.level == pytest.approx(0.05 / 4) for c in shared.claims)
    assert shared.settings.family == 4
    free = judged(columns, edges=edges, settings="significance 5% correction none")
    assert [c.verdict for c in free.claims] == [Verdict.PASS] * 4
    # A strong claim leaves its share to the others.
    columns[0] = effects(0.5)
    levels = [c.level for c in judged(columns, edges=edges).claims]
    assert levels == pytest.approx([0.05 / 4, 0.05 / 3, 0.05 / 3, 0.05 / 3])


def test_false_passes_and_false_fails_are_two_families():
    edges = "A ~> B.V >= 20%\n  A -> B.V >= 20%\n  C ~> logits >= 20%"
    report = judged({0: effects(0.5), 1: effects(-0.1), 2: effects(0.18)}, edges=edges)
    assert [c.verdict for c in report.claims] == [Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE]
    # .18 leans to FAIL: held against the second step of the family of FAILs.
    assert [c.level for c in report.claims] == pytest.approx([0.05 / 3, 0.05 / 3, 0.05 / 2])
    low, high = report.claims[2].estimate.interval.low, report.claims[2].estimate.interval.high
    assert low < 0.2 < high
    # With no FAIL that family is still at its first step, and the family of PASSes at its second.
    report = judged({0: effects(0.5), 1: effects(0.18), 2: effects(0.22)}, edges=edges)
    assert [c.level for c in report.claims] == pytest.approx([0.05 / 3, 0.05 / 3, 0.05 / 2])


def test_every_shown_interval_decides_as_the_verdict_does():
    rng = np.random.default_rng(2)
    edges = "A ~> B.V >= 20%\n  A -> B.V in 10%..25%\n  no C ~> logits within 15%"
    seen = set()
    limits = [(0.2, math.inf), (0.1, 0.25), (-0.15, 0.15)]
    for seed in range(60):
        columns = {i: effects(rng.uniform(-0.1, 0.4), 0.02, 30, seed + 100 * i) for i in range(3)}
        for claim, (low, high) in zip(judged(columns, edges=edges).claims, limits, strict=True):
            interval = claim.estimate.interval
            inside = low < interval.low and interval.high < high
            outside = interval.high < low or high < interval.low
            expected = {(True, False): Verdict.PASS, (False, True): Verdict.FAIL}
            if "sign flips" in claim.reason:  # the second test alone stands in the way
                assert inside or outside
                assert claim.verdict is Verdict.INCONCLUSIVE
            else:
                assert claim.verdict is expected.get((inside, outside), Verdict.INCONCLUSIVE)
            seen.add(claim.verdict)
    assert len(seen) == 3


def test_the_advised_number_of_prompts_is_told():
    claim = only(judged({0: effects(0.21)}))
    # 80% power at 5% takes 1.645 + 0.842 standard errors, of .02 now, in a distance of .01.
    advised = int(claim.reason.split("about ")[1].split()[0].replace(",", ""))
    assert advised == pytest.approx(100 * ((1.645 + 0.842) * 0.02 / 0.01) ** 2, rel=0.02)
    again = only(judged({0: effects(0.21, 0.02 / math.sqrt(1.3 * advised / 100))}))
    assert again.verdict is Verdict.PASS
    before = only(judged({0: effects(0.21, 0.02 / math.sqrt(0.35 * advised / 100))}))
    assert before.verdict is Verdict.INCONCLUSIVE


# Errors


def assert_error(claim, words):
    assert claim.verdict is Verdict.ERROR
    assert words in claim.reason
    assert (claim.estimate, claim.p_pass, claim.p_fail, claim.level) == (None, None, None, None)


def test_a_value_that_is_not_finite_is_an_error_and_stays_in_the_family():
    edges = "A ~> B.V >= 20%\n  C ~> logits >= 20%"
    values = effects(0.5)
    values[3] = None
    report = judged({0: values, 1: effects(0.5)}, edges=edges)
    assert_error(report.claims[0], "no finite value on 1 of 100 prompts (prompt 4)")
    assert report.claims[1].verdict is Verdict.PASS
    assert report.claims[1].level == pytest.approx(0.05 / 2)
    assert exit_code(report) is ExitCode.NOT_RUN


@pytest.mark.parametrize("world", ["clean", "corrupt"])
def test_a_world_that_is_not_finite_stops_every_claim(world):
    column = [float(world == "clean")] * N
    column[0] = column[99] = None
    report = judged({0: effects(0.5)}, **{world: column})
    assert_error(only(report), f"the {world} run has no finite value on 2 of 100 prompts")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
def test_numbers_that_no_file_could_hold_do_not_pass_either(value):
    def poisoned(evidence):
        name = next(iter(evidence.patched))
        column = (value, *evidence.patched[name][1:])
        return evidence.model_copy(update={"patched": {name: column}})

    assert_error(only(judged({0: effects(0.5)}, change=poisoned)), "no finite value on 1 of 100")


def test_a_failed_self_check_makes_every_verdict_an_error():
    edges = "A ~> B.V >= 20%\n  C ~> logits >= 20%"
    columns = {0: effects(0.5), 1: effects(-0.5)}
    report = judged(columns, edges=edges, self_checks=(*CHECKS, BROKEN))
    for claim in report.claims:
        assert_error(claim, f"self-check failed: {BROKEN.name}")
    assert exit_code(report) is ExitCode.NOT_RUN


@pytest.mark.parametrize(
    "checks",
    [(), *((HOLDS.model_copy(update={"value": v}),) for v in (None, 2e-5, -2e-5, math.nan))],
)
def test_no_self_check_is_no_evidence(checks):
    assert_error(only(judged({0: effects(0.5)}, self_checks=checks)), "self-check")


def test_a_failed_experiment_tells_its_reason():
    source = source_of()
    plan = compile_plan(circuit_of(source.text))
    name = plan.experiments[0].id
    evidence = sample_evidence(plan, {}, errors={name: "while patching: it did not fire"})
    assert_error(only(judge(plan, evidence, source)), "it did not fire")


def test_an_experiment_that_was_not_run_is_an_error():
    report = judged({}, complete=False)
    assert_error(only(report), "the run ended before this was measured")
    assert exit_code(report) is ExitCode.INTERRUPTED
    half = [*effects(0.5)[:50], *[None] * 50]
    report = judged({0: half}, complete=False)
    assert_error(only(report), "the run ended before this was measured on 50 of 100 prompts")


def test_columns_of_another_length_are_an_error():
    def shortened(evidence):
        return evidence.model_copy(update={"clean": evidence.clean[:-1]})

    assert_error(only(judged({0: effects(0.5)}, change=shortened)), "99 values for 100 prompts")


@pytest.mark.parametrize("gap", [0.0, -1.0, 0.1, 1e-6])
def test_nothing_is_divided_by_what_may_be_zero(gap):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=N) * (gap != 1e-6)
    noise -= noise.mean()
    clean = 3 + gap + noise
    report = judged({0: clean - 5}, clean=clean, corrupt=[3.0] * N)
    assert_error(only(report), "nothing to divide by")
    raw = judged({0: clean - 5}, clean=clean, corrupt=[3.0] * N, edges="A ~> B.V >= 0.2 logits")
    assert only(raw).verdict is Verdict.PASS


def test_a_denominator_must_stand_out_at_the_level_of_the_family():
    # A t of 2.3 (p = .012) is enough for one claim at 5%, and not for each of five.
    rng = np.random.default_rng(1)
    noise = rng.normal(size=N)
    clean = 1 + (noise - noise.mean()) / noise.std(ddof=1) * math.sqrt(N) / 2.3
    column = clean + rng.normal(size=N)
    assert only(judged({0: column}, clean=clean)).verdict is not Verdict.ERROR
    edges = "A ~> B.V\n  A ~> B.K\n  A ~> B.Q\n  C ~> logits\n  C -> logits"
    report = judged(dict.fromkeys(range(5), column), edges=edges, clean=clean)
    for claim in report.claims:
        assert_error(claim, "not reliably above zero")
    alone = "significance 5% correction none"
    report = judged(dict.fromkeys(range(5), column), edges=edges, clean=clean, settings=alone)
    assert all(claim.verdict is not Verdict.ERROR for claim in report.claims)


@pytest.mark.parametrize("distance", [1.7, 1.9, 2.1])
@pytest.mark.parametrize("bound", ["in 20%..30%", ">= 500%"])
def test_an_interval_has_limits_where_some_resamples_have_nothing_to_divide_by(bound, distance):
    """The denominator is above zero at the level, and not at the half level of one side of a FAIL:
    the interval is of the confidence that can be had, and its level says so."""
    whole = np.array(effects(0.0, 1.0)) - 1
    clean = (whole + distance).tolist()
    column = [-value for value in clean]  # an effect of 2
    claim = only(judged({0: column}, edges=f"A ~> B.V {bound}", clean=clean))
    assert claim.verdict is not Verdict.PASS
    if claim.estimate is not None:
        interval = claim.estimate.interval
        assert math.isfinite(interval.low)
        assert math.isfinite(interval.high)
        assert 0.9 <= interval.level + 1e-9 <= 1.0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_prompt_a_template_never_passes(count):
    templates = [i % 2 for i in range(count)]
    report = judged({0: [0.0] * count}, templates=templates)
    assert_error(only(report), "fewer than two different prompts")


def test_two_prompts_a_template_do_not_pass_for_want_of_variance():
    claim = only(judged({0: [0.0] * 4}, resamples=1_000_000))
    assert claim.verdict is Verdict.INCONCLUSIVE
    assert claim.p_pass >= 2**-4
    assert "4 prompts cannot reach the level 0.05, however many resamples" in claim.reason
    assert claim.estimate.interval.level == pytest.approx(1 - 2 * claim.p_pass)


def test_copies_of_a_prompt_are_one_observation():
    def doubled(evidence):
        rows = [i % 25 for i in range(N)]
        return evidence.model_copy(
            update={
                "prompts": tuple(evidence.prompts[r] for r in rows),
                "patched": {
                    k: tuple(v[r] for r in rows) for k, v in evidence.patched.items()
                },
            }
        )  # fmt: skip

    values = [*effects(0.23, 0.02, 25), *[0.0] * 75]
    claim = only(judged({0: values}, change=doubled))
    once = only(judged({0: values[:25]}))
    assert claim.estimate == once.estimate
    assert claim.estimate.prompts == 25
    pairs = judged({0: values}, change=doubled).pairs
    assert (pairs.drawn, pairs.judged, pairs.copies.count) == (100, 25, 75)
    assert [(p.number, p.reason) for p in pairs.copies.pairs[:2]] == [
        (26, "a copy of pair 1"),
        (27, "a copy of pair 2"),
    ]


def test_no_claims_is_no_success():
    source = source_of()
    circuit = replace(circuit_of(source.text), edges=(), claims=())
    plan = compile_plan(circuit)
    report = judge(plan, sample_evidence(plan, {}), source)
    assert report.claims == ()
    assert exit_code(report) is ExitCode.NOT_RUN


def test_no_prompts_are_no_success():
    def emptied(evidence):
        empty = {"prompts": (), "clean": (), "corrupt": (), "answered": ()}
        return evidence.model_copy(update={**empty, "patched": dict.fromkeys(evidence.patched, ())})

    report = judged({0: effects(0.5)}, change=emptied)
    assert_error(only(report), "fewer than two different prompts")
    assert exit_code(report) is ExitCode.NOT_RUN


# What else is told


def test_the_worst_template_stands_first():
    columns = {0: [0.5 if i % 2 == 0 else 0.7 for i in range(N)]}
    strata = only(judged(columns)).estimate.strata
    assert [(s.template, s.value) for s in strata] == [
        (2, pytest.approx(0.3)),
        (1, pytest.approx(0.5)),
    ]
    assert [s.prompts for s in strata] == [50, 50]
    strata = only(judged(columns, edges="A ~> B.V <= 60%")).estimate.strata
    assert [s.template for s in strata] == [1, 2]
    strata = only(judged(columns, edges="A ~> B.V in 0%..55%")).estimate.strata
    assert [s.template for s in strata] == [1, 2]


def test_a_template_without_a_whole_is_named():
    corrupt = [0.0 if i % 2 == 0 else 1.5 for i in range(N)]
    claim = only(judged({0: effects(0.2)}, corrupt=corrupt))
    assert [s.template for s in claim.estimate.strata] == [1]
    assert "template 2 has nothing to divide by" in claim.also


def test_templates_of_different_level_do_not_widen_the_interval():
    values = effects(0.3)
    levels = [0.0 if i % 2 else 5.0 for i in range(N)]
    columns = {
        "clean": [1 + level for level in levels],
        "corrupt": levels,
    }
    moved = only(
        judged({0: [v + level for v, level in zip(values, levels, strict=True)]}, **columns)
    )
    still = only(judged({0: values}))
    assert moved.estimate.interval.low == pytest.approx(still.estimate.interval.low)


def test_the_same_evidence_gives_the_same_report():
    edges = "A ~> B.V >= 20%\n  C ~> logits >= 20%"
    columns = {0: effects(0.3), 1: effects(0.21)}
    first, second = (render_json(judged(columns, edges=edges)) for _ in range(2))
    assert first == second
    other = judged(columns, edges=edges, settings="seed 1")
    assert (
        other.claims[0].estimate.interval
        != judged(columns, edges=edges).claims[0].estimate.interval
    )


def test_claims_are_taken_in_groups_without_changing_a_number(monkeypatch):
    edges = "A ~> B.V >= 20%\n  A ~> B.K >= 20%\n  A ~> B.Q >= 20%\n  C ~> logits >= 20%"
    columns = {i: effects(0.1 + i / 10, seed=i) for i in range(4)}
    together = judged(columns, edges=edges)
    monkeypatch.setattr(sampling, "_HELD", 2 * 2000)
    for one, other in zip(judged(columns, edges=edges).claims, together.claims, strict=True):
        assert (one.verdict, one.p_pass, one.reason) == (other.verdict, other.p_pass, other.reason)
        assert one.estimate.value == other.estimate.value
        # Sums may be added up in another order, so the last bits may differ.
        assert one.estimate.interval.low == pytest.approx(other.estimate.interval.low, rel=1e-12)


def test_judging_many_prompts_stays_small():
    """10,000 prompts x 20,000 resamples are 1.6 GB of draws."""
    count = 10_000
    values = effects(0.3, 0.02, count)
    tracemalloc.start()
    report = judged({0: values}, resamples=20_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert only(report).verdict is Verdict.PASS
    assert peak < 150_000_000


def test_the_report_names_place_numbers_and_method():
    report = judged({0: effects(0.27)})
    claim = only(report)
    assert claim.place.line == source_of().text.splitlines().index("  A ~> B.V >= 20%") + 1
    assert (claim.place.file, claim.place.column) == ("test.circuit", 3)
    assert (claim.senders, claim.receivers) == (("L0.H1",), ("L5.H5.V",))
    assert (claim.kind, claim.bound) == ("edge", ">= 20%")
    assert 0 < claim.p_pass < 0.01
    assert claim.p_fail > 0.99
    assert report.settings.interval_method.startswith("paired bootstrap inside templates")
    assert report.baseline.clean - report.baseline.corrupt == pytest.approx(1.0)
