"""Measuring a plan: batches, means, interruption, lack of memory, failures of one experiment."""

from dataclasses import replace

import pytest
import torch

from circuitlang.circuit import ModelReference
from circuitlang.engine import load_transformer, measure
from circuitlang.engine.batch import batches
from circuitlang.engine.choice import EngineName
from circuitlang.engine.errors import HookError, RunError
from circuitlang.engine.fast import FastEngine, anatomy
from circuitlang.engine.tokens import tokenize
from circuitlang.plan import compile_plan
from circuitlang.report import Verdict, exit_code
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from tests.front_end import ROOT, circuit_of

TEXT = (ROOT / "circuits" / "builtin_ioi.circuit").read_text(encoding="utf-8")
SMALL = TEXT.replace("sample  120", "sample  36")


@pytest.fixture(scope="module")
def model():
    return load_transformer(ModelReference("builtin", "ioi_tiny"))


@pytest.fixture(scope="module")
def job(model):
    plan = compile_plan(circuit_of(SMALL))
    pairs, tokens, problems = tokenize(plan.circuit, model.tokenizer)
    assert not problems
    return plan, pairs, tokens


def close(one, other):
    return all(abs(a - b) < 1e-4 for a, b in zip(one, other, strict=True))


def test_the_batch_size_changes_nothing(model, job):
    plan, pairs, tokens = job
    whole = measure(plan, model, pairs, tokens, batch_size=64)
    small = measure(plan, model, pairs, tokens, batch_size=5)
    assert whole.complete
    assert small.complete
    assert close(whole.clean, small.clean)
    assert close(whole.corrupt, small.corrupt)
    assert whole.patched.keys() == {e.id for e in plan.experiments}
    for name, values in whole.patched.items():
        assert close(values, small.patched[name])


def test_either_engine_gives_the_same_evidence(model, job):
    plan, pairs, tokens = job
    fast, slow, both = (
        measure(plan, model, pairs, tokens, engine=name)
        for name in (EngineName.FAST, EngineName.REFERENCE, EngineName.BOTH)
    )
    assert [e.provenance.engine for e in (fast, slow, both)] == ["fast", "reference", "both"]
    assert slow.patched == both.patched
    for name, values in fast.patched.items():
        assert close(values, slow.patched[name])
    agree = "fast engine and reference engine agree"
    assert [agree in {c.name for c in e.self_checks} for e in (fast, slow, both)] == [
        True,
        False,
        True,
    ]
    assert all(check.passed for e in (fast, slow, both) for check in e.self_checks)


def batch_bytes(model, tokens):
    largest = max(batches(tokens, 5, torch.device("cpu")), key=lambda batch: batch.clean.numel())
    return FastEngine(model.transformer).worlds(largest).bytes


def test_little_memory_changes_nothing(model, job):
    """With room for one batch's runs at a time prompts are worked through in blocks."""
    plan, pairs, tokens = job
    whole = measure(plan, model, pairs, tokens, batch_size=5)
    room = 2 * batch_bytes(model, tokens)
    blocks = measure(plan, model, pairs, tokens, batch_size=5, memory=room)
    assert blocks.complete
    assert blocks.provenance.batch_size == 5
    small = measure(plan, model, pairs, tokens, batch_size=5, memory=room // 4)
    assert small.provenance.batch_size < 5
    assert any("The memory allowed is too little for 5 prompts" in note for note in small.notes)
    for name, values in whole.patched.items():
        assert close(values, blocks.patched[name])


def test_a_faulty_fast_engine_is_caught(model, job, monkeypatch):
    """Numbers that the reference engine does not confirm are no evidence."""
    plan, pairs, tokens = job
    sound = FastEngine.answers
    monkeypatch.setattr(FastEngine, "answers", lambda *given: sound(*given) + 0.01)
    evidence = measure(plan, model, pairs, tokens)
    assert [c.name for c in evidence.self_checks if not c.passed] == [
        "a patch acts at its positions only",
        "fast engine and reference engine agree",
    ]
    report = judge(plan, evidence, SourceText("x.circuit", SMALL))
    assert {claim.verdict for claim in report.claims} == {Verdict.ERROR}


def test_an_unknown_architecture_is_left_to_the_reference_engine(model, job, monkeypatch):
    plan, pairs, tokens = job
    monkeypatch.setattr("circuitlang.engine.fast.anatomy._SCALES", {})
    evidence = measure(plan, model, pairs, tokens)
    assert evidence.provenance.engine == "reference"
    assert any("does not know attention of the kind GPT2Attention" in n for n in evidence.notes)


def test_blocks_that_differ_from_the_models_are_not_used(model, job, monkeypatch):
    plan, pairs, tokens = job
    monkeypatch.setitem(anatomy._SCALES, "GPT2Attention", lambda *_: 0.5)
    evidence = measure(plan, model, pairs, tokens)
    assert evidence.provenance.engine == "reference"
    assert any("its logits and the model's differ by" in note for note in evidence.notes)


def test_prompts_keep_the_order_of_the_file(model, job):
    """Batches are made by length, results are put back in the file's order."""
    plan, pairs, tokens = job
    evidence = measure(plan, model, pairs, tokens)
    assert [p.clean for p in evidence.prompts] == [pair.clean.text for pair in pairs]
    single = [
        measure(replace(plan, experiments=()), model, pairs[i : i + 1], tokens[i : i + 1]).clean[0]
        for i in (0, 7, 20)
    ]
    assert close(single, [evidence.clean[i] for i in (0, 7, 20)])


@pytest.mark.parametrize("engine", EngineName)
def test_an_interrupted_run_keeps_what_it_measured(model, job, engine):
    plan, pairs, tokens = job

    def progress(done, total, what):
        if done > 0.7 * total:
            raise KeyboardInterrupt

    evidence = measure(plan, model, pairs, tokens, engine=engine, progress=progress)
    assert not evidence.complete
    agree = [c for c in evidence.self_checks if c.name.startswith("fast engine and")]
    assert len(agree) == (engine is not EngineName.REFERENCE)
    whole = [name for name, values in evidence.patched.items() if None not in values]
    assert 0 < len(whole) < len(plan.experiments)
    report = judge(plan, evidence, SourceText("x.circuit", SMALL))
    assert not report.complete
    assert exit_code(report) == 130
    assert len(report.claims) == len(plan.circuit.all_claims)
    verdicts = {claim.verdict for claim in report.claims}
    assert Verdict.ERROR in verdicts
    assert Verdict.PASS in verdicts  # a claim whose experiment was finished has its verdict


def test_lack_of_memory_halves_the_batch(model, job, monkeypatch):
    plan, pairs, tokens = job
    sound = FastEngine.worlds

    def worlds(self, batch):
        if len(batch.rows) > 6:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to ...")
        return sound(self, batch)

    monkeypatch.setattr(FastEngine, "worlds", worlds)
    evidence = measure(plan, model, pairs, tokens, batch_size=32)
    assert evidence.complete
    assert evidence.provenance.batch_size < 32
    assert any("Memory ran out with 32 prompts" in note for note in evidence.notes)

    def never(self, batch):
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(FastEngine, "worlds", never)
    with pytest.raises(RunError, match="out of memory"):
        measure(plan, model, pairs, tokens, batch_size=2)


def test_other_errors_are_not_taken_for_lack_of_memory(model, job, monkeypatch):
    plan, pairs, tokens = job

    def worlds(self, batch):
        raise RuntimeError("something else")

    monkeypatch.setattr(FastEngine, "worlds", worlds)
    with pytest.raises(RuntimeError, match="something else"):
        measure(plan, model, pairs, tokens)


@pytest.mark.parametrize("error", [HookError("the hook did not fire"), IndexError("out of range")])
def test_one_failed_experiment_is_one_error(model, job, monkeypatch, error):
    plan, pairs, tokens = job
    sound, broken = FastEngine.answers, plan.experiments[2]

    def answers(self, interventions, worlds):
        if len(worlds.batch.rows) > 4 and broken.intervention in interventions:
            raise error
        return sound(self, interventions, worlds)

    monkeypatch.setattr(FastEngine, "answers", answers)
    evidence = measure(plan, model, pairs, tokens)
    assert list(evidence.errors) == [broken.id]
    report = judge(plan, evidence, SourceText("x.circuit", SMALL))
    verdicts = [claim.verdict for claim in report.claims]
    assert verdicts.count(Verdict.ERROR) == 1
    assert verdicts[2] is Verdict.ERROR
    assert exit_code(report) == 3


def test_a_prompt_longer_than_the_context(model, job):
    plan, pairs, tokens = job
    long = replace(tokens[0], clean=tokens[0].clean * 9, corrupt=tokens[0].corrupt * 9)
    with pytest.raises(RunError, match="reads at most 64"):
        measure(plan, model, pairs[:1], [long])


def test_progress_reaches_its_end(model, job):
    plan, pairs, tokens = job
    steps = []
    measure(plan, model, pairs, tokens, progress=lambda *step: steps.append(step[:2]))
    done = [step[0] for step in steps]
    assert done == sorted(done)
    assert len(set(done)) > 4
    assert steps[-1][0] == steps[-1][1]


def test_the_same_run_twice_gives_the_same_evidence(model, job):
    plan, pairs, tokens = job
    one, other = (measure(plan, model, pairs, tokens) for _ in range(2))
    assert one.patched == other.patched
    assert one.plan_id == other.plan_id == plan.id


def test_folded_weights_give_the_same_effects(job):
    """Folding changes logits by a constant a position, so no logit difference moves."""
    plan, pairs, tokens = job
    folded = load_transformer(ModelReference("builtin", "ioi_tiny", weights="folded"))
    plain = load_transformer(ModelReference("builtin", "ioi_tiny"))
    one, other = (measure(plan, m, pairs, tokens) for m in (plain, folded))
    assert all(check.passed for check in other.self_checks)
    assert other.provenance.weights == "folded"
    for name, values in one.patched.items():
        gaps = [abs(a - b) for a, b in zip(values, other.patched[name], strict=True)]
        assert max(gaps) < 2e-3, name


def test_order_in_a_block_is_checked_once_the_model_is_known(tmp_path):
    """In parallel blocks a head does not feed its own layer's MLP. A model that no table has is
    found to be parallel when it is loaded; the edge is then refused, not measured as nothing."""
    from typer.testing import CliRunner

    from circuitlang.cli.main import app
    from tests.tiny_models import tiny_neox

    tiny_neox(tmp_path / "model")
    (tmp_path / "model" / "config.json").rename(tmp_path / "model" / "kept.json")
    path = tmp_path / "x.circuit"
    path.write_text(
        TEXT.replace("builtin ioi_tiny", '"./model"').split("nodes {")[0]
        + "edges {\n  L1.H0 -> L1.MLP >= 1%\n}\n",
        encoding="utf-8",
    )
    assert CliRunner().invoke(app, ["check", str(path)]).exit_code == 0  # nothing known yet
    (tmp_path / "model" / "kept.json").rename(tmp_path / "model" / "config.json")
    for command in ("check", "run"):
        result = CliRunner().invoke(app, [command, str(path)])
        assert result.exit_code == 2
        assert "CL210" in result.output
