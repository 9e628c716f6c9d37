"""Claims about the whole circuit: what they run, and what becomes of made-up measurements.

The measurements come from a model on paper: a function of the heads that are left alone gives the
score, and every experiment has noise of its own. What must pass and what must fail is known.
"""

import zlib
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from circuitlang.circuit import CircuitTest, Head
from circuitlang.plan import (
    Experiments,
    Kept,
    RunCircuitAlone,
    RunWithout,
    Use,
    check_design,
    compile_plan,
)
from circuitlang.report import Interval, Report, Verdict
from circuitlang.source import SourceText
from circuitlang.statistics.correction import Level
from circuitlang.statistics.ranking import Ranking
from circuitlang.verdict import judge
from circuitlang.verdict.circuit_tests import CircuitTested, circuit_test_report
from circuitlang.verdict.circuit_tests.among_random import _part as ranked_part
from circuitlang.verdict.circuit_tests.tested import TestedPart, every_part
from circuitlang.verdict.decision import Tests
from circuitlang.verdict.wording import identity
from tests.commands import called
from tests.front_end import ROOT, circuit_of, codes_of
from tests.sample_evidence import sample_evidence

TEXT = """
circuit small
model {model}
prompts {{
  clean   "When {{IO}} and {{S}} met, {{S}} gave a ring to"
  clean   "When {{S}} and {{IO}} met, {{S}} gave a ring to"
  corrupt IO = fresh, S1 = fresh, S2 = fresh
  IO, S   from names
  sample  {sample} seed 0
}}
metric logit_diff(IO, S)
nodes {{
  A {first} at S2
  B L5.H5 at S2, END
  C L9.H9 at END
}}
claims {{
  {claims}
}}
test {{
  resamples {resamples}
  ablation zero
  greedy searches {searches}
  {settings}
}}
"""

A1, A2, B, C = Head(0, 1), Head(0, 2), Head(5, 5), Head(9, 9)
EVERY = frozenset(Head(layer, head) for layer in range(12) for head in range(12))
Score = Callable[[frozenset[Head]], float]


def text_of(
    claims,
    *,
    sample=300,
    settings="",
    resamples=4000,
    model='"gpt2"',
    first="L0.H1, L0.H2",
    searches=0,
):
    return TEXT.format(
        claims=claims,
        sample=sample,
        settings=settings,
        resamples=resamples,
        model=model,
        first=first,
        searches=searches,
    )


def left_alone(run) -> frozenset[Head]:
    """The heads that an experiment leaves alone at some position."""
    if isinstance(run, RunCircuitAlone):
        return frozenset(kept.component for kept in run.kept)
    spared = {kept.component for kept in run.spared}
    return EVERY - ({kept.component for kept in run.removed} - spared)


def noise_of(run, prompts, scale):
    random = np.random.default_rng(zlib.crc32(repr(run).encode()))
    return random.normal(size=prompts) * scale


def judged(claims, score: Score, *, noise=0.3, sample=300, change=None, **more) -> Report:
    """The report on made-up evidence; ``change(run, column)`` may give a column another shape."""
    text = text_of(claims, sample=sample, **more)
    plan = compile_plan(circuit_of(text))
    unit = 1 + 0.2 * np.random.default_rng(0).normal(size=sample)
    clean = score(EVERY) * unit
    columns = {}
    for experiment in plan.experiments:
        run = experiment.intervention
        column = score(left_alone(run)) * unit + noise_of(run, sample, noise)
        columns[experiment.id] = tuple(column if change is None else change(run, column, clean))
    evidence = sample_evidence(plan, {}, clean=clean.tolist(), corrupt=[0.0] * sample)
    evidence = evidence.model_copy(update={"patched": columns})
    return judge(plan, evidence, SourceText("test.circuit", text))


def only(report):
    (claim,) = report.claims
    assert 0 <= claim.p_pass <= 1
    assert 0 <= claim.p_fail <= 1
    assert claim.p_pass + claim.p_fail >= 0.9, "both conclusions at once"
    low, high = claim.estimate.interval.low, claim.estimate.interval.high
    assert low <= claim.estimate.value + 1e-9
    assert claim.estimate.value <= high + 1e-9 or claim.kind == "independent"
    assert claim.parts[0].value == claim.estimate.value
    assert claim.definition
    assert claim.also
    return claim


def additive(weights) -> Score:
    return lambda heads: sum(weight for head, weight in weights.items() if head in heads)


ALL_MATTER = additive({A1: 2.0, A2: 2.0, B: 3.0, C: 3.0})


def redundant(heads):
    """A1 or A2 is enough; B and C are needed besides."""
    return 4.0 * bool({A1, A2} & heads) + 3.0 * (B in heads) + 3.0 * (C in heads)


def backed_up(heads):
    """A head outside of the circuit takes over when B is gone, as backup name movers do."""
    return 5.0 * bool({B, Head(7, 7)} & heads) + additive({A1: 2.0, C: 3.0})(heads)


# What is run


def experiments_of(claims, **more):
    circuit = circuit_of(text_of(claims, **more))
    return Experiments(circuit.all_claims[0], circuit), circuit


def test_completeness_knocks_out_nothing_nodes_everything_and_random_components():
    experiments, circuit = experiments_of("completeness within 20%", settings="random subsets 4")
    sets = experiments.knocked_out()
    assert [one.name for one in sets[:5]] == ["nothing", "A", "B", "C", "the whole circuit"]
    assert len(sets) == 9
    assert len({one.sites for one in sets}) == 9
    assert sets[1].sites == {Kept(A1, sets[1].sites and next(iter(sets[1].sites)).positions)} | {
        site for site in experiments.sites if site.component == A2
    }
    (need,) = compile_plan(circuit).needs
    uses = [use for use, _ in need.experiments]
    # The whole circuit alone and the empty one stand for two of the nine sets, too.
    assert uses.count(Use.CIRCUIT_WITHOUT) == 9
    assert uses.count(Use.MODEL_WITHOUT) == 8


def test_a_set_takes_its_own_positions_and_leaves_those_of_other_nodes():
    """L0.H1 at S2 and at IO: taking the first node away leaves the second one's place."""
    text = text_of("completeness within 20%").replace("C L9.H9 at END", "C L0.H1 at IO")
    circuit = circuit_of(text)
    experiments = Experiments(circuit.all_claims[0], circuit)
    node = next(one for one in experiments.knocked_out() if one.name == "A")
    without = experiments.model_without(node.sites)
    assert {site.component for site in without.removed} == {A1, A2}
    assert [str(site.positions[0]) for site in without.spared] == ["IO"]
    alone = experiments.alone(experiments.sites - node.sites)
    assert [str(k.component) for k in alone.kept] == ["L0.H1", "L5.H5"]


def test_minimality_never_knocks_out_what_it_asks_about():
    experiments, _ = experiments_of("minimality >= 1%")
    for component in experiments.components:
        sets = experiments.knocked_out_beside(component)
        assert sets[0].name == "nothing"
        assert all(component not in {s.component for s in one.sites} for one in sets)
        assert len({one.sites for one in sets}) == len(sets)
    names = {one.name for one in experiments.knocked_out_beside(A1)}
    assert "A but for L0.H1" in names
    assert "the whole circuit but for L0.H1" in names


def test_minimal_adds_others_at_the_component_s_own_positions():
    experiments, _ = experiments_of("minimal", settings="random circuits 40")
    runs = experiments.inflated(B)
    added = [set(run.kept) - experiments.sites for run in runs]
    assert len({frozenset(each) for each in added}) == 40
    (own,) = experiments.of(B)
    for each in added:
        (site,) = each
        assert site.positions == own.positions
        assert site.component not in experiments.components
    everyone, _ = experiments_of("minimal", settings="random circuits 1000")
    assert len(everyone.inflated(B)) == 140 == len(everyone.outside(B))


def test_random_circuits_have_other_heads_of_the_same_layers():
    experiments, _ = experiments_of("sufficient")
    own = sorted((s.component.layer, s.positions) for s in experiments.sites)
    runs = experiments.random_circuits()
    assert len(runs) == 100
    for run in runs:
        assert sorted((k.component.layer, k.positions) for k in run.kept) == own
        assert set(run.kept) != experiments.sites
        assert len({k.component for k in run.kept}) == 4
    drawn = [k.component.head for run in runs for k in run.kept]
    assert set(drawn) == set(range(12))
    assert stats.chisquare(np.bincount(drawn)).pvalue > 1e-3
    again, _ = experiments_of("sufficient\n  equivalent", sample=400)
    assert again.random_circuits() == runs
    other, _ = experiments_of("sufficient", settings="seed 1")
    assert other.random_circuits() != runs


def test_what_needs_the_model_s_size_waits_for_it():
    circuit = circuit_of(text_of("minimal\n  sufficient\n  equivalent", model='"someone/else"'))
    assert circuit.shape is None
    needs = compile_plan(circuit).needs
    assert [need.drawn_later for need in needs] == [True, True, False]
    assert check_design(circuit) == ()


def test_the_complement_takes_the_whole_circuit_away():
    experiments, circuit = experiments_of("independent <= 0.3")
    found = compile_plan(circuit)
    runs = [e.intervention for e in found.experiments if isinstance(e.intervention, RunWithout)]
    (run,) = runs
    assert set(run.removed) == experiments.sites
    assert run.spared == ()


# Verdicts


def test_a_complete_circuit_passes_completeness():
    claim = only(judged("completeness within 10%", ALL_MATTER))
    assert claim.verdict is Verdict.PASS
    assert len(claim.parts) == 5 + 10 or len(claim.parts) == 15
    assert claim.p_pass == max(part.p_pass for part in claim.parts)
    assert claim.p_fail == min(1.0, len(claim.parts) * min(p.p_fail for p in claim.parts))
    assert all(-0.1 < p.interval.low <= p.interval.high < 0.1 for p in claim.parts)


def test_a_backup_outside_of_the_circuit_fails_completeness_and_not_faithfulness():
    report = judged("completeness within 20%\n  faithfulness >= 90%", backed_up)
    complete, faithful = report.claims
    assert faithful.verdict is Verdict.PASS
    assert complete.verdict is Verdict.FAIL
    # F(C \ B) - F(M \ B) = 5 - 10 of F(M) - F(empty) = 10.
    assert complete.estimate.value == pytest.approx(-0.5, abs=0.02)
    assert "L5.H5" in complete.also or "K = B" in complete.also
    assert "L5.H5" in complete.reason or "outside: K = B" in complete.reason
    assert {s.template for s in complete.estimate.strata} == {1, 2}
    assert sum(s.prompts for s in complete.estimate.strata) == 300
    sizes = [abs(part.value) for part in complete.parts]
    assert sizes == sorted(sizes, reverse=True)


def test_a_fail_that_needs_more_resamples_does_not_blame_the_prompts():
    """15 sets, two limits each, share 1%: 30 / 1001 is above it and 30 / 8001 is not."""
    few, enough = (
        only(
            judged(
                "completeness within 20%", backed_up, resamples=count, settings="significance 1%"
            )
        )
        for count in (1000, 8000)
    )
    assert few.verdict is Verdict.INCONCLUSIVE
    assert few.p_fail == pytest.approx(30 / 1001)
    assert "no fail has a p-value below 0.03, and 0.01 is needed" in few.reason
    assert few.reason.endswith("ask for more `resamples`")
    assert enough.verdict is Verdict.FAIL


def test_completeness_says_exactly_what_was_measured():
    text = text_of("completeness within 20%", settings="random subsets 0")
    plan = compile_plan(circuit_of(text))
    rng = np.random.default_rng(4)
    columns = {e.id: rng.normal(size=300) for e in plan.experiments}
    clean = 10 + rng.normal(size=300)
    evidence = sample_evidence(plan, {}, clean=clean.tolist(), corrupt=[0.0] * 300)
    evidence = evidence.model_copy(update={"patched": {k: tuple(v) for k, v in columns.items()}})
    (claim,) = judge(plan, evidence, SourceText("test.circuit", text)).claims
    found = {part.name: part.value for part in claim.parts}
    by_run = {e.intervention: columns[e.id].mean() for e in plan.experiments}
    tests = Experiments(plan.circuit.all_claims[0], plan.circuit)
    whole = clean.mean() - by_run[tests.empty()]
    for one in tests.knocked_out():
        model = by_run[tests.model_without(one.sites)] if one.sites else clean.mean()
        gap = by_run[tests.alone(tests.sites - one.sites)] - model
        assert found[f"K = {one.name}"] == pytest.approx(gap / whole, rel=1e-9)


def test_completeness_keeps_its_levels_at_the_edge():
    """The backup is worth exactly the margin: a pass and a fail are both wrong too often if ever
    above their level."""
    rng, found = np.random.default_rng(11), []

    def at_the_edge(heads):
        left = additive({A1: 2.0, C: 3.0, B: 5.0})(heads)
        return left + 2.0 * (Head(7, 7) in heads and B not in heads)

    def fresh(run, column, clean):
        return column + rng.normal(size=len(column))

    for _ in range(60):
        report = judged(
            "completeness within 20%", at_the_edge, noise=0.0, sample=60, change=fresh,
            settings="random subsets 0", resamples=1000,
        )  # fmt: skip
        (claim,) = report.claims
        assert abs(claim.estimate.value) == pytest.approx(0.2, abs=0.1)
        found.append((claim.p_pass, claim.p_fail))
    for wrong in zip(*found, strict=True):
        hits = sum(p <= 0.05 for p in wrong)
        assert stats.binom.sf(hits - 1, len(wrong), 0.05) > 0.001


def test_a_redundant_head_matters_once_its_twin_is_gone():
    claim = only(judged("minimality >= 10%", redundant))
    assert claim.verdict is Verdict.PASS
    parts = {part.name.split(" ")[0]: part for part in claim.parts}
    assert parts["L0.H1"].value == pytest.approx(0.4, abs=0.02)
    # Every set that takes A2 away will do.
    assert "K = nothing" not in parts["L0.H1"].name
    assert parts["L9.H9"].value == pytest.approx(0.3, abs=0.02)


def test_a_head_that_does_nothing_fails_minimality():
    claim = only(judged("minimality >= 10%", additive({A1: 3.0, B: 3.0, C: 4.0})))
    assert claim.verdict is Verdict.FAIL
    assert claim.parts[0].name.startswith("L0.H2")
    assert claim.parts[0].value < 0.05


def test_a_circuit_with_the_model_s_scores_is_equivalent():
    claim = only(judged("equivalent within 10%", ALL_MATTER))
    assert claim.verdict is Verdict.PASS
    mean, signs = claim.parts
    assert (mean.unit, signs.unit) == ("fraction", "share")
    assert claim.p_pass == max(mean.p_pass, signs.p_pass)
    assert claim.p_fail == min(1.0, 2 * min(mean.p_fail, signs.p_fail))


def test_the_model_itself_is_equivalent_to_itself():
    """Nothing but ties: each counts half."""
    claim = only(judged("equivalent", ALL_MATTER, noise=0.0))
    assert claim.parts[1].value == 0.5
    assert "300 ties" in claim.definition
    assert claim.verdict is Verdict.PASS


def test_small_differences_of_one_sign_are_no_equivalence():
    """Shi et al.'s implementation compares means: 0.5 % of the whole would pass anything."""

    def above(run, column, clean):
        if len(left_alone(run)) != 4:
            return column
        return clean + 0.05 + 0.01 * noise_of(run, 300, 1.0)

    claim = only(judged("equivalent within 10%", ALL_MATTER, change=above))
    assert claim.verdict is Verdict.FAIL
    mean, signs = claim.parts
    assert mean.p_pass < 0.01
    assert signs.value == 1.0
    assert signs.p_fail < 1e-9
    assert "share of prompts" in claim.reason


def test_large_differences_on_both_sides_are_no_equivalence_of_means():
    def rarely(run, column, clean):
        if len(left_alone(run)) != 4:
            return column
        even = np.arange(300) % 2 == 0
        return np.where(even, clean + 0.1, clean - 9.0)

    claim = only(judged("equivalent within 10%", ALL_MATTER, change=rarely))
    assert claim.verdict is Verdict.FAIL
    assert claim.parts[1].value == 0.5
    assert claim.parts[0].p_fail < 0.01


def test_few_prompts_prove_no_equivalence():
    """A test that passes by not rejecting would pass here."""
    text = text_of("equivalent", sample=60)
    (problem,) = check_design(circuit_of(text))
    assert problem.code == "CL229"
    assert "cannot pass with 60 prompts" in problem.message
    claim = only(judged("equivalent", ALL_MATTER, sample=60))
    assert claim.verdict is Verdict.INCONCLUSIVE
    assert "one half" in claim.reason


def dependent(strength):
    """What is left without the circuit follows the model's score."""

    def change(run, column, clean):
        if isinstance(run, RunWithout):
            return strength * (clean - clean.mean()) + noise_of(run, len(clean), 1.0)
        return column

    return change


def test_a_rest_that_is_noise_is_independent():
    claim = only(judged("independent <= 0.3", ALL_MATTER, change=dependent(0.0)))
    assert claim.verdict is Verdict.PASS
    assert claim.estimate.unit == "dCor"
    assert claim.bound == "<= 0.3"
    assert claim.estimate.interval.high < 0.3


@pytest.mark.parametrize("bound", ["1", "3", "100%", "2.5"])
def test_a_correlation_that_is_always_below_its_bound_is_no_claim(bound):
    assert codes_of(text_of(f"independent <= {bound}")) == ["CL222"]


def test_a_rest_that_follows_the_model_is_not_independent():
    claim = only(judged("independent <= 0.3", ALL_MATTER, change=dependent(2.0)))
    assert claim.verdict is Verdict.FAIL
    assert claim.estimate.interval.low > 0.3
    assert "HSIC" in claim.also


def test_few_prompts_prove_no_independence():
    claim = only(judged("independent <= 0.3", ALL_MATTER, sample=40, change=dependent(0.0)))
    assert claim.verdict is Verdict.INCONCLUSIVE
    (problem,) = check_design(circuit_of(text_of("independent <= 0.1", sample=60)))
    assert "sample about" in problem.hint


FEW = "random circuits 60"


def test_components_that_all_matter_are_minimal():
    claim = only(judged("minimal", ALL_MATTER, settings=FEW))
    assert claim.verdict is Verdict.PASS
    assert {part.name for part in claim.parts} == {"L0.H1", "L0.H2", "L5.H5", "L9.H9"}
    assert claim.p_pass == max(part.p_pass for part in claim.parts)
    # 60 of 140 were drawn, none twice; at most 125 are beaten under the null.
    law = stats.hypergeom(140, 125, 60)
    luck = next(law.sf(k - 1) for k in range(61) if law.sf(k - 1) <= 0.025)
    assert luck < claim.p_pass < 0.05


def test_a_component_that_does_less_than_others_fails_minimal():
    crowd = {Head(layer, head): 1.0 for layer in range(12) for head in (3, 4, 6, 7)}
    score = additive({A1: 3.0, B: 3.0, C: 4.0, **crowd})
    settings = {"settings": "random circuits 50", "resamples": 10_000}
    claim = only(judged("minimal >= 90%", score, noise=0.05, **settings))
    assert claim.verdict is Verdict.FAIL
    assert claim.parts[0].name == "L0.H2"
    assert claim.p_fail == min(1.0, 4 * min(part.p_fail for part in claim.parts))


def test_the_right_circuit_is_sufficient_and_another_is_not():
    right = only(judged("sufficient", ALL_MATTER))
    assert right.verdict is Verdict.PASS
    assert right.estimate.value == 1.0
    # Of each layer another head does the work: most random circuits are no worse than this one.
    others = additive({Head(0, h): 1.0 + (h > 2) for h in range(12)})
    wrong = only(judged("sufficient", others, noise=0.01, settings=FEW))
    assert wrong.verdict is Verdict.FAIL
    assert wrong.estimate.value < 0.5


def test_what_was_not_measured_is_an_error():
    text = text_of("completeness within 20%\n  minimal\n  equivalent")
    plan = compile_plan(circuit_of(text))
    evidence = sample_evidence(plan, {}, complete=False)
    report = judge(plan, evidence, SourceText("test.circuit", text))
    assert [claim.verdict for claim in report.claims] == [Verdict.ERROR] * 3
    assert all("ended before" in claim.reason for claim in report.claims)


def test_nothing_to_divide_by_is_an_error():
    (claim,) = judged("completeness within 20%", lambda heads: 0.0, noise=0.0).claims
    assert claim.verdict is Verdict.ERROR
    assert "nothing to divide by" in claim.reason


def test_bounds_in_logits():
    report = judged(
        "completeness within 1 logits\n  minimality >= 1 logits\n  equivalent within 1 logits",
        ALL_MATTER,
    )
    assert [claim.verdict for claim in report.claims] == [Verdict.PASS] * 3
    assert {claim.estimate.unit for claim in report.claims} == {"logits"}


def part_named(name, value, p_fail, interval=None):
    at = interval or (lambda level, fails: Interval(low=value, high=value, level=0.9))
    return TestedPart(name, value, "share", Tests(1.0, p_fail), at, -value, (0, 1, 0))


def report_of(tested, failing):
    text = text_of("minimal")
    plan = compile_plan(circuit_of(text))
    (claim,) = plan.circuit.claims
    known = identity(claim, plan.needs[0], SourceText("test.circuit", text))
    levels = Level(0.05, False), Level(0.05, failing)
    return circuit_test_report(known, claim, tested, levels, plan.circuit)


def test_a_fail_shows_the_numbers_of_the_part_that_failed():
    """Not those of the part with the worst estimate, which may be a noisy one."""
    noisy, sure = part_named("noisy", 0.5, 0.2), part_named("sure", 0.6, 0.001)
    tested = CircuitTested(every_part([noisy, sure]), (noisy, sure), "a test", also="least: noisy")
    claim = report_of(tested, failing=True)
    assert claim.verdict is Verdict.FAIL
    assert claim.reason == "shown to lie outside: sure"
    assert (claim.estimate.value, claim.estimate.change) == (0.6, -0.6)
    assert [part.name for part in claim.parts] == ["sure", "noisy"]
    assert claim.also == "least: noisy; the numbers are those of sure"
    undecided = report_of(tested, failing=False)
    assert undecided.estimate.value == 0.5
    assert undecided.also == "least: noisy"


def test_no_interval_shows_what_its_test_did_not():
    """All of 100 comparisons won with p = 0.01: enough for an interval that may count as many wins
    as it likes, and not for the number that the test has fixed beforehand."""
    ranking = Ranking((0.01,) * 100, (1.0,) * 100, None, 0.05, 0.05)
    assert ranking.p_at_least(0.9) > 0.05
    assert ranking.bounds(0.05)[0] > 0.9
    measured = SimpleNamespace(templates=(0, 1))
    part = ranked_part("a", ranking, 100, 0.9, np.zeros(2), measured)
    assert part.interval(0.05, False).low == 0.9
    better = Ranking((0.001,) * 100, (1.0,) * 100, None, 0.05, 0.05)
    assert better.p_at_least(0.9) <= 0.05
    shown = ranked_part("a", better, 100, 0.9, np.zeros(2), measured).interval(0.05, False)
    assert shown.low == better.bounds(0.05)[0] > 0.9
    lost = Ranking((1.0,) * 100, (0.01,) * 100, None, 0.05, 0.05)
    assert lost.p_less(0.9) > 0.05 / 4
    part = ranked_part("a", lost, 0, 0.9, np.zeros(2), measured, parts=4)
    assert part.interval(0.05, True).high == 0.9


# Designs


@pytest.mark.parametrize(
    "claim, settings, hint",
    [
        ("sufficient", "random circuits 30", "`random circuits 36`"),
        ("minimal", "random circuits 10", "`random circuits"),
        ("minimality >= 1%", "significance 1%", "more `resamples`"),
    ],
)
def test_designs_that_cannot_pass_are_refused(claim, settings, hint):
    problems = check_design(circuit_of(text_of(claim, settings=settings, resamples=1000)))
    assert [problem.code for problem in problems] == ["CL229"]
    assert hint in problems[0].hint


LATE = "faithfulness >= 10%\n  equivalent"


def test_a_test_that_can_pass_as_the_last_claim_only_is_a_warning():
    """With 100 prompts the smallest p-value is 0.027: above half of the 5%, below the whole."""
    (problem,) = check_design(circuit_of(text_of(LATE, sample=100)))
    assert (problem.code, problem.severity) == ("CL240", "warning")
    assert "with 100 prompts at the level 0.025" in problem.message
    assert problem.message.endswith("it can pass as the last claim that is decided, at 0.05")
    assert "sample at least 104;" in problem.hint
    assert check_design(circuit_of(text_of(LATE, sample=104))) == ()
    alone = text_of(LATE, sample=100, settings="significance 5% correction none")
    assert check_design(circuit_of(alone)) == ()
    (problem,) = check_design(circuit_of(text_of(LATE, sample=75)))
    assert problem.code == "CL229"
    assert "75 prompts at the level 0.05:" in problem.message
    assert "sample at least 76;" in problem.hint


def test_such_a_test_does_pass_as_the_last_claim():
    def alternating(run, column, clean):
        near = len(left_alone(run)) == 4
        return clean + 0.1 * (-1) ** np.arange(len(clean)) if near else column

    report = judged(LATE, ALL_MATTER, sample=100, change=alternating)
    assert [claim.verdict for claim in report.claims] == [Verdict.PASS] * 2
    assert report.claims[1].level == pytest.approx(0.05)


def test_a_file_with_such_a_test_is_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "circuits" / "builtin_ioi.circuit").read_text(encoding="utf-8")
    text = text.replace("claims {", "claims {\n  equivalent").replace("sample  120", "sample  100")
    (tmp_path / "a.circuit").write_text(text)
    for command in ("check", "plan", "run"):
        outcome = called(capsys, command, "a.circuit", *(["-q"] if command == "run" else []))
        assert "warning[CL240]" in outcome.err
        assert outcome.code == (0 if command != "run" else outcome.code)
        assert outcome.code != 2
        assert outcome.out


def test_with_looks_a_design_is_held_against_the_last_looks_level():
    settings = "random circuits 36\n  looks 4"
    text = text_of("sufficient", settings=settings)
    (problem,) = check_design(circuit_of(text))
    assert "level 0.022" in problem.message  # 7 / 16 of 5%
    assert text[problem.span.start : problem.span.end] == "sufficient"
    number = problem.hint.strip("`")
    assert check_design(circuit_of(text.replace("random circuits 36", number))) == ()


def test_the_smallest_number_of_circuits_that_is_asked_for_is_enough():
    assert check_design(circuit_of(text_of("sufficient", settings="random circuits 36"))) == ()
    (problem,) = check_design(circuit_of(text_of("minimal", settings="random circuits 10")))
    number = problem.hint.strip("`")
    assert check_design(circuit_of(text_of("minimal", settings=number))) == ()


def test_a_circuit_of_all_heads_has_nothing_to_be_compared_with():
    every = ", ".join(f"L{layer}.H{head}" for layer in range(4) for head in range(4))
    text = text_of("minimal", model="builtin ioi_tiny", first=every)
    text = text.replace("  B L5.H5 at S2, END\n  C L9.H9 at END\n", "")
    (problem,) = check_design(circuit_of(text))
    assert "nothing like L3.H3 is outside" in problem.message


def test_too_many_experiments_are_refused():
    heads = ", ".join(f"L{layer}.H{head}" for layer in range(12) for head in range(12))
    text = text_of("minimal", first=heads, settings="random circuits 10000")
    assert "CL228" in codes_of(text)


def test_every_test_is_a_claim_of_the_grammar():
    grammar = (ROOT / "grammars" / "circuit.lark").read_text(encoding="utf-8")
    for test in CircuitTest:
        assert f'\n{test.upper()}: "{test}"\n' in grammar


# A model whose circuit is known


BUILTIN = """
  completeness within 30%
  independent <= 0.5
  minimal
  sufficient
"""


def test_the_built_in_model_s_circuit_passes_every_test(tmp_path, capsys):
    source = (ROOT / "circuits" / "builtin_ioi.circuit").read_text(encoding="utf-8")
    before, _, rest = source.partition("edges {")
    _, _, after = rest.partition("\n}\n")
    claims, _, settings = after.partition("claims {")[2].partition("\n}\n")
    assert "faithfulness" in claims
    text = before + "claims {" + BUILTIN + "}\n" + settings
    few = ("test {", "  resamples 2000", "  random circuits 50", "  random subsets 2")
    text = text.replace("test {", "\n".join(few))
    file = tmp_path / "builtin.circuit"
    file.write_text(text, encoding="utf-8")
    report = tmp_path / "report.json"
    outcome = called(capsys, "run", file, "--json", report, "--quiet")
    found = Report.model_validate_json(report.read_text(encoding="utf-8"))
    assert {c.text: c.verdict for c in found.claims} == {
        c.text: Verdict.PASS for c in found.claims
    }, outcome.out
    assert len(found.claims) == 4
    assert outcome.code == 0
