"""The greedy search for the worst set of completeness: what it finds, and what is concluded.

Searches are held against enumerations of every subset; the numbers come from models on paper, from
models wired by hand (`known/program.py`, which shares nothing with the engines), and from both
engines.
"""

import json
import random
import re
from itertools import chain, combinations

import numpy as np
import pytest
from scipy import stats

from circuitlang.circuit import Head
from circuitlang.circuit.settings import GREEDY_CANDIDATES, greedy_sets
from circuitlang.cli.searching import search as search_in_stages
from circuitlang.evidence import Evidence, added, numbers_of, on_prompts
from circuitlang.mutation.mutants import without_random_edges
from circuitlang.plan import Experiments, check_design, compile_plan, experiment_id
from circuitlang.plan.greedy import (
    measured_for,
    most_experiments,
    search,
    searches,
    searches_of,
)
from circuitlang.report import Report, Verdict
from circuitlang.source import SourceText
from circuitlang.verdict import judge, judge_look
from circuitlang.verdict.circuit_tests.searching import pairs_to_search
from known import Gate, Variation, gate, ioi
from tests.commands import called
from tests.front_end import ROOT, circuit_of, codes_of
from tests.sample_evidence import BROKEN, sample_evidence
from tests.test_circuit_tests import A1, A2, EVERY, B, C, additive, left_alone, noise_of, text_of

CLAIM = "completeness within 20%"
FEW = "random subsets 0"
D = Head(7, 7)


def greedy_text(claims=CLAIM, *, searches=1, settings=FEW, **more):
    return text_of(claims, searches=searches, settings=settings, **more)


def parts_of(text):
    circuit = circuit_of(text)
    return Experiments(circuit.claims[0], circuit)


def subsets(components):
    sizes = range(len(components) + 1)
    return [frozenset(s) for s in chain.from_iterable(combinations(components, n) for n in sizes)]


def sites_of(tests, components):
    return frozenset(site for c in components for site in tests.of(c))


class Paper:
    """A model on paper: a function of the heads left alone, and noise of its own an experiment."""

    def __init__(self, text, score, *, noise=0.0):
        self.text, self.plan = text, compile_plan(circuit_of(text))
        self.score, self.noise = score, noise
        self.asked = []

    def all_pairs(self, plan):
        count = plan.circuit.prompts.sample
        unit = 1 + 0.2 * np.random.default_rng(0).normal(size=count)
        columns = {}
        for experiment in plan.experiments:
            run = experiment.intervention
            column = self.score(left_alone(run)) * unit + noise_of(run, count, self.noise)
            columns[experiment.id] = tuple(column)
        clean = (self.score(EVERY) * unit).tolist()
        evidence = sample_evidence(plan, {}, clean=clean, corrupt=[0.0] * count)
        return evidence.model_copy(update={"patched": columns})

    def measure(self, plan, numbers, what):
        """As the engine does in a stage; the clean run is not quite the same again."""
        self.asked.append((what, tuple(e.intervention for e in plan.experiments), numbers))
        evidence = self.all_pairs(plan)
        rows = [row for row, n in enumerate(numbers_of(evidence)) if n in set(numbers)]
        part = on_prompts(evidence, rows)
        return part.model_copy(update={"clean": tuple(v + 1e-6 for v in part.clean)})

    def evidence(self):
        return search_in_stages(self.plan, self.all_pairs(self.plan), self.measure)[1]

    def judged(self, evidence=None, text=None):
        text = text or self.text
        plan = compile_plan(circuit_of(text))
        found = evidence or self.evidence()
        return judge(plan, found, SourceText("test.circuit", text))


def only(report):
    (claim,) = report.claims
    return claim


# The search itself


@pytest.mark.parametrize("seed", range(8))
def test_every_step_is_the_best_of_all_and_the_last_is_a_peak(seed):
    """Against a table of all subsets."""
    tests = parts_of(greedy_text(first="L0.H1, L0.H2, L0.H3, L0.H4"))
    components, rng = tests.components, random.Random(seed)
    table = {sites_of(tests, s): rng.gauss(0, 1) for s in subsets(components)}
    found = search(tests, 1, table.__getitem__)
    assert found.missing == ()
    sites, value = frozenset(), table[frozenset()]
    for step in found.steps:
        options = {c: table[sites | tests.of(c)] for c in components if not tests.of(c) <= sites}
        best = max(options, key=lambda c: abs(options[c]))
        assert (step.component, step.gap, step.candidates) == (best, options[best], len(options))
        assert abs(step.gap) > abs(value)
        sites, value = sites | tests.of(best), options[best]
    assert (found.sites, found.gap) == (sites, value)
    assert found.components == tuple(step.component for step in found.steps)
    further = [abs(table[sites | tests.of(c)]) for c in components]
    assert max(further) <= abs(value) + 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_where_gaps_add_up_the_worst_of_all_subsets_is_found(seed):
    tests = parts_of(greedy_text(first="L0.H1, L0.H2, L0.H3, L0.H4"))
    rng = random.Random(seed)
    worth = {c: rng.uniform(-1, 0) for c in tests.components}
    kept = rng.sample(tests.components, 2)
    worth |= {c: rng.uniform(0.05, 0.2) for c in kept}  # these close the gap again
    table = {sites_of(tests, s): sum(worth[c] for c in s) for s in subsets(tests.components)}
    found = search(tests, 1, table.__getitem__)
    assert found.gap == pytest.approx(max(table.values(), key=abs))
    assert found.sites == max(table, key=lambda s: abs(table[s]))
    assert not set(kept) & set(found.components)


def test_rounding_is_no_growth():
    tests = parts_of(greedy_text())
    found = search(tests, 1, lambda sites: 1.0 + 1e-6 * len(sites))
    assert found.steps == ()
    assert found.tried == len(tests.components)


def test_a_search_asks_for_what_it_needs_and_goes_on_from_there():
    """Asked again and again with only what it asked for, it comes to the same end."""
    tests = parts_of(greedy_text())
    table = {
        sites_of(tests, s): additive({A1: 1.0, A2: 2.0, B: -0.5, C: 0.2})(s)
        for s in subsets(tests.components)
    }
    known, rounds = {}, 0
    while (found := search(tests, 1, known.get)).missing:
        assert not set(found.missing) & known.keys()
        known |= {sites: table[sites] for sites in found.missing}
        rounds += 1
    assert found == search(tests, 1, table.__getitem__)
    assert rounds == len(found.steps) + 2  # nothing knocked out, and the step that brought nothing
    assert set(found.components) == {A1, A2, C}
    assert len(known) == 1 + found.tried < len(table)


MANY = ", ".join(f"L{layer}.H{head}" for layer in range(2) for head in range(12))


def test_a_step_draws_some_of_many_and_every_search_others():
    tests = parts_of(greedy_text(first=MANY, searches=3))
    assert len(tests.components) == 26
    seen = []

    def gap(sites):
        seen.append(sites)
        return float(len(sites))

    first = search(tests, 1, gap)
    assert [step.candidates for step in first.steps] == [10] * 17 + list(range(9, 0, -1))
    assert first.tried == greedy_sets(26) == sum(step.candidates for step in first.steps)
    assert len(first.sites) == len(tests.sites)
    again, other = search(tests, 1, gap), search(tests, 2, gap)
    assert again == first
    assert other.components != first.components
    assert searches_of(tests) == 3
    assert most_experiments(tests) == 2 * 3 * first.tried
    # Each of 26 is as likely as the others to be among the first ten.
    seen.clear()
    for number in range(1, 201):
        search(tests, number, lambda sites: seen.append(sites) or 0.0)
    counts = [seen.count(tests.of(c)) for c in tests.components]
    assert sum(counts) == 200 * GREEDY_CANDIDATES
    assert stats.chisquare(counts).pvalue > 1e-3


def test_few_components_are_searched_once_as_nothing_is_left_to_chance():
    assert searches_of(parts_of(greedy_text(searches=5))) == 1
    assert searches_of(parts_of(greedy_text(searches=0))) == 0
    assert searches_of(parts_of(greedy_text(searches=5, first=MANY))) == 5


def test_the_order_of_a_file_does_not_matter():
    one, other = (
        parts_of(greedy_text(first=first)) for first in ("L0.H1, L0.H2", "L0.H2, L0.H1")
    )
    assert search(one, 1, lambda s: float(len(s))) == search(other, 1, lambda s: float(len(s)))


def test_a_seed_is_a_search_of_its_own():
    one, other = (
        parts_of(greedy_text(first=MANY, settings=f"{FEW}\n  seed {seed}")) for seed in (0, 1)
    )
    assert search(one, 1, lambda s: float(len(s))) != search(other, 1, lambda s: float(len(s)))


# The search in stages, on a model on paper


def hidden(heads):
    """B's work is taken over by a head outside of the circuit, but only what C passes on counts.

    So neither a node that has both, nor the whole circuit, nor nothing shows it: B alone does.
    """
    return 10.0 * (C in heads) * bool({B, D} & heads) + 0.5 * (A1 in heads)


HIDDEN = greedy_text().replace("B L5.H5 at S2, END\n  C L9.H9 at END", "B L5.H5, L9.H9 at END")


def test_what_no_node_shows_is_found():
    without = HIDDEN.replace("greedy searches 1", "greedy searches 0")
    assert only(Paper(without, hidden).judged()).verdict is Verdict.PASS
    paper = Paper(HIDDEN, hidden)
    claim = only(paper.judged())
    assert claim.verdict is Verdict.FAIL
    assert claim.reason == "shown to lie outside: K = L5.H5 (found by greedy search 1)"
    # F(C \ B) - F(M \ B) = 0.5 - 10.5, of F(M) - F(empty) = 10.5.
    assert claim.estimate.value == pytest.approx(-10 / 10.5, abs=0.02)
    assert claim.estimate.prompts == 150
    assert [s.prompts for s in claim.estimate.strata] == [75, 75]
    assert "1 greedy search of 1 step tried 7 sets" in claim.also
    (found,) = claim.searches
    assert [step.component for step in found.steps] == ["L5.H5"]
    assert found.steps[0].gap == pytest.approx(-10, abs=0.2)
    assert found.start == pytest.approx(0, abs=0.1)
    assert (found.pairs, found.judged, found.tried) == (150, 150, 4 + 3)


def test_a_complete_circuit_passes_and_the_search_costs_no_more_than_was_said():
    paper = Paper(greedy_text(), additive({A1: 2.0, A2: 2.0, B: 3.0, C: 3.0}), noise=0.3)
    claim = only(paper.judged())
    assert claim.verdict is Verdict.PASS
    runs = [run for what, made, _ in paper.asked if what != "what was found" for run in made]
    assert 0 < len(runs) <= most_experiments(parts_of(paper.text))
    assert len(set(runs)) == len(runs), "something was measured twice"


def test_searched_pairs_and_judged_pairs_are_apart_and_stages_measure_only_theirs():
    paper = Paper(HIDDEN, hidden)
    evidence = paper.evidence()
    searched = set(evidence.searched)
    assert len(searched) == 150
    by_template = [evidence.prompts[n - 1].template for n in searched]
    assert by_template.count(0) == by_template.count(1) == 75
    *steps, (what, found, others) = paper.asked
    assert all(set(numbers) == searched for _, _, numbers in steps)
    assert what == "what was found"
    assert set(others) == set(range(1, 301)) - searched
    assert [w for w, _, _ in steps] == ["step 1", "step 2"]
    tests = parts_of(paper.text)
    assert set(found) == set(measured_for(tests, tests.of(B)))
    for experiment in (e for _, runs, _ in steps for e in runs):
        column = evidence.patched[experiment_id(experiment)]
        has = {n for n, v in enumerate(column, 1) if v is not None}
        assert has == (set(range(1, 301)) if experiment in found else searched)
    # The clean run is the first stage's, not measured anew.
    assert evidence.clean == paper.all_pairs(paper.plan).clean


def test_saved_evidence_gives_the_same_search_and_the_bound_may_change(tmp_path):
    paper = Paper(HIDDEN, hidden)
    evidence = paper.evidence()
    again = Evidence.model_validate_json(evidence.model_dump_json())
    assert paper.judged(again) == paper.judged(evidence)
    wider = HIDDEN.replace("within 20%", "within 99%")
    claim = only(paper.judged(again, wider))
    assert claim.verdict is Verdict.PASS
    assert claim.searches == only(paper.judged(evidence)).searches


def test_rules_about_pairs_do_not_change_what_was_searched():
    """Pairs with a negative clean metric are searched, as they may be kept."""
    text = HIDDEN
    paper = Paper(text, hidden)
    evidence = paper.evidence()
    clean = list(evidence.clean)
    for row in range(0, 80):
        clean[row] = -1.0
    evidence = evidence.model_copy(update={"clean": tuple(clean)})
    kept = only(paper.judged(evidence))
    skipping = text.replace("ablation zero", "ablation zero\n  pairs wrong skip")
    skipped = only(paper.judged(evidence, skipping))
    assert skipped.searches[0].steps == kept.searches[0].steps
    assert skipped.searches[0].pairs == kept.searches[0].pairs == 150
    assert skipped.searches[0].judged == 110
    assert skipped.estimate.prompts == 110


def test_copies_are_on_one_side_only():
    paper = Paper(HIDDEN, hidden)
    evidence = paper.all_pairs(paper.plan)
    prompts = list(evidence.prompts)
    for row in range(40, 80):  # copies of pairs that come before them
        prompts[row] = prompts[row - 40].model_copy(update={"number": row + 1})
    evidence = evidence.model_copy(update={"prompts": tuple(prompts)})
    numbers = pairs_to_search(paper.plan, evidence)
    assert len(numbers) == 130
    assert not set(numbers) & set(range(41, 81))


def test_without_its_search_nothing_is_concluded():
    paper = Paper(HIDDEN, hidden)
    claim = only(paper.judged(paper.all_pairs(paper.plan)))
    assert claim.verdict is Verdict.ERROR
    assert "has no greedy search" in claim.reason
    assert "`greedy searches 0`" in claim.reason
    more = greedy_text(first=MANY, searches=2)
    one = Paper(greedy_text(first=MANY), additive({A1: 2.0, B: 3.0, C: 3.0}), noise=0.1)
    claim = only(one.judged(one.evidence(), more))
    assert claim.verdict is Verdict.ERROR
    assert "another greedy search" in claim.reason


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("way", ["kept", "lost"])
def test_an_interrupt_keeps_what_was_measured(stage, way):
    """Within the engine, which hands back a part, or between two stages."""
    text = HIDDEN.replace(CLAIM, f"{CLAIM}\n  faithfulness >= 90%")
    paper = Paper(text, hidden)

    def measure(plan, numbers, what):
        stopped = len(paper.asked) == stage
        part = paper.measure(plan, numbers, what)
        if not stopped:
            return part
        if way == "lost":
            raise KeyboardInterrupt
        half = {k: (None,) * 20 + v[20:] for k, v in part.patched.items()}
        return part.model_copy(update={"patched": half, "complete": False})

    _, evidence = search_in_stages(paper.plan, paper.all_pairs(paper.plan), measure)
    assert len(paper.asked) == stage + 1
    assert not evidence.complete
    complete, faithful = paper.judged(evidence).claims
    assert faithful.verdict is Verdict.PASS
    assert complete.verdict is Verdict.ERROR
    assert "the run ended before" in complete.reason


def test_a_failed_self_check_ends_the_search():
    paper = Paper(HIDDEN, hidden)

    def measure(plan, numbers, what):
        part = paper.measure(plan, numbers, what)
        return part.model_copy(update={"self_checks": (BROKEN,), "patched": {}})

    _, evidence = search_in_stages(paper.plan, paper.all_pairs(paper.plan), measure)
    assert len(paper.asked) == 1
    assert only(paper.judged(evidence)).verdict is Verdict.ERROR
    assert "self-check failed" in only(paper.judged(evidence)).reason


@pytest.mark.parametrize("way", ["error", "not finite"])
def test_what_cannot_be_measured_ends_the_search_with_its_reason(way):
    paper = Paper(HIDDEN, hidden)

    def measure(plan, numbers, what):
        part = paper.measure(plan, numbers, what)
        name = plan.experiments[0].id
        if way == "not finite":
            return part.model_copy(
                update={"patched": {**part.patched, name: (None,) * len(numbers)}}
            )
        patched = {k: v for k, v in part.patched.items() if k != name}
        return part.model_copy(update={"patched": patched, "errors": {name: "it broke"}})

    _, evidence = search_in_stages(paper.plan, paper.all_pairs(paper.plan), measure)
    assert [what for what, _, _ in paper.asked] == ["step 1"]
    claim = only(paper.judged(evidence))
    assert claim.verdict is Verdict.ERROR
    assert ("it broke" if way == "error" else "no finite value") in claim.reason


def test_later_looks_only_add_to_what_is_judged():
    text = HIDDEN.replace(FEW, f"{FEW}\n  looks 2")
    paper = Paper(text, hidden)
    whole = paper.all_pairs(paper.plan)
    first = on_prompts(whole, range(150))
    plan, evidence = search_in_stages(paper.plan, first, paper.measure)
    report = judge_look(paper.plan, evidence, SourceText("test.circuit", text))
    (claim,) = report.claims
    assert (claim.searches[0].pairs, claim.searches[0].judged) == (74, 76)
    from circuitlang.evidence import joined

    assert len(plan.experiments) == len(paper.plan.experiments) + 2
    later = paper.measure(plan, tuple(range(151, 301)), "a look")
    both = joined(evidence, later)
    assert both.searched == evidence.searched
    (claim,) = judge_look(paper.plan, both, SourceText("test.circuit", text)).claims
    assert (claim.searches[0].pairs, claim.searches[0].judged) == (74, 226)
    assert claim.estimate.prompts == 226
    assert claim.verdict is Verdict.FAIL


def test_only_prompts_that_were_measured_can_be_added_to():
    paper = Paper(HIDDEN, hidden)
    whole = paper.all_pairs(paper.plan)
    with pytest.raises(ValueError, match="not measured before"):
        added(on_prompts(whole, range(10)), on_prompts(whole, range(5, 15)))


# How often conclusions are wrong


def noise_reports(count, sample=60):
    """Reports of circuits that are exactly complete: every gap is noise, and the margin nothing.

    So a FAIL is wrong, and noise alone brings it as often as it can.
    """
    claim, first = "completeness within 0.0001 logits", "L0.H1, L0.H2, L0.H3, L0.H4"
    text = greedy_text(claim, sample=sample, resamples=1000, first=first)
    plan = compile_plan(circuit_of(text))
    empty = sample_evidence(plan, {}, clean=[0.0] * sample, corrupt=[0.0] * sample)
    for seed in range(count):
        rng, made = np.random.default_rng(seed), {}

        def measure(part, numbers, what, rng=rng, made=made):
            columns = {
                e.id: made.setdefault(e.id, tuple(rng.normal(size=sample)))
                for e in part.experiments
            }
            whole = empty.model_copy(update={"patched": columns})
            return on_prompts(whole, [n - 1 for n in sorted(numbers)])

        base = measure(plan, tuple(range(1, sample + 1)), "all")
        _, evidence = search_in_stages(plan, base, measure)
        report = judge(plan, evidence, SourceText("test.circuit", text))
        yield parts_of(text), evidence, only(report)


def test_what_a_search_found_fails_no_more_often_than_its_level_and_would_if_judged_on_its_pairs():
    honest, naive, wrong, passed = [], [], 0, 0
    for tests, evidence, claim in noise_reports(80):
        wrong += claim.verdict is Verdict.FAIL
        passed += claim.verdict is Verdict.PASS
        found = [part for part in claim.parts if "greedy" in part.name]
        if not found:
            continue
        (part,) = found
        honest.append(part.p_fail)
        names = [step.component for step in claim.searches[0].steps]
        sites = sites_of(tests, [c for c in tests.components if str(c) in names])
        names = [experiment_id(run) for run in measured_for(tests, sites)]
        one, other = (np.array(evidence.patched[name]) for name in names)
        rows = [n - 1 for n in evidence.searched]
        naive.append(stats.ttest_1samp((one - other)[rows], 0).pvalue)
    assert passed == 0
    assert stats.binom.sf(wrong - 1, 80, 0.05) > 0.001
    assert len(honest) > 40
    hits = sum(p <= 0.05 for p in honest)
    assert stats.binom.sf(hits - 1, len(honest), 0.05) > 0.001
    # The same sets on the pairs that chose them: several times the level.
    assert sum(p <= 0.05 for p in naive) > 0.2 * len(naive)


def test_each_search_is_one_chance_more_to_fail():
    paper = Paper(HIDDEN, hidden)
    claim = only(paper.judged())
    sets = 4 + 1  # nothing, two nodes, the whole circuit; what was found
    assert len(claim.parts) == sets
    assert claim.p_fail == min(1.0, sets * min(part.p_fail for part in claim.parts))
    # A search that ends with a set which is tried anyway is a chance as well.
    text = greedy_text("completeness within 20%")
    one = Paper(text, additive({A1: 2.0, A2: 2.0, C: 3.0, B: 3.0}), noise=1.0)
    at_b = additive({A1: 2.0, A2: 2.0, C: 3.0})
    one.score = lambda heads: at_b(heads) + 3.0 * bool({B, D} & heads)
    claim = only(one.judged())
    assert [step.component for step in claim.searches[0].steps][:1] == ["L5.H5"]
    fixed = len(parts_of(text).knocked_out())
    low = min(part.p_fail for part in claim.parts)
    assert claim.p_fail == min(1.0, (fixed + 1) * low)


# Designs


@pytest.mark.parametrize(
    "sample, settings, fine",
    [(16, FEW, True), (12, FEW, False), (16, f"{FEW}\n  looks 2", False), (40, "", True)],
)
def test_a_design_that_leaves_too_few_pairs_to_judge_is_refused(sample, settings, fine):
    text = greedy_text(sample=sample, settings=settings, resamples=2000)
    found = [p.message for p in check_design(circuit_of(text)) if "greedy" in p.message]
    assert bool(found) != fine
    none = check_design(circuit_of(text.replace("greedy searches 1", "greedy searches 0")))
    assert not [p for p in none if "greedy" in p.message]


@pytest.mark.parametrize(
    "sample, settings, resamples, message, hint",
    [
        # Two templates: of 6 pairs each the search sees 3.
        (12, FEW, 2000, "takes 6 of 12 prompts, and of a template 3 are left, where 4", "least 14"),
        (40, f"{FEW}\n  looks 5", 2000, "4 of 8 prompts of the first look", "fewer `looks`"),
        (14, f"{FEW}\n  significance 0.1%", 9000, "too few for the level 0.001", "least 18"),
    ],
)
def test_what_a_search_lacks_is_named(sample, settings, resamples, message, hint):
    text = greedy_text(sample=sample, settings=settings, resamples=resamples)
    (found,) = check_design(circuit_of(text))
    assert message in found.message
    assert hint in found.hint
    if (enough := re.search(r"least (\d+)", found.hint)) is not None:
        text = greedy_text(sample=int(enough[1]), settings=settings, resamples=resamples)
        assert check_design(circuit_of(text)) == ()


def test_the_number_of_searches_has_limits():
    assert codes_of(greedy_text(searches=100)) == ["CL242"]  # a warning: the file ablates by zero
    assert codes_of(greedy_text(searches=101)) == ["CL224"]
    every = ", ".join(f"L{layer}.H{head}" for layer in range(12) for head in range(12))
    assert "CL228" in codes_of(greedy_text(searches=100, first=every))


def test_plan_counts_a_bound(tmp_path, capsys):
    file = tmp_path / "a.circuit"
    file.write_text(greedy_text(model="builtin ioi_tiny", first="L0.H1, L0.H2").replace(
        "B L5.H5 at S2, END\n  C L9.H9 at END", "B L2.H0 at END"), encoding="utf-8")  # fmt: skip
    shown = called(capsys, "plan", file).out
    # Three components: at most 3 + 2 + 1 sets, two experiments each.
    assert "then 1 greedy search: at most 12 experiments (12 passes)" in shown
    assert "on half of the prompts" in shown


def test_the_costs_that_the_docs_name_are_those_of_the_program():
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    few, some, many = (2 * greedy_sets(n) for n in (3, 10, 26))
    assert f"That is {few} for 3 components, {some}\n  for 10 and {many} for 26." in text
    assert f"draws up to {GREEDY_CANDIDATES} of the components" in text


def test_mutants_are_judged_without_a_search():
    circuit = circuit_of(greedy_text())
    assert without_random_edges(circuit).settings.greedy_searches == 0
    assert not searches(compile_plan(without_random_edges(circuit)))
    assert searches(compile_plan(circuit))


# Models whose circuit is known, with both engines


def exact_gaps(model, pairs, tests, rows):
    """F(C \\ K) - F(M \\ K) of every subset K on some prompts, by the program."""
    places = {
        str(c): tuple(str(p) for site in tests.of(c) for p in site.positions)
        for c in tests.components
    }
    gaps = {}
    for chosen in subsets(tests.components):
        out = {str(c): places[str(c)] for c in chosen}
        kept = {name: at for name, at in places.items() if name not in out}
        alone = model.program.alone(pairs, kept, "zero")
        without = model.program.ablated(pairs, out, "zero")
        gaps[frozenset(map(str, chosen))] = float((alone - without)[rows].mean())
    return gaps


def ran(tmp_path, capsys, text, *options):
    file, evidence, report = (tmp_path / f"a.{end}" for end in ("circuit", "evidence", "json"))
    file.write_text(text, encoding="utf-8")
    called(capsys, "run", file, "--evidence", evidence, "--json", report, "--quiet", *options)
    found = Report.model_validate_json(report.read_text(encoding="utf-8"))
    assert all(check.holds for check in found.self_checks), found.self_checks
    # From the evidence alone the same is found.
    again = tmp_path / "again.json"
    called(capsys, "judge", file, evidence, "--json", again)
    assert json.loads(again.read_text()) == json.loads(report.read_text())
    return Evidence.model_validate_json(evidence.read_text(encoding="utf-8")), found


OMITTED = """
nodes {
  FIRST L0.H1, MLP0 at END
}
claims {
  completeness within 20% by zero
}
test {
  resamples 2000
  random subsets 0
  greedy searches 1
}
"""


def test_the_backup_that_a_file_leaves_out_is_found_by_the_search_alone(tmp_path, capsys):
    """`or_gate` without its second head: the node has the gate, too, so that no node shows it."""
    model = gate(Gate.OR)
    text = model.header("builtin or_gate", 40) + OMITTED.replace("MLP0", "L1.MLP")
    evidence, report = ran(tmp_path, capsys, text, "--engine", "both")
    claim = only(report)
    assert claim.verdict is Verdict.FAIL
    assert "K = L0.H1 (found by greedy search 1)" in claim.reason
    pairs = model.read([(p.clean, p.corrupt) for p in evidence.prompts])
    rows = [n - 1 for n in evidence.searched]
    gaps = exact_gaps(model, pairs, parts_of(text), rows)
    (found,) = claim.searches
    assert found.start == pytest.approx(gaps[frozenset()], abs=1e-4)
    assert [step.component for step in found.steps] == ["L0.H1"]
    assert found.steps[0].gap == pytest.approx(gaps[frozenset({"L0.H1"})], abs=1e-4)
    assert gaps[frozenset({"L0.H1"})] == max(gaps.values(), key=abs)
    assert abs(gaps[frozenset({"L0.H1", "L1.MLP"})]) < 1e-9
    assert claim.estimate.value == pytest.approx(-1, abs=1e-4)
    fixed = text.replace("greedy searches 1", "greedy searches 0")
    source = SourceText("test.circuit", fixed)
    without = judge(compile_plan(circuit_of(fixed)), evidence, source)
    assert only(without).verdict is Verdict.PASS


PARTS = """
nodes {
  DTH  L0.H1, L0.H4  at S2
  SIH  L1.H0, L1.H3  at END
  NMH  L2.H1, L2.H4  at END
}
claims {
  completeness within 30% by zero
}
test {
  resamples 2000
  random subsets 0
  looks LOOKS
}
"""


@pytest.mark.parametrize("looks", [1, 2])
def test_the_search_is_that_of_an_enumeration_of_a_known_model(tmp_path, capsys, looks):
    """`ioi_compiled`, whose effects vary from prompt to prompt, without its negative mover."""
    model = ioi(Variation.SYMMETRIC)
    folder = model.build(tmp_path / "model")
    text = model.header(f'"{folder}" dtype float64', 48) + PARTS.replace("LOOKS", str(looks))
    evidence, report = ran(tmp_path, capsys, text)
    claim = only(report)
    pairs = model.read([(p.clean, p.corrupt) for p in evidence.prompts])
    rows = [n - 1 for n in evidence.searched]
    assert len(rows) == 24 // looks
    gaps = exact_gaps(model, pairs, parts_of(text), rows)
    (found,) = claim.searches
    knocked, value = frozenset(), gaps[frozenset()]
    assert found.start == pytest.approx(value, abs=1e-9)
    for step in found.steps:
        options = {c: gaps[knocked | {c}] for c in {*chain(*gaps)} - knocked}
        assert step.gap == pytest.approx(max(options.values(), key=abs), abs=1e-9)
        assert step.gap == pytest.approx(options[step.component], abs=1e-9)
        knocked |= {step.component}
    assert all(abs(gaps[knocked | {c}]) <= abs(gaps[knocked]) + 1e-4 for c in {*chain(*gaps)})
