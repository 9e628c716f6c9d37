"""Mutants of hypotheses: listed by hand, judged on made-up and on real measurements."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from circuitlang.circuit import Head, Logits, Position, expand, resolve
from circuitlang.cli.mutating import _with_positions
from circuitlang.cli.preparing import Ready
from circuitlang.engine.target import Target
from circuitlang.engine.tokens import TokenizedPair
from circuitlang.evidence.check_name import ReadingCheckName
from circuitlang.models import ModelShape
from circuitlang.mutation import judge_mutants, mutants, plan_with, sampled
from circuitlang.mutation.mutants import MOST_EDGES, without_random_edges
from circuitlang.mutation.rewriting import NEAR
from circuitlang.plan import PatchEdge, RunCircuitAlone
from circuitlang.report import ExitCode, Verdict, exit_code, render_terminal
from circuitlang.report.mutation import Kind, Outcome
from circuitlang.report.mutation_section import render_mutants
from circuitlang.source import SourceText
from circuitlang.syntax import parse
from tests.commands import called
from tests.front_end import ROOT
from tests.sample_evidence import BROKEN, CHECKS, HOLDS, sample_evidence

BUILTIN = ROOT / "circuits" / "builtin_ioi.circuit"
NODES = 'A L0.H1 at S2\n  B L5.H0, L5.H11 at END "two heads"'
EDGES = "A ~> B.V >= 20%\n  B -> logits >= 10%\n  no A ~> B.K within 2%"


def text_of(nodes=NODES, edges=EDGES, claims="claims {\n  faithfulness >= 50%\n}", model="gpt2"):
    return f"""circuit small
model "{model}"
prompts {{
  clean "When {{IO}} and {{S}} met, {{S}} spoke to"
  corrupt S2 = IO
  IO, S from names
  sample 24
}}
metric logit_diff(IO, S)
nodes {{
  {nodes}
}}
edges {{
  {edges}
}}
{claims}
"""


def made(text, shape=None):
    """Source, circuit and mutants of a text without mistakes."""
    source = SourceText("test.circuit", text)
    document, mistakes = parse(source)
    circuit, more = resolve(document, source, shape)
    assert circuit is not None, (mistakes, more)
    return source, circuit, mutants(document, source, circuit)


def listed(found):
    return [(str(m.kind), m.before, m.after) for m in found]


# Making


def test_all_mutants_of_a_small_file_by_hand():
    _, _, found = made(text_of())
    edge, b = "A ~> B.V >= 20%", "B L5.H0, L5.H11 at END"
    assert listed(found) == [
        ("neighbour", "A L0.H1 at S2", "A L0.H2 at S2"),
        ("neighbour", b, "B L5.H1, L5.H11 at END"),
        # After the layer's last head comes its first, which is in the circuit.
        ("neighbour", b, "B L5.H0, L5.H1 at END"),
        ("drop", edge, "(dropped, and with it A)"),
        ("reverse", edge, "B ~> A.V >= 20%"),
        ("re-slot", edge, "A ~> B.Q >= 20%"),
        ("re-slot", edge, "A ~> B.K >= 20%, without `no A ~> B.K within 2%`"),
        ("position", f"{edge} [at S2]", f"{edge} [at IO]"),
        ("position", f"{edge} [at S2]", f"{edge} [at S1]"),
        ("position", f"{edge} [at S2]", f"{edge} [at END]"),
        ("drop", "B -> logits >= 10%", "(dropped, and with it A, B)"),
    ]
    refused = {m.after: m.reason for m in found if m.known is Outcome.REFUSED}
    assert refused == {
        "B ~> A.V >= 20%": "the edge runs backwards: L5.H0 -> L0.H1.V, L5.H11 -> L0.H1.V",
        "A ~> B.Q >= 20%": "A writes at S2, but B asks at END",
        "(dropped, and with it A, B)": "no node is left, so there is no circuit to speak of",
    }
    assert {m.known for m in found} == {None, Outcome.REFUSED}


def test_each_mutant_asks_the_claims_that_it_touches():
    """Indices: A ~> B.V, B -> logits, no A ~> B.K, faithfulness."""
    _, _, found = made(text_of())
    changed = {m.after: m.changed for m in found}
    assert changed["A L0.H2 at S2"] == (0, 2, 3)
    assert changed["B L5.H0, L5.H1 at END"] == (0, 1, 2, 3)
    assert changed["(dropped, and with it A)"] == (2,)  # faithfulness, one edge fewer before it
    assert changed["A ~> B.V >= 20% [at END]"] == (0,)
    (denied,) = (m for m in found if "without" in m.after)
    assert denied.changed == (0,)
    assert [c.text for c in denied.circuit.edges] == ["A ~> B.K >= 20%", "B -> logits >= 10%"]


def test_what_a_mutant_is_as_a_circuit():
    _, circuit, found = made(text_of())
    by_change = {m.after: m.circuit for m in found}
    dropped = by_change["(dropped, and with it A)"]
    assert [role.name for role in dropped.roles] == ["B"]
    moved = by_change["A ~> B.V >= 20% [at S1]"].edges[0]
    assert moved.positions == (Position("S", 1),)
    assert (moved.senders, moved.bound) == (circuit.edges[0].senders, circuit.edges[0].bound)
    assert by_change["B L5.H1, L5.H11 at END"].edges[1].senders == (Head(5, 1), Head(5, 11))
    assert all(m.circuit.settings.random_edges == 0 for m in found if m.circuit)


def test_lines_are_swapped_where_the_result_runs_forward():
    nodes = "A L0.H1 at S2\n  B L5.H0 at END\n  C L1.H1 at S2"
    _, _, found = made(text_of(nodes, "A ~> B.V >= 20%\n  C -> L6.H1.K >= 10%"))
    swaps = {(m.before, m.after) for m in found if m.kind is Kind.SWAP}
    before = "A ~> B.V >= 20% and C -> L6.H1.K >= 10%"
    assert swaps == {
        (before, "C ~> B.V >= 20% and A -> L6.H1.K >= 10%"),
        (before, "A ~> L6.H1.K >= 20% and C -> B.V >= 10%"),
    }


def test_swapping_the_senders_of_equal_claims_says_the_same():
    nodes = "A L0.H1 at S2\n  B L5.H0 at END\n  C L1.H1 at S2"
    texts = (text_of(nodes, f"A ~> B.V >= 20%\n  C ~> B.V >= {bound}%") for bound in (20, 30))
    same, other = (made(text)[2] for text in texts)
    assert [m.known for m in same if m.kind is Kind.SWAP] == [Outcome.EQUIVALENT]
    # With other bounds it is another hypothesis, about the same experiments.
    assert [(m.known, m.changed) for m in other if m.kind is Kind.SWAP] == [(None, (0, 1))]


def test_lines_far_apart_are_not_swapped():
    lines = "\n  ".join(f"L0.H1 -> L{n}.H1.Q >= {n}%" for n in range(1, NEAR + 4))
    _, _, found = made(text_of("A L0.H1", lines, ""), ModelShape(40, 12, 12))
    near = sum(NEAR + 3 - distance for distance in range(1, NEAR + 1))
    assert len({m.before for m in found if m.kind is Kind.SWAP}) == near


def test_one_head_of_a_key_value_group_is_as_good_as_another():
    """SmolLM2-135M: nine heads in groups of three."""
    edges = "L0.H1 -> L5.H0.K >= 1%\n  L0.H1 -> L6.H2.K >= 1%\n  L0.H1 -> L7.H0.Q >= 1%"
    _, _, found = made(text_of("A L0.H1", edges, "", "smollm2-135m"))
    known = {m.after: m.known for m in found if m.kind is Kind.NEIGHBOUR}
    assert known["L0.H1 -> L5.H1.K >= 1%"] is Outcome.EQUIVALENT
    assert known["L0.H1 -> L6.H3.K >= 1%"] is None  # another group
    assert known["L0.H1 -> L7.H1.Q >= 1%"] is None  # queries are no part of a group


def test_an_edge_that_the_file_has_already_is_no_mutant_of_another():
    edges = "A ~> B.V >= 20%\n  A ~> B.K >= 10%"
    _, _, found = made(text_of(edges=edges))
    reasons = {m.after: (m.known, m.reason) for m in found if m.kind is Kind.RE_SLOT}
    same = "`A ~> B.K >= 10%` tests the same as `A ~> B.K >= 20%` (in line 15)"
    assert reasons["A ~> B.K >= 20%"] == (Outcome.EQUIVALENT, same)


def test_what_an_edge_alone_held_leaves_with_it():
    nodes = "A L0.H1, L0.H2 at S2\n  B L5.H0 at END\n  C L1.H1 at S2"
    edges = "A ~> B.V\n  C ~> B.V\n  L0.H2 ~> L9.H9.Q\n  L9.H9 -> logits\n  B -> logits"
    _, circuit, found = made(text_of(nodes, edges))
    dropped = {m.before: m for m in found if m.kind is Kind.DROP}
    after = {before: m.after for before, m in dropped.items()}
    assert after == {
        # L0.H2 has another way to the logits, in an edge that names it alone.
        "A ~> B.V": "(dropped, and with it L0.H1 of A)",
        "C ~> B.V": "(dropped, and with it C)",
        "L0.H2 ~> L9.H9.Q": "(dropped)",
        "L9.H9 -> logits": "(dropped, and with it L9.H9)",
        "B -> logits": "(dropped, and with it B, C, L0.H1 of A)",
    }
    assert dropped["L0.H2 ~> L9.H9.Q"].known is Outcome.EQUIVALENT
    kept = dropped["A ~> B.V"].circuit.roles[0]
    assert (kept.name, kept.components) == ("A", (Head(0, 2),))
    assert isinstance(circuit.edges[-1].receivers[0].component, Logits)


def test_without_the_logits_a_node_leaves_with_its_last_edge():
    nodes = "A L0.H1 at S2\n  B L5.H0 at END\n  C L1.H1 at S2"
    _, _, found = made(text_of(nodes, "A ~> B.V\n  A ~> C.Q\n  C ~> B.V"))
    after = [m.after for m in found if m.kind is Kind.DROP]
    assert after == ["(dropped)"] * 3
    _, _, found = made(text_of(nodes, "A ~> B.V\n  C ~> B.V"))
    after = [m.after for m in found if m.kind is Kind.DROP]
    assert after == ["(dropped, and with it A)", "(dropped, and with it C)"]


def test_a_head_in_two_nodes_leaves_the_one_whose_position_the_edge_had():
    """A pair of `each` names its heads and not their nodes."""
    nodes = "N L0.H1 at IO\n  D L0.H1 at S2\n  B L5.H0 at END\n  E L9.H9 at END"
    edges = "each N ~> B.V\n  each D ~> E.V\n  B -> logits\n  E -> logits"
    _, _, found = made(text_of(nodes, edges))
    after = [m.after for m in found if m.kind is Kind.DROP]
    assert after == [f"(dropped, and with it {gone})" for gone in ("N", "D", "N, B", "D, E")]


def test_a_dropped_edge_survives_where_no_claim_speaks_for_the_whole():
    _, _, found = made(text_of(claims=""))
    dropped = [(m.known, m.reason) for m in found if m.kind is Kind.DROP]
    assert dropped == [(Outcome.SURVIVED, "no claim of the file speaks for the whole circuit")] * 2


def test_a_dropped_edge_of_a_bare_head_changes_no_node():
    """The head leaves with its edge, but it was in no node that `faithfulness` speaks of."""
    _, _, found = made(text_of("A L0.H1 at S2", "A ~> L5.H0.V >= 20%\n  L3.H3 ~> logits >= 9%"))
    reasons = {m.after: (m.known, m.reason) for m in found if m.kind is Kind.DROP}
    assert reasons["(dropped, and with it L3.H3)"] == (
        Outcome.EQUIVALENT,
        "it is in no node, so experiments about nodes do not change",
    )


def test_keys_and_values_after_their_reader_are_refused():
    nodes = "A L0.H1 at IO\n  B L5.H0 at S1"
    _, _, found = made(text_of(nodes, "A ~> B.V >= 20%", ""))
    known = {m.after: m.known for m in found if m.kind is Kind.POSITION}
    assert known == {
        "A ~> B.V >= 20% [at S1]": None,
        "A ~> B.V >= 20% [at S2]": Outcome.REFUSED,
        "A ~> B.V >= 20% [at END]": Outcome.REFUSED,
    }


def test_pairs_of_each_are_dropped_and_moved_alone_and_rewritten_together():
    nodes = "A L0.H1, L0.H2 at S2\n  B L5.H0 at END"
    _, _, found = made(text_of(nodes, "each A ~> B.V >= 1%", ""))
    counted = Counter((m.kind, m.before) for m in found)
    assert counted[Kind.POSITION, "L0.H1 ~> L5.H0.V >= 1% [at S2]"] == 3
    assert counted[Kind.DROP, "L0.H2 ~> L5.H0.V >= 1%"] == 1
    (to_key,) = (m for m in found if m.after == "each A ~> B.K >= 1%")
    assert [edge.text for edge in to_key.circuit.edges] == [
        "L0.H1 ~> L5.H0.K >= 1%",
        "L0.H2 ~> L5.H0.K >= 1%",
    ]


def test_a_neighbour_is_read_in_the_place_of_its_head():
    claims = "claims {\n  attention B END -> S2 >= 50%\n}"
    nodes = "A L0.H1 at S2\n  B L5.H0 at END"
    source, circuit, found = made(text_of(nodes, "A ~> B.V >= 20%", claims), ModelShape(12, 12, 12))
    (neighbour,) = [m for m in found if m.kind is Kind.NEIGHBOUR and "L5.H1" in m.after]
    own, plan = plan_with(circuit, []), plan_with(circuit, found)
    assert len(own.readings) == 1 < len(plan.readings)
    of = {r.components: r.id for r in plan.readings}
    columns = {of[Head(5, 0),]: (0.9, 0.8) * 12, of[Head(5, 1),]: (0.1, 0.2) * 12}
    laws = [HOLDS.model_copy(update={"name": name}) for name in ReadingCheckName]
    evidence = sample_evidence(plan, {0: (0.5, 0.4) * 12}, self_checks=(*CHECKS, *laws))
    evidence = evidence.model_copy(update={"readings": columns})
    report = judge_mutants(plan, [neighbour], evidence, source)
    assert [claim.verdict for claim in report.claims] == [Verdict.PASS, Verdict.PASS]
    (judged,) = report.mutation.mutants
    assert judged.outcome is Outcome.KILLED
    assert [claim.value for claim in judged.claims if claim.text.startswith("attention")] == [
        pytest.approx(0.15)
    ]


def test_absence_claims_have_no_mutants():
    _, _, found = made(text_of("A L0.H1 at S2", "no A ~> L5.H0.K within 2%", ""))
    assert listed(found) == [("neighbour", "A L0.H1 at S2", "A L0.H2 at S2")]


def test_a_limit_draws_the_same_mutants_again_and_keeps_those_that_cost_nothing():
    _, _, found = made(text_of())
    some, again, other = (sampled(found, 4, seed) for seed in (0, 0, 2))
    assert some == again != other
    assert Counter(m.known for m in some) == {
        None: 4,
        Outcome.REFUSED: 3,
        Outcome.UNMEASURED: len(found) - 7,
    }
    assert sampled(found, None, 0) == sampled(found, 8, 0) == found


# Judging, with a truth that is made up


TRUE_EDGE = 0.5
NOISE = [0.01 * (-1) ** n * (n % 5) for n in range(24)]


def value(intervention):
    """The metric, 1 on clean prompts: only A's value edge at S2 and what B writes matter."""
    match intervention:
        case RunCircuitAlone(kept=kept):
            heads = {keep.component for keep in kept}
            return 0.45 * (Head(0, 1) in heads) + 0.25 * len(heads & {Head(5, 0), Head(5, 11)})
        case PatchEdge(receivers=receivers) if isinstance(receivers[0].component, Logits):
            return 1 - 0.45 * len({*intervention.senders} & {Head(5, 0), Head(5, 11)})
    right = intervention.senders == (Head(0, 1),) and intervention.positions == (Position("S", 2),)
    heads = {r.component for r in intervention.receivers if r.slot == "V"}
    return 1 - right * TRUE_EDGE / 2 * len(heads & {Head(5, 0), Head(5, 11)})


def judged(text, *, noise=NOISE, limit=None, self_checks=CHECKS, complete=True):
    source, circuit, found = made(text)
    circuit = without_random_edges(circuit)
    found = sampled(found, limit, 0)
    plan = plan_with(circuit, found)
    evidence = sample_evidence(plan, {}, self_checks=self_checks, complete=complete)
    patched = {
        e.id: tuple(value(e.intervention) + some for some in noise) for e in plan.experiments
    }
    return judge_mutants(plan, found, evidence.model_copy(update={"patched": patched}), source)


STRICT = text_of(
    edges="A ~> B.V >= 40%\n  B -> logits >= 80%\n  no A ~> B.K within 2%",
    claims="claims {\n  faithfulness >= 80%\n}",
)


def test_mutants_of_a_hypothesis_that_is_right_are_killed():
    report = judged(STRICT)
    assert report.count(Verdict.PASS) == len(report.claims) == 4
    mutation = report.mutation
    assert Counter(m.outcome for m in mutation.mutants) == {Outcome.KILLED: 8, Outcome.REFUSED: 3}
    assert (mutation.score, mutation.score_with_refused) == (1, 1)
    assert exit_code(report) is ExitCode.PASSED
    # Three positions; A's neighbour has two edges, B's two have three each; faithfulness without A,
    # and with three neighbours. B.K is what the file denies.
    assert mutation.experiments == 3 + 2 + 2 * 3 + 1 + 3
    assert report.settings.random_edges == 0


def test_mutants_of_a_vague_hypothesis_survive():
    vague = text_of(
        edges="A ~> B.V >= -5%\n  B -> logits >= 20%", claims="claims {\n  faithfulness >= 20%\n}"
    )
    report = judged(vague)
    assert report.count(Verdict.PASS) == len(report.claims)
    survived = {m.after: m for m in report.mutation.of(Outcome.SURVIVED)}
    assert survived.keys() == {
        "A L0.H2 at S2",
        "B L5.H1, L5.H11 at END",
        "B L5.H0, L5.H1 at END",
        "(dropped, and with it A)",
        "A ~> B.K >= -5%",
        "A ~> B.V >= -5% [at IO]",
        "A ~> B.V >= -5% [at S1]",
        "A ~> B.V >= -5% [at END]",
    }
    (claim,) = survived["A ~> B.K >= -5%"].claims
    assert (claim.text, claim.verdict, claim.unit) == ("A ~> B.K >= -5%", "PASS", "fraction")
    assert claim.value == pytest.approx(0, abs=0.01)
    assert report.mutation.score == 0
    assert report.mutation.score_with_refused == pytest.approx(3 / 11)
    assert exit_code(report) is ExitCode.FAILED


def test_what_the_data_do_not_decide_is_not_killed():
    noise = [0.9 * (-1) ** (n // 2) for n in range(24)]
    report = judged(STRICT, noise=noise)
    mutation = report.mutation
    assert mutation.count(Outcome.UNDECIDED) == 8
    assert mutation.score == 0
    assert exit_code(report) is ExitCode.INCONCLUSIVE
    shown = " ".join(render_mutants(report, color=False).split())
    assert "Mutants that are not decided" in shown
    assert re.search(r"INCONCLUSIVE A ~> B.K >= 40%: \S+ the \S+ interval holds a limit", shown)


def test_one_undecided_claim_is_enough():
    """Without A the circuit's share is one half, which is the bound."""
    report = judged(text_of(edges="A ~> B.V >= -5%\n  B -> logits >= 80%"))
    (mutant,) = (m for m in report.mutation.mutants if m.after == "A L0.H2 at S2")
    assert [claim.verdict for claim in mutant.claims] == ["PASS", "INCONCLUSIVE"]
    assert mutant.outcome is Outcome.UNDECIDED


def test_a_broken_engine_kills_nothing():
    report = judged(STRICT, self_checks=(BROKEN,))
    assert report.mutation.count(Outcome.KILLED) == 0
    assert report.mutation.count(Outcome.UNDECIDED) == 8
    assert exit_code(report) is ExitCode.NOT_RUN
    assert "self-check failed: patching nothing" in render_mutants(report, color=False)


def test_the_exit_code_of_an_interrupted_run_and_of_no_mutants():
    assert exit_code(judged(STRICT, complete=False)) is ExitCode.INTERRUPTED
    report = judged(STRICT)
    nothing = report.mutation.model_copy(update={"mutants": (), "score": None})
    report = report.model_copy(update={"mutation": nothing})
    assert exit_code(report) is ExitCode.INCONCLUSIVE
    assert "exit code 4: no mutant was judged" in render_mutants(report, color=False)


def test_the_limit_stands_in_the_report():
    report = judged(STRICT, limit=4)
    assert report.mutation.count(Outcome.UNMEASURED) == 4
    shown = " ".join(render_mutants(report, color=False).split())
    assert "4 of 4 mutants are killed" in shown
    assert "4 others were left out by the limit" in shown


def test_the_report_shows_survivors_first_then_counts_and_the_score():
    edges, claims = "A ~> B.V >= -5%\n  B -> logits >= 80%", "claims {\n  faithfulness >= 60%\n}"
    report = judged(text_of(edges=edges, claims=claims))
    shown = render_mutants(report, color=False, width=100)
    headings = [line for line in shown.splitlines() if line.startswith("Mutants")]
    assert headings == ["Mutants that survive", "Mutants by kind"]
    assert "becomes  A ~> B.K >= -5%\n             PASS  A ~> B.K >= -5%: " in shown
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    assert rows["re-slot"] == ["0", "1", "0", "1", "0"]
    mutation = report.mutation
    killed, survived = mutation.count(Outcome.KILLED), mutation.count(Outcome.SURVIVED)
    assert f"{killed} of {killed + survived} mutants are killed" in shown
    assert "exit code 1: a mutant survives" in shown
    everything = render_terminal(report, color=False, verbose=True)
    assert "Mutants that the check refuses" in everything
    assert "the edge runs backwards" in everything
    assert everything.index("Mutants by kind") < everything.index("Self-checks")
    assert everything.rstrip().endswith("exit code 1: a mutant survives")
    plain = render_terminal(report.model_copy(update={"mutation": None}), color=False)
    assert "utant" not in plain


def test_a_file_that_does_not_pass_is_told_so():
    report = judged(text_of(edges="A ~> B.V >= 60%\n  B -> logits >= 80%"))
    assert report.count(Verdict.FAIL) == 1
    assert "Not every claim passes" in render_mutants(report, color=False)
    assert exit_code(report) is ExitCode.FAILED


# The command


def test_a_mutants_position_is_the_last_token_of_its_slot():
    """As everywhere: the prompt's IO is token 1, its S tokens 3 and 4, and again 6 and 7."""
    _, circuit, found = made(text_of())
    (pair, *_) = expand(circuit.prompts, circuit.metric)
    own = {Position("S", 2): 7}
    target = Target("logit_diff", ((1,), (2,)))
    tokens = TokenizedPair(0, (0,) * 10, (0,) * 10, target, own, (1, 1, 3, 4, 6, 7), ())
    (placed,) = _with_positions(Ready(None, circuit, [pair], [tokens]), found)
    assert placed.positions == {Position("IO"): 1, Position("S", 1): 4, Position("S", 2): 7}
    assert replace(placed, positions=own) == tokens


def builtin(tmp_path, edges):
    """The built-in model's file with other edges, no other claim and few prompts."""
    text = BUILTIN.read_text(encoding="utf-8").replace("sample  120", "sample  30")
    text = re.sub(r"edges \{.*?\n\}", f"edges {{\n  {edges}\n}}", text, flags=re.S)
    text = re.sub(r"claims \{.*?\n\}", "", text, flags=re.S)
    path = tmp_path / "b.circuit"
    path.write_text(re.sub(r"\n *NTH .*", "", text, count=1), encoding="utf-8")
    return path


def run(capsys, command, path):
    """Exit code and JSON report."""
    written = path.with_suffix(".json")
    outcome = called(capsys, command, "-q", path, "--json", written, "--threads", 1)
    return outcome.code, json.loads(written.read_text(encoding="utf-8"))


def of_kind(report, kind):
    return {m["after"]: m["outcome"] for m in report["mutation"]["mutants"] if m["kind"] == kind}


def test_mutants_of_the_built_in_models_own_circuit_are_killed(tmp_path, capsys):
    """The subject's token is moved as a value, and which name to leave out is a query."""
    path = builtin(tmp_path, "DTH ~> SIH.V >= 60%\n  SIH ~> NMH.Q >= 60%")
    code, report = run(capsys, "mutate", path)
    assert [claim["verdict"] for claim in report["claims"]] == ["PASS", "PASS"]
    assert of_kind(report, "re-slot") == {
        "DTH ~> SIH.Q >= 60%": "refused",
        "DTH ~> SIH.K >= 60%": "killed",
        "SIH ~> NMH.K >= 60%": "killed",
        "SIH ~> NMH.V >= 60%": "killed",
    }
    assert {*of_kind(report, "position").values()} == {"killed"}
    # No claim speaks for the whole.
    assert [*of_kind(report, "drop").values()] == ["survived", "survived"]
    assert code == ExitCode.FAILED


def test_a_vague_file_about_the_built_in_model_has_survivors(tmp_path, capsys):
    """Whole layers and bounds that any effect keeps; a survivor is what `run` says it is."""
    every = ", ".join(f"L2.H{n}" for n in range(4))
    path = builtin(tmp_path, "DTH ~> NMH.V >= -10%\n  SIH ~> NMH.Q >= -10%")
    text = path.read_text(encoding="utf-8").replace("L2.H0, L2.H3", every)
    path.write_text(text, encoding="utf-8")
    code, report = run(capsys, "mutate", path)
    assert code == ExitCode.FAILED
    assert report["mutation"]["score"] == 0
    slots = of_kind(report, "re-slot")
    assert slots["SIH ~> NMH.K >= -10%"] == slots["SIH ~> NMH.V >= -10%"] == "survived"
    # A whole layer has no neighbour.
    assert not any(after.startswith("SIH L2") for after in of_kind(report, "neighbour"))

    # The file never names IO, where the name that is moved stands.
    text = text.replace("at S2", "at IO").replace("SIH ~> NMH.Q >=", "SIH ~> NMH.V >=")
    path.write_text(text, encoding="utf-8")
    _, alone = run(capsys, "run", path)
    changed = ("DTH ~> NMH.V >= -10% [at IO]", "SIH ~> NMH.V >= -10%")
    for after, again in zip(changed, alone["claims"], strict=True):
        (mutant,) = (m for m in report["mutation"]["mutants"] if m["after"] == after)
        (claim,) = mutant["claims"]
        assert (claim["text"], claim["verdict"]) == (after, again["verdict"]) == (after, "PASS")
        assert again["estimate"]["value"] == pytest.approx(claim["value"], abs=1e-5)
    assert alone["claims"][0]["estimate"]["value"] > 0.5


def test_run_with_mutants_is_the_runs_own_report_with_the_score(tmp_path, capsys):
    """What `mutate` says of the mutants, and all that `run` says of the file, random edges too."""
    path = builtin(tmp_path, "DTH ~> SIH.V >= 60%\n  SIH ~> NMH.Q >= 60%")
    text = path.read_text(encoding="utf-8").replace("random edges", "# random edges")
    path.write_text(text.replace("test {", "test {\n  random edges 5"), encoding="utf-8")
    (_, alone), (code, mutated) = (run(capsys, command, path) for command in ("run", "mutate"))
    outcome = called(
        capsys, "run", "--mutate", "-q", path, "--json", tmp_path / "both.json", "--threads", 1,
        "--evidence", tmp_path / "e.json",
    )  # fmt: skip
    both = json.loads((tmp_path / "both.json").read_text(encoding="utf-8"))
    assert outcome.code == code == ExitCode.FAILED
    assert both["mutation"]["score"] == mutated["mutation"]["score"]
    assert [(m["after"], m["outcome"]) for m in both["mutation"]["mutants"]] == [
        (m["after"], m["outcome"]) for m in mutated["mutation"]["mutants"]
    ]
    assert alone["claims"][0]["random_edges"]["drawn"] == 5
    for one, other in zip(both["claims"], alone["claims"], strict=True):
        assert one["verdict"] == other["verdict"]
        for field in ("drawn", "measured", "rank"):
            assert one["random_edges"][field] == other["random_edges"][field]
        assert one["estimate"]["value"] == pytest.approx(other["estimate"]["value"], abs=1e-5)
    for part in ("Settings, defaults included", "Mutants that survive", "Self-checks", "score"):
        assert part in outcome.out
    assert called(capsys, "judge", path, tmp_path / "e.json").code == ExitCode.PASSED

    path.write_text(text.replace("test {", "test {\n  looks 2"), encoding="utf-8")
    outcome = called(capsys, "run", "--mutate", path)
    assert (outcome.code, outcome.out) == (ExitCode.USAGE, "")
    assert "leave `looks` out, or use `mutate`" in outcome.err


def test_the_documented_example_counts_the_mutants_that_are_made():
    text = (ROOT / "docs" / "mutation.md").read_text(encoding="utf-8")
    table = text.split("Mutants by kind\n", 1)[1].split("score", 1)[0].splitlines()[1:]
    rows = [line.split() for line in table if line.strip()]
    shown = {name: sum(map(int, counts)) for name, *counts in rows}
    _, _, found = made(BUILTIN.read_text(encoding="utf-8"))
    assert shown == {**Counter(str(m.kind) for m in found), "all": len(found)}


def test_too_many_edges_are_refused_before_anything_is_loaded(tmp_path, capsys):
    first = ", ".join(f"L0.H{n}" for n in range(12))
    others = ", ".join(f"L{layer}.H{n}" for layer in (1, 2, 3) for n in range(12))
    path = tmp_path / "a.circuit"
    path.write_text(text_of(f"A {first}\n  B {others}", "each A -> B.Q", ""), encoding="utf-8")
    for command in (["mutate"], ["run", "--mutate"]):
        outcome = called(capsys, *command, path)
        assert outcome.code == ExitCode.USAGE
        assert f"at most {MOST_EDGES} edges, and {path} has 432" in outcome.err
