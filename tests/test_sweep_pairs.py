"""`sweep pairs 8`: sweeps of the first pairs alone, against runs of as many pairs."""

import re
from dataclasses import replace

import numpy as np
import pytest

from circuitlang.circuit import expand
from circuitlang.cli.sweeping import sweep
from circuitlang.evidence import CheckName, Evidence, distrust, load_evidence
from circuitlang.plan import compile_plan, in_parts, with_sweeps
from circuitlang.report import ExitCode, Report
from tests.commands import called
from tests.front_end import circuit_of
from tests.test_sweeps import section, text_of
from tests.tiny_models import TEMPLATES, tiny_gpt2

CLAIM = "patch L0.H1 in -900 logits..900 logits"
"""What a sweep of heads has a cell for, too."""
LINES = ["sweep head_output", "sweep resid_pre by denoising", "sweep logit_lens by position"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_gpt2(tmp_path_factory.mktemp("few") / "model", layers=2, d_model=16)


@pytest.fixture
def run(folder, tmp_path, capsys):
    """Runs a file: its report, its evidence, and what was printed."""

    def ran(sample, few=None, *, lines=(*LINES, CLAIM), test="", change=lambda t: t, options=()):
        test += f"  sweep pairs {few}\n" if few else ""
        text = change(text_of(folder, lines, sample=sample, test=test))
        (tmp_path / "a.circuit").write_text(text, encoding="utf-8")
        found = called(
            capsys, "run", tmp_path / "a.circuit", "--quiet", "--json", tmp_path / "a.json",
            "--evidence", tmp_path / "e.json", *options,
        )  # fmt: skip
        assert found.code in (ExitCode.PASSED, ExitCode.INCONCLUSIVE), found.err
        report = Report.model_validate_json((tmp_path / "a.json").read_text())
        return report, load_evidence(tmp_path / "e.json"), found.out

    return ran


def same(one, other):
    """Two sweeps with the same numbers, apart from how many pairs there were."""
    assert one.axes == other.axes
    assert one.values == pytest.approx(other.values, abs=1e-9)
    assert one.q == pytest.approx(other.q, abs=1e-9)
    assert one.whole == pytest.approx(other.whole, abs=1e-9)
    assert (one.prompts, one.unit, one.definition) == (other.prompts, other.unit, other.definition)


def test_few_of_many_pairs_are_a_run_of_few(run, tmp_path, capsys):
    alone, _, _ = run(8)
    whole, complete, _ = run(24)
    (tmp_path / "whole.json").write_text(complete.model_dump_json())
    few, evidence, shown = run(24, 8)
    assert (few.settings.sweep_pairs, alone.settings.sweep_pairs) == (8, 0)
    for one, other, every in zip(few.sweeps, alone.sweeps, whole.sweeps, strict=True):
        same(one, other)
        assert (one.prompts, one.judged, every.prompts, every.judged) == (8, 24, 24, 24)
        assert one.values != pytest.approx(every.values, abs=1e-4)
    assert few.claims == whole.claims
    assert " ".join(section(shown).split()).count("n = 8 of 24") == 3
    # What was measured: the claim's cell on all pairs, every other one on the first eight alone.
    (claimed,) = few.claims[0].experiments
    assert evidence.swept == tuple(range(1, 9))
    measured = {name: [v is not None for v in c] for name, c in evidence.patched.items()}
    assert measured.pop(claimed) == [True] * 24
    assert len(measured) == 2 * 4 + 2 * 14 + 3 * 14 - 1
    assert all(rows == [True] * 8 + [False] * 16 for rows in measured.values())

    def judged(path):
        saved = tmp_path / "again.json"
        found = called(capsys, "judge", tmp_path / "a.circuit", path, "--json", saved)
        assert found.code == ExitCode.PASSED, found.err
        return Report.model_validate_json(saved.read_text()), found.out

    assert judged(tmp_path / "e.json") == (few, shown)
    # Evidence of all pairs says the same of the first eight.
    for one, other in zip(judged(tmp_path / "whole.json")[0].sweeps, few.sweeps, strict=True):
        same(one, other)
        assert one.judged == 24
    # That of eight says nothing of others, and no other number is shown for it.
    text = (tmp_path / "a.circuit").read_text()
    (tmp_path / "a.circuit").write_text(text.replace("  sweep pairs 8\n", ""))
    report, out = judged(tmp_path / "e.json")
    told = "its cells were measured on 8 of these 24 pairs"
    assert [told in each.missing for each in report.sweeps] == [False, True, True]
    assert told in " ".join(out.split())
    assert sum(value is not None for value in report.sweeps[0].values) == 1  # the claim's own
    assert report.claims == whole.claims
    for fewer in (4, 12):
        asked = text.replace("sweep pairs 8", f"sweep pairs {fewer}")
        (tmp_path / "a.circuit").write_text(asked)
        sweeps = judged(tmp_path / "e.json")[0].sweeps
        assert [bool(each.missing) for each in sweeps[1:]] == [fewer == 12] * 2
        assert sweeps[1].prompts == fewer


def test_as_many_pairs_as_there_are_is_all_of_them(run):
    for few in (12, 13, 100_000):
        report, evidence, out = run(12, few)
        assert evidence.swept == ()
        assert {(each.prompts, each.judged) for each in report.sweeps} == {(12, 12)}
        assert "n = 12 of" not in out
        assert report.settings.sweep_pairs == 0


def test_a_file_of_sweeps_alone(run):
    """Of one pair, which names its tokens by its own words where it is the only one."""
    few, _, _ = run(12, 1, lines=LINES)
    alone, _, _ = run(1, lines=LINES)
    for one, other in zip(few.sweeps, alone.sweeps, strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-9)
        assert set(one.q) <= {None}


@pytest.mark.parametrize(("few", "shown"), [(8, 8), (20, 12)])
def test_a_run_with_looks_is_swept_when_it_has_ended(run, few, shown):
    """The claim is decided at the first of two looks, after twelve pairs."""
    found, evidence, _ = run(24, few, test="  looks 2\n")
    assert len(evidence.prompts) == 12
    assert evidence.swept == tuple(range(1, shown + 1))
    alone, _, _ = run(shown)
    for one, other in zip(found.sweeps, alone.sweeps, strict=True):
        same(one, other)
        assert (one.prompts, one.judged) == (shown, 12)


def test_skipped_pairs(run):
    """The first pairs that could be measured; of these, what the file's rules leave to judge."""
    places = '"store", "school", "park", "office", "house", "park office"'  # one is two tokens

    def change(text):
        text = text.replace("places", places).replace("corrupt IO = fresh,", "corrupt")
        text = text.replace("IO, S   from names", 'IO, S   from "Mary", "John", "Peter"')
        text = text.replace("from objects", 'from "ring"')
        text = text.replace('  corrupt S1', f'  clean   "{TEMPLATES[1]}"\n  corrupt S1')
        return text.replace("S1 = fresh, S2 = fresh", 'PLACE = "store"')

    rules = "".join(f"  pairs {kind} skip\n" for kind in ("wrong", "same", "misaligned"))
    lines = ["sweep head_output by denoising"]
    every, evidence, _ = run(96, test=rules, lines=lines, change=change)
    found, _, _ = run(96, 40, test=rules, lines=lines, change=change)
    assert len(evidence.skipped) > 3
    assert all(n > 0 for n in (every.pairs.wrong.count, every.pairs.same.count))
    assert every.pairs.copies.count > 0
    left_out = {
        pair.number
        for group in (every.pairs.copies, every.pairs.wrong, every.pairs.same)
        for pair in group.pairs
    }
    rows = [row for row in range(40) if evidence.prompts[row].number not in left_out]
    assert 4 < len(rows) < found.pairs.judged
    assert evidence.prompts[39].number > 40
    clean, corrupt = (np.array(column)[rows] for column in (evidence.clean, evidence.corrupt))
    columns = [np.array(evidence.patched[name])[rows] for name in evidence.patched]
    shares = [(column - corrupt).mean() / (clean - corrupt).mean() for column in columns]
    (shown,) = found.sweeps
    assert shown.values == pytest.approx(shares, abs=1e-9)
    assert (shown.prompts, shown.judged) == (len(rows), found.pairs.judged)


@pytest.mark.parametrize(
    ("engine", "lines"),
    [("fast", (*LINES, CLAIM)), ("fast", LINES), ("reference", (*LINES[::2], CLAIM))],
    ids=["fast", "sweeps alone", "reference"],
)
def test_planned_passes_are_those_that_are_made(run, tmp_path, capsys, engine, lines):
    options = ("--engine", engine, "--batch", 10)
    report, _, _ = run(24, 8, lines=lines, options=options)
    planned = called(capsys, "plan", tmp_path / "a.circuit", *options)
    assert "(16 passes, on the first 8 pairs); shown, not judged" in planned.out
    (cells,) = re.findall(r"sweeps of 8 pairs +(\d+) ", planned.out)
    assert int(cells) == 2 * 4 + 2 * 14 * (LINES[1] in lines) + 3 * 14 - (CLAIM in lines)
    (passes,) = re.findall(r"forward passes +(\d+)\n", planned.out)
    assert int(passes) == report.provenance.forward_passes


def test_passes_of_a_model_whose_size_is_not_known(tmp_path, capsys):
    text = text_of("somebody/something", ["sweep head_output", CLAIM], test="  sweep pairs 8\n")
    (tmp_path / "a.circuit").write_text(text.replace("sample 6", "sample 9"))
    planned = called(capsys, "plan", tmp_path / "a.circuit")
    assert planned.code == ExitCode.PASSED, planned.err
    assert "forward passes over every prompt" in planned.out


def test_the_self_checks_stay_needed(run):
    """That a cell has no number where none was asked for is no gap that would excuse a check."""
    _, evidence, _ = run(12, 8)

    def without_the_one(found: Evidence) -> str:
        kept = tuple(c for c in found.self_checks if c.name != CheckName.ALONE)
        return distrust(found.model_copy(update={"self_checks": kept}))

    assert distrust(evidence) == ""
    assert "lacks a self-check" in without_the_one(evidence)
    assert without_the_one(evidence.model_copy(update={"swept": ()})) == ""
    name = next(name for name, column in evidence.patched.items() if column[11] is None)
    column = (None, *evidence.patched[name][1:])
    gap = evidence.model_copy(update={"patched": {**evidence.patched, name: column}})
    assert without_the_one(gap) == ""


def test_nothing_is_swept_after_an_interrupt_and_an_interrupt_keeps_the_rest(run):
    _, evidence, _ = run(12)
    plan = circuit_plan(8)
    _, cells = in_parts(plan)

    def never(*_):
        raise AssertionError("measured")

    def interrupted(*_):
        raise KeyboardInterrupt

    cut = evidence.model_copy(update={"complete": False})
    assert sweep(cells, 8, cut, never) == cut
    broken = evidence.self_checks[0].model_copy(update={"passed": False})
    failed = evidence.model_copy(update={"self_checks": (broken, *evidence.self_checks[1:])})
    assert sweep(cells, 8, failed, never) == failed
    assert sweep(cells, 8, evidence, interrupted) == cut


def circuit_plan(few=None, sample=12):
    test = f"  sweep pairs {few}\n" if few else ""
    return compile_plan(circuit_of(text_of("gpt2", [*LINES, CLAIM], sample=sample, test=test)))


def test_the_parts_of_a_plan():
    plan = circuit_plan(8)
    first, cells = in_parts(plan)
    whole = with_sweeps(plan)
    assert (*first.experiments, *cells.experiments) == whole.experiments
    assert first.experiments == plan.experiments
    assert first.sweeps == cells.sweeps == whole.sweeps
    assert first.needs == whole.needs
    for same_as_none in (circuit_plan(), circuit_plan(12)):
        assert in_parts(same_as_none) == (with_sweeps(same_as_none), None)
    assert plan.id == circuit_plan().id  # saved evidence keeps its name
    assert in_parts(replace(plan, circuit=replace(plan.circuit, sweeps=())))[1] is None
    pairs = expand(plan.circuit.prompts, plan.circuit.metric)
    assert pairs[:8] == expand(circuit_plan(sample=8).circuit.prompts, plan.circuit.metric)


@pytest.mark.parametrize("number", ["0", "1.5", "100001"])
def test_numbers_that_make_no_sense(tmp_path, capsys, number):
    text = text_of("gpt2", LINES, sample=12, test=f"  sweep pairs {number}\n")
    (tmp_path / "a.circuit").write_text(text)
    found = called(capsys, "check", tmp_path / "a.circuit")
    assert found.code == ExitCode.USAGE
    assert "`sweep pairs`" in found.err
