"""An edge among its random edges: ranks and p-values by hand, and the whole way with a model."""

import json
import re
from pathlib import Path

import pytest

from circuitlang.circuit import Bound
from circuitlang.evidence import load_evidence, save_evidence
from circuitlang.plan import compile_plan
from circuitlang.report import Report, Verdict
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from circuitlang.verdict.random_edges import compared_by
from tests.commands import called
from tests.front_end import ROOT, circuit_of
from tests.sample_evidence import sample_evidence

TEXT = """
model "gpt2"
prompts {{
  clean   "When {{IO}} and {{S}} met, {{S}} gave a ring to"
  corrupt S2 = IO
  IO, S   from names
  sample  10
}}
metric logit_diff(IO, S)
nodes {{
  A L0.H1 at S2
  M L1.MLP at S2
}}
edges {{
  {edge}
}}
test {{
  significance 5% correction none
  resamples 2000
  direction {direction}
  random edges {count}
}}
"""
N = 10


def judged(own, others, edge="A ~> L5.H5.V >= 20%", count=4, change=None, **worlds) -> Report:
    """The report on an edge with these effects of its own and of its random edges.

    Effects are of a whole of 1 logit, so they are fractions as well as logits. Of an effect that is
    None, nothing was measured.
    """
    direction = worlds.pop("direction", "noising")
    source = SourceText("a.circuit", TEXT.format(edge=edge, count=count, direction=direction))
    plan = compile_plan(circuit_of(source.text))

    def column(effect):
        return (effect if direction == "denoising" else 1 - effect,) * N

    evidence = sample_evidence(plan, {0: column(own)}, **worlds)
    found = dict(zip(plan.needs[0].random_edges, others, strict=False))
    columns = {name: column(effect) for name, effect in found.items() if effect is not None}
    evidence = evidence.model_copy(update={"patched": {**evidence.patched, **columns}})
    return judge(plan, change(evidence, plan) if change else evidence, source)


def among(*arguments, **options):
    return judged(*arguments, **options).claims[0].random_edges


# Ranks


@pytest.mark.parametrize(
    "edge, own, others, compared, rank, largest, median",
    [
        # .6 and .5 are as large as .5.
        (">= 20%", 0.5, [0.1, 0.6, 0.5, -0.9], "effect", 3, 0.6, 0.3),
        (">= 20%", 0.5, [0.1, 0.2, 0.3, -0.9], "effect", 1, 0.3, 0.15),
        (">= 20%", -0.5, [0.1, -0.6, 0.5, 0.0], "effect", 4, 0.5, 0.05),
        ("in 0%..90%", 0.5, [0.1, 0.6, 0.7, -0.9], "effect", 3, 0.7, 0.35),
        (">= 0.2 logits", 0.5, [0.1, 0.6, 0.5, -0.9], "effect", 3, 0.6, 0.3),
        ("", 0.5, [0.1, 0.6, 0.5, -0.9], "effect", 3, 0.6, 0.3),
        ("<= -20%", -0.5, [-0.6, 0.9, -0.1, 0.0], "-effect", 2, -0.6, -0.05),
        ("<= -20%", 0.5, [-0.6, 0.9, -0.1, 0.0], "-effect", 4, -0.6, -0.05),
        ("in -90%..0%", -0.5, [-0.6, 0.9, -0.1, 0.0], "-effect", 2, -0.6, -0.05),
        ("<= 90%", 0.5, [-0.6, 0.1, 0.2, 0.4], "|effect|", 2, -0.6, 0.3),
        (">= -10%", -0.5, [-0.6, 0.1, 0.2, 0.7], "|effect|", 3, 0.7, 0.4),
        ("in -10%..90%", 0.5, [-0.5, 0.1, 0.2, 0.4], "|effect|", 2, -0.5, 0.3),
    ],
)  # fmt: skip
def test_ranks_by_hand(edge, own, others, compared, rank, largest, median):
    found = among(own, others, edge=f"A ~> L5.H5.V {edge}")
    assert (found.drawn, found.measured, found.missing) == (4, 4, "")
    assert (found.compared, found.rank) == (compared, rank)
    assert found.p == pytest.approx(rank / 5)
    assert found.largest == pytest.approx(largest)
    assert found.median == pytest.approx(median)


def test_denoising_has_effects_of_its_own():
    found = among(0.5, [0.1, 0.6, 0.2, -0.9], direction="denoising")
    assert (found.rank, found.largest) == (2, pytest.approx(0.6))


def test_effects_are_ratios_of_means():
    """1/10 on a whole of 10 and 8/10 on a whole of 1: 1.8/11, and not the mean 45%."""

    def change(evidence, plan):
        whole = [10.0, 1.0] * (N // 2)
        other = [9.0, 0.2] * (N // 2)
        columns = {name: tuple(whole) for name in evidence.patched}
        columns[plan.needs[0].random_edges[0]] = tuple(other)
        return evidence.model_copy(update={"clean": tuple(whole), "patched": columns})

    found = judged(0.5, [0.0] * 4, change=change).claims[0].random_edges
    assert found.largest == pytest.approx((1 + 0.8) / (10 + 1))


def test_an_edge_that_carries_nothing_beats_nobody():
    """A millionth is rounding, and not more than zero."""
    found = among(1e-6, [0.0, -1e-6, 0.0, 5e-7])
    assert (found.rank, found.p) == (5, 1.0)
    assert among(1e-3, [0.0, -1e-6, 0.0, 5e-7]).rank == 1


@pytest.mark.parametrize(
    "low, high, compared",
    [
        (0.2, None, "effect"), (0.0, None, "effect"), (0.0, 0.5, "effect"),
        (None, -0.2, "-effect"), (None, 0.0, "-effect"), (-0.5, 0.0, "-effect"),
        (-0.1, None, "|effect|"), (None, 0.1, "|effect|"), (-0.1, 0.1, "|effect|"),
    ],
)  # fmt: skip
def test_what_makes_an_effect_large(low, high, compared):
    assert compared_by(Bound(low, high)) == compared


# What is missing


def test_what_was_not_measured_is_left_out_and_counted():
    def change(evidence, plan):
        first, second = plan.needs[0].random_edges[:2]
        columns = {**evidence.patched, first: (None, *evidence.patched[first][1:])}
        del columns[second]
        return evidence.model_copy(
            update={"patched": columns, "errors": {second: "while patching: no room"}}
        )

    report = judged(0.5, [0.9, 0.8, 0.1, 0.7], change=change)
    found = report.claims[0].random_edges
    assert (found.drawn, found.measured, found.rank) == (4, 2, 2)
    assert found.p == pytest.approx(2 / 3)
    assert found.largest == pytest.approx(0.7)
    assert report.claims[0].verdict is Verdict.PASS


def test_numbers_that_overflow_are_not_measured():
    found = among(0.5, [1e300, 0.1, 0.2, 0.3])
    assert (found.measured, found.rank, found.largest) == (3, 1, pytest.approx(0.3))


def test_evidence_without_random_edges_is_judged():
    found = among(0.5, [None] * 4)
    assert (found.drawn, found.measured) == (4, 0)
    assert (found.rank, found.p, found.largest, found.median) == (None,) * 4


@pytest.mark.parametrize(
    "edge, reason",
    [
        ("M ~> L5.H5.V", "no attention head sends, and a layer has no second MLP to draw"),
        ("no A ~> L5.H5.V within 90%", None),
    ],
)
def test_edges_that_have_none(edge, reason):
    found = among(0.5, [], edge=edge)
    assert (found and found.missing) == reason


def test_none_where_there_is_nothing_to_compare():
    assert among(0.5, [], count=0) is None
    (claim,) = judged(0.5, [0.1] * 4, clean=[0.0] * N).claims
    assert (claim.verdict, claim.random_edges) == (Verdict.ERROR, None)


def test_they_take_no_part_in_the_verdict():
    plain = judged(0.5, [], count=0)
    beaten = judged(0.5, [0.9] * 4)
    assert beaten.claims[0].random_edges.p == 1
    assert beaten.claims[0].model_copy(update={"random_edges": None}).model_dump(
        exclude={"place"}
    ) == plain.claims[0].model_dump(exclude={"place"})


# With a model

BUILTIN = (ROOT / "circuits" / "builtin_ioi.circuit").read_text(encoding="utf-8")
DRAWN = {
    "NTH ~> L1.H2.K >= 60%": 3,
    "NTH ~> NMH.V >= 30%": 3,
    "DTH ~> SIH.V >= 60%": 9,
    "SIH ~> NMH.Q >= 60%": 1,
    "NMH ~> logits >= 80%": 1,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def written(home: Path, count: int | None, *changes: tuple[str, str]) -> Path:
    text = BUILTIN
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = home / "a.circuit"
    path.write_text(text.replace("\ntest {", f"\ntest {{\n  random edges {count}"))
    return path


@pytest.fixture(scope="module")
def run(home):
    """A run with 20 random edges an edge: its report and its evidence."""
    from typer.testing import CliRunner

    from circuitlang.cli.main import app

    path = written(home, 20)
    saved = ["--json", str(home / "r.json"), "--evidence", str(home / "e.json")]
    outcome = CliRunner().invoke(app, ["run", str(path), "-q", "--threads", "1", *saved])
    assert outcome.exit_code == 0, outcome.output
    report = Report.model_validate_json((home / "r.json").read_text())
    return report, outcome.stdout, load_evidence(home / "e.json")


def test_the_report_of_the_built_in_model(run):
    report, shown, _ = run
    assert report.settings.random_edges == 20
    found = {claim.text: claim.random_edges for claim in report.claims}
    assert {text: f.drawn for text, f in found.items() if f is not None} == DRAWN
    for text, drawn in DRAWN.items():
        assert (found[text].measured, found[text].rank) == (drawn, 1)
        assert found[text].p == pytest.approx(1 / (1 + drawn))
    lines = [line.strip() for line in shown.splitlines()]
    assert lines.count("beats 3 of 3 random edges, p 0.25 (smallest possible 0.25)") == 2
    assert lines.count("beats 9 of 9 random edges, p 0.1 (smallest possible 0.1)") == 1
    assert lines.count("beats 1 of 1 random edges, p 0.5 (smallest possible 0.5)") == 2


def test_random_edges_have_the_effects_that_claiming_them_gives(run, home, capsys):
    """The heads of layer 0 that are no name tagging head, each as an edge of a file of its own."""
    report, _, _ = run
    nodes = "".join(f"\n  X{n} L0.H{n} at IO, S1" for n in (0, 2, 3))
    edges = "".join(f"\n  X{n} ~> NMH.V >= -500%" for n in (0, 2, 3))
    path = written(
        home, 0, ("\nnodes {", f"\nnodes {{{nodes}"), ("\nedges {", f"\nedges {{{edges}")
    )
    assert called(capsys, "run", "-q", path, "--json", home / "x.json").code == 0
    claims = json.loads((home / "x.json").read_text())["claims"]
    effects = sorted(c["estimate"]["value"] for c in claims if c["text"].startswith("X"))
    found = next(c.random_edges for c in report.claims if c.text == "NTH ~> NMH.V >= 30%")
    assert len(effects) == 3
    assert found.largest == pytest.approx(effects[-1], abs=1e-6)
    assert found.median == pytest.approx(effects[1], abs=1e-6)


def judged_again(home, path, evidence, capsys):
    save_evidence(evidence, home / "again.json")
    outcome = called(capsys, "judge", path, home / "again.json", "--json", home / "j.json")
    assert outcome.code == 0, outcome.err
    return outcome.out, Report.model_validate_json((home / "j.json").read_text())


def test_judging_again_compares_again(run, home, capsys):
    report, shown, evidence = run
    again, found = judged_again(home, written(home, 20), evidence, capsys)
    assert (again, found) == (shown, report)


def test_judging_where_the_size_was_unknown_before_loading(run, home, capsys, monkeypatch):
    """Then the evidence tells it."""
    from circuitlang.circuit.resolve import header

    report, shown, evidence = run
    monkeypatch.setattr(header, "shape_of_folder", lambda _: None)
    path = written(home, 20)
    assert called(capsys, "plan", path).out.count("no random edges: they are drawn once") == 5
    assert judged_again(home, path, evidence, capsys) == (shown, report)


def test_evidence_from_before_random_edges(run, home, capsys):
    _, _, evidence = run
    plan = compile_plan(circuit_of(BUILTIN))
    own = {name for need in plan.needs for _, name in need.experiments}
    few = {name: column for name, column in evidence.patched.items() if name in own}
    assert len(few) == 13 < len(evidence.patched)
    old = evidence.model_copy(update={"patched": few})
    shown, report = judged_again(home, written(home, 20), old, capsys)
    assert [c.verdict for c in report.claims] == [Verdict.PASS] * 12
    assert [c.random_edges.measured for c in report.claims if c.random_edges] == [0] * 5
    assert "none of 9 random edges was measured" in shown


def test_judging_with_another_number(run, home, capsys):
    _, _, evidence = run
    shown, report = judged_again(home, written(home, 0), evidence, capsys)
    assert {claim.random_edges for claim in report.claims} == {None}
    assert "random edges," not in shown
    _, report = judged_again(home, written(home, 2), evidence, capsys)
    measured = [c.random_edges.measured for c in report.claims if c.random_edges]
    assert measured == [2, 2, 2, 1, 1]


def test_evidence_that_lies_about_the_models_size_ends_nothing(run, home, capsys):
    _, _, evidence = run
    made = evidence.provenance
    for heads in (0, -1, 10**15):
        lying = made.model_copy(update={"heads": heads})
        changed = evidence.model_copy(update={"provenance": lying})
        _, report = judged_again(home, written(home, 20), changed, capsys)
        assert report.count(Verdict.PASS) == 12


def test_the_plan_counts_them(home, capsys):
    shown = called(capsys, "plan", written(home, 20)).out
    assert "12 claims, 13 experiments and 17 random edges, 120 prompts" in shown
    assert shown.count("  set against 3 random edges (6 passes)\n") == 2
    assert "  set against 1 random edge (1 pass)\n" in shown
    plain = compile_plan(circuit_of(written(home, 0).read_text())).experiments
    through = sum(getattr(e.intervention, "through_mlps", False) for e in plain)
    assert re.search(rf"edges through MLPs +{through + 17} ", shown)
    mlps = ("\nnodes {", "\nnodes {\n  M L0.MLP at S2"), ("\nedges {", "\nedges {\n  M ~> SIH.V")
    shown = called(capsys, "plan", written(home, 20, *mlps)).out
    assert "  no random edges: no attention head sends, and a layer has no second MLP" in shown


def test_evidence_tells_whether_blocks_are_parallel(tmp_path, capsys, monkeypatch):
    """A run draws for the loaded model, and judging must draw the same: in parallel blocks a head
    that would feed its own layer's MLP carries nothing, so it stays."""
    from tests.tiny_models import circuit_text, tiny_neox

    tiny_neox(tmp_path / "neox")
    monkeypatch.chdir(tmp_path)
    more = "\ntest {\n  random edges 20\n}\n"
    text = circuit_text('"./neox"', edges="A ~> L1.MLP >= -800 logits", more=more)
    assert "A  L0.H1, L0.H2" in text
    text = text.replace("A  L0.H1, L0.H2", "A  L0.H1, L1.H0")
    path = tmp_path / "a.circuit"
    path.write_text(text)
    outcome = called(capsys, "run", "-q", path, "--json", "r.json", "--evidence", "e.json")
    assert outcome.code == 0, outcome.err
    assert load_evidence(tmp_path / "e.json").provenance.parallel
    (claim,) = Report.model_validate_json((tmp_path / "r.json").read_text()).claims
    assert claim.random_edges.drawn == claim.random_edges.measured == 3
    assert called(capsys, "judge", path, "e.json", "--json", "j.json").code == 0
    assert (tmp_path / "j.json").read_text() == (tmp_path / "r.json").read_text()
