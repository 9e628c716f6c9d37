"""The screen measures what it proposes, and says in every place which number is which."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from circuitlang.circuit import Head, Receiver, Slot
from circuitlang.engine import screening
from circuitlang.engine.attribution import attributions
from circuitlang.engine.batch import batches
from circuitlang.engine.errors import RunError
from circuitlang.engine.loading import LoadedModel, load_transformer
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.engine.screening import screen
from circuitlang.engine.tokens import tokenize
from circuitlang.evidence import SelfCheck
from circuitlang.report.screening import screening_report
from tests.commands import Outcome, called
from tests.engine_models import LENGTH, bench, gpt2
from tests.front_end import ROOT, read_file
from tests.test_attribution import MAKERS, direct, estimates
from tests.tiny_models import circuit_text, tiny_gpt2, tiny_llama

BUILTIN = ROOT / "circuits" / "builtin_ioi.circuit"


# The screen


def loaded(b):
    return LoadedModel(b.model, None, "tiny", "Tiny", None, "plain", None, {})


@MAKERS
def test_the_exact_numbers_are_the_reference_engines(make):
    """In batches of other sizes, too; the approximations are means of the estimates."""
    b = bench(make, seed=2)
    result = screen(loaded(b), b.batch.pairs, top=12, batch_size=4)
    found = estimates(b)
    assert result.screened == len(found)
    assert len(result.edges) == 12
    sizes = sorted((abs(float(value.mean())) for value in found.values()), reverse=True)
    clean = b.batch.metric(b.worlds.clean.logits)
    assert result.clean == pytest.approx(float(clean.mean()), abs=1e-9)
    assert result.corrupt == pytest.approx(
        float(b.batch.metric(b.worlds.corrupt.logits).mean()), abs=1e-9
    )
    by_name = {(str(s), str(r)): (s, r) for s, r in found}
    for edge, size in zip(result.edges, sizes, strict=False):
        pair = by_name[edge.sender, edge.receiver]
        assert edge.approximation == pytest.approx(-float(found[pair].mean()), abs=1e-5)
        assert abs(edge.approximation) == pytest.approx(size, abs=1e-5)
        patched = b.batch.metric_of(b.engine.answers([direct(*pair)], b.worlds))[0]
        assert edge.exact == pytest.approx(float((clean - patched).mean()), abs=1e-5)
        assert edge.p == pytest.approx(_scipys_two_sided((clean - patched).numpy()), abs=1e-9)
    assert all(check.passed for check in result.self_checks)
    assert b.model.attached_hooks() == 0


def _scipys_two_sided(effects):
    """Every sign flip of the few prompts, by SciPy."""
    found = stats.permutation_test(
        (effects,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
    )
    return found.pvalue


def test_copies_of_a_prompt_are_no_further_observations():
    b = bench(gpt2)
    once = screen(loaded(b), b.batch.pairs, top=5)
    thrice = screen(loaded(b), b.batch.pairs * 3, top=5)
    assert [edge.p for edge in thrice.edges] == pytest.approx([edge.p for edge in once.edges])


def test_q_is_scipys_over_all_that_was_screened():
    b = bench(gpt2)
    result = screen(loaded(b), b.batch.pairs, top=7)
    source, circuit, _ = read_file(BUILTIN)
    report = screening_report(result, circuit, source)
    others = [1.0] * (result.screened - 7)
    ranked = sorted(result.edges, key=lambda edge: -abs(edge.exact))
    theirs = stats.false_discovery_control([*(edge.p for edge in ranked), *others])[:7]
    assert [edge.q for edge in report.edges] == pytest.approx(theirs.tolist(), rel=1e-12)


def test_more_edges_asked_for_than_there_are():
    b = bench(gpt2)
    result = screen(loaded(b), b.batch.pairs[:1], top=1000)
    assert len(result.edges) == result.screened == len(estimates(b))


def test_little_memory_means_smaller_batches(monkeypatch):
    b = bench(gpt2)
    whole = screen(loaded(b), b.batch.pairs, top=3)
    exhausted = []

    def limited(model, worlds):
        if len(worlds.batch.rows) > 2:
            exhausted.append(len(worlds.batch.rows))
            raise MemoryError
        return attributions(model, worlds)

    monkeypatch.setattr(screening, "attributions", limited)
    result = screen(loaded(b), b.batch.pairs, top=3, batch_size=6)
    assert exhausted == [6, 3]
    assert result.provenance.batch_size == 1
    for one, other in zip(whole.edges, result.edges, strict=True):
        assert one.exact == pytest.approx(other.exact, abs=1e-9)
    assert result.clean == pytest.approx(whole.clean, abs=1e-9)

    def never(*_):
        raise MemoryError

    monkeypatch.setattr(screening, "attributions", never)
    with pytest.raises(RunError, match="out of memory, even with one prompt at a time"):
        screen(loaded(b), b.batch.pairs, top=3)


def test_a_failed_self_check_stops_the_screen(monkeypatch):
    b = bench(gpt2)
    failed = SelfCheck(
        name="the law", passed=False, value=1.0, tolerance=0.0, unit="logits", detail=""
    )
    monkeypatch.setattr(screening, "self_checks", lambda *_: (failed,))
    with pytest.raises(RunError, match=r"a self-check failed, .*: the law"):
        screen(loaded(b), b.batch.pairs, top=3)


def test_numbers_that_are_not_finite_stop_the_screen(monkeypatch):
    b = bench(gpt2)

    def poisoned(model, worlds):
        for piece in attributions(model, worlds):
            yield replace(piece, estimates=piece.estimates * float("nan"))

    monkeypatch.setattr(screening, "attributions", poisoned)
    with pytest.raises(RunError, match="not a finite number"):
        screen(loaded(b), b.batch.pairs, top=3)


def test_prompts_longer_than_the_context():
    b = bench(gpt2)
    b.model.context = LENGTH - 1
    with pytest.raises(RunError, match=f"a prompt has {LENGTH} tokens"):
        screen(loaded(b), b.batch.pairs, top=3)


# The command


def run(capsys, *arguments) -> Outcome:
    outcome = called(capsys, "screen", "-q", "--threads", 1, *arguments)
    assert "Traceback" not in outcome.err
    return outcome


def test_the_built_in_model(tmp_path, capsys):
    """The circuit that the model was trained to have is proposed, but for what saturates.

    L0.H1 -> L1.H2.K is exactly the kind of edge that a first-order estimate misses: the duplicate
    token head attends so firmly that its gradient is almost zero.
    """
    outcome = run(capsys, BUILTIN, "--json", tmp_path / "s.json")
    assert (outcome.code, outcome.err) == (0, "")
    result = json.loads((tmp_path / "s.json").read_text())
    edges = {edge["edge"]: edge for edge in result["edges"]}
    assert set(edges) >= {
        "L3.H1 -> logits", "L3.H2 -> logits", "L2.H3 -> L3.H1.Q", "L2.H3 -> L3.H2.Q",
        "L1.H2 -> L2.H3.V", "L0.H1 -> L3.H1.V", "L0.H1 -> L3.H2.V",
    }  # fmt: skip
    assert edges["L3.H1 -> logits"]["declared"] == ["NMH ~> logits >= 80%"]
    assert edges["L1.H2 -> L1.MLP"]["declared"] == []
    assert "L0.H1 -> L1.H2.K" not in edges

    sizes = [abs(edge["exact"]) for edge in result["edges"]]
    assert sizes == sorted(sizes, reverse=True)
    assert [edge["rank"] for edge in result["edges"]] == list(range(1, 21))
    assert (result["kind"], result["unit"], result["tested"]) == ("screening", "fraction", 20)
    # Into logits 20 senders; into a layer's 12 slots and MLP 5 of each earlier layer, into its MLP
    # also its own 4 heads.
    assert result["screened"] == 20 + sum(13 * 5 * layer + 4 for layer in range(4))
    assert "verdict" not in result["edges"][0]

    text = outcome.out
    assert result["warning"] in " ".join(text.split())
    for edge in result["edges"]:
        start = [str(edge["rank"]), *edge["edge"].split()]
        (row,) = (line for line in text.splitlines() if line.split()[:4] == start)
        exact, approximation = (f"{100 * edge[key]:+.1f}%" for key in ("exact", "approximation"))
        assert row.split()[4] == exact.replace("-0.0", "+0.0")
        assert f"approx. {approximation}".replace("-0.0", "+0.0") in row
    assert f"is {result['correlation']:.3f} over the 20 measured edges" in " ".join(text.split())
    assert "PASS" not in text


def test_the_missed_edge_is_real():
    """What the first-order estimate leaves out above is no small effect."""
    _, circuit, _ = read_file(BUILTIN)
    model = load_transformer(circuit.model)
    _, tokens, _ = tokenize(circuit, model.tokenizer)
    batch = next(batches(tokens, 24, model.transformer.device))
    engine = ReferenceEngine(model.transformer)
    worlds = engine.worlds(batch)
    patch = direct(Head(0, 1), Receiver(Head(1, 2), Slot.K))
    clean, corrupt = (batch.metric(w.logits).mean() for w in (worlds.clean, worlds.corrupt))
    patched = batch.metric(engine.logits(patch, worlds)).mean()
    assert float((clean - patched) / (clean - corrupt)) > 0.4


def test_the_lines_can_be_pasted(tmp_path, capsys):
    outcome = run(capsys, BUILTIN, "--top", 12, "--json", tmp_path / "s.json")
    lines = json.loads((tmp_path / "s.json").read_text())["lines"]
    assert len(lines) >= 3
    assert all(f"\n  {line}\n" in outcome.out for line in lines)
    pasted = tmp_path / "pasted.circuit"
    text = BUILTIN.read_text(encoding="utf-8")
    pasted.write_text(text.replace("edges {\n", "edges {\n" + "\n".join(lines) + "\n"))
    checked = called(capsys, "check", pasted)
    assert checked.code == 0, checked.err


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    tiny_gpt2(base / "gpt2", layers=2, d_model=16)
    tiny_llama(base / "llama")
    return base


@pytest.fixture
def here(models, tmp_path, monkeypatch):
    for name in ("gpt2", "llama"):
        (tmp_path / name).symlink_to(models / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(here, edges="L0.H1 -> logits >= 5%", model='"./gpt2"', metric="(IO, S)"):
    path = here / "a.circuit"
    text = circuit_text(model, edges=f"A -> B.V >= 5%\n  {edges}")
    path.write_text(text.replace("(IO, S)", metric), encoding="utf-8")
    return path.name


def test_a_key_value_group_is_one_receiver(here, capsys):
    """Heads 3 to 5 share keys and values: the file's L1.H5.K is the screen's L1.H3.K."""
    path = written(here, "L0.H1 -> L1.H5.K >= 5%", '"./llama" dtype float64')
    outcome = run(capsys, path, "--top", 1000, "--json", "s.json")
    assert outcome.code == 0, outcome.err
    result = json.loads((here / "s.json").read_text())
    declared = {edge["edge"]: edge["declared"] for edge in result["edges"]}
    assert declared["L0.H1 -> L1.H3.K"] == ["L0.H1 -> L1.H5.K >= 5%"]
    assert declared["L0.H1 -> L1.H0.K"] == []
    assert "L0.H1 -> L1.H5.K" not in declared
    assert "L1.H3-H5" in " ".join(outcome.out.split())


def test_a_model_that_does_not_do_the_task(here, capsys):
    """No share can be taken of a difference that is not positive; one order of the two answers has
    a negative one."""
    units = {}
    for metric in ("(IO, S)", "(S, IO)"):
        outcome = run(capsys, written(here, metric=metric), "--json", "s.json", "--top", 5)
        assert outcome.code == 0, outcome.err
        result = json.loads((here / "s.json").read_text())
        units[result["unit"]] = result["clean"] - result["corrupt"]
        suffix = " logits" if result["unit"] == "logits" else "%"
        assert all(line.endswith(suffix) for line in result["lines"])
        assert ("effects are in logits" in " ".join(outcome.out.split())) == (suffix == " logits")
    assert units["fraction"] > 0 > units["logits"]


def test_what_stops_the_command(here, capsys):
    path = written(here)
    outcome = run(capsys, path, "--json", "no/such/s.json")
    assert outcome.code == 2
    assert "cannot write no/such/s.json" in outcome.err
    assert run(capsys, path, "--json", path).code == 2
    assert run(capsys, path, "--top", 0).code == 2
    assert run(capsys, "absent.circuit").code == 2
    outcome = run(capsys, path, "--device", "abacus")
    assert (outcome.code, outcome.out) == (3, "")
    assert "\ncircuitlang: cannot use the device `abacus`: " in outcome.err
    outcome = run(capsys, written(here, "L5.H1 -> logits >= 5%"))
    assert outcome.code == 2
    assert "error[CL205]" in outcome.err
    outcome = run(capsys, written(here, model=f'"{here}/absent"'))
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err.endswith(f"\ncircuitlang: there is no folder `{here}/absent`\n")


def test_a_table_that_cannot_be_written_is_still_shown(here, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    outcome = run(capsys, written(here), "--json", "s.json", "--top", 2)
    assert outcome.code == 3
    assert "2 measured exactly" in outcome.out
    assert outcome.err.endswith("\ncircuitlang: cannot write s.json: No space left on device\n")


def test_the_page_shows_what_the_command_prints(capsys, monkeypatch):
    """Its command, and its rows but for the last shown digit, which differs between processors."""
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "screening.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"```sh\ncircuitlang screen (.*)\n```", page)
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    outcome = run(capsys, *command.split())
    assert outcome.code == 0
    printed = [_coarse(line) for line in outcome.out.splitlines()]
    assert [line for line in shown.splitlines() if _coarse(line) not in printed] == []


def _coarse(line):
    return re.sub(r"\.\d+%", "%", line).split()
