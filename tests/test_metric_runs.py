"""Whole runs under every metric: self-checks, evidence against transformers itself, a report."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from circuitlang.circuit import METRICS, ModelReference
from circuitlang.engine import load_transformer, measure
from circuitlang.engine.choice import EngineName
from circuitlang.engine.tokens import tokenize
from circuitlang.plan import compile_plan
from circuitlang.report import ExitCode, exit_code, render_json, render_terminal
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from tests.front_end import circuit_of
from tests.test_metric_verdicts import LOWER, WRITTEN
from tests.test_metrics import by_definition
from tests.tiny_models import circuit_text, tiny_gpt2

FLOAT32 = 2e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_gpt2(tmp_path_factory.mktemp("metrics") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return load_transformer(ModelReference("name", str(folder)))


@pytest.fixture(scope="module")
def plain(folder):
    """The same weights without a bridge."""
    from transformers import GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(folder).eval()


def text_of(name, folder):
    unit = METRICS[name].unit
    most = 0.999 if unit in ("prob", "accuracy") else 100000
    wide = f"in -{most} {unit}..{most} {unit}"
    text = circuit_text(
        f'"{folder}"',
        sample=4,
        edges=f"A ~> B.V {wide}\n  B -> logits {wide}",
        claims=f"ablate A {wide} by resample",
        more="test {\n  random edges 1\n  resamples 1000\n}\n",
    )
    return text.replace("logit_diff(IO, S)", WRITTEN[name])


def logits_of(plain, ids):
    with torch.no_grad():
        return plain(torch.tensor([ids])).logits[0, -1].double().numpy()


@pytest.mark.parametrize("name", METRICS)
def test_a_run(name, folder, model, plain):
    text = text_of(name, folder)
    plan = compile_plan(circuit_of(text))
    pairs, tokens, problems = tokenize(plan.circuit, model.tokenizer)
    assert not problems
    evidence = measure(plan, model, pairs, tokens, engine=EngineName.BOTH, batch_size=2)
    assert all(check.holds for check in evidence.self_checks), evidence.self_checks
    for pair, clean, corrupt, hit in zip(
        tokens, evidence.clean, evidence.corrupt, evidence.answered, strict=True
    ):
        own, other = (logits_of(plain, ids) for ids in (pair.clean, pair.corrupt))
        assert clean == pytest.approx(by_definition(pair.target, own, own), abs=FLOAT32)
        assert corrupt == pytest.approx(by_definition(pair.target, other, own), abs=FLOAT32)
        if name != "kl":
            assert hit == (log_softmax(own).argmax() == pair.target.tokens[0][0])
    assert name != "kl" or set(evidence.clean) == {0.0}
    report = judge(plan, evidence, SourceText("test.circuit", text))
    effects = [claim.estimate for claim in report.claims if claim.estimate is not None]
    assert len(effects) == 3
    for effect, claim in zip(effects, report.claims, strict=True):
        (experiment,) = claim.experiments
        change = np.mean(evidence.clean) - np.mean(evidence.patched[experiment])
        assert effect.value == pytest.approx(-change if name in LOWER else change, abs=1e-9)
        assert effect.unit == METRICS[name].unit
    assert exit_code(report) in (ExitCode.PASSED, ExitCode.INCONCLUSIVE)
    assert WRITTEN[name] in render_terminal(report, width=100)
    assert f'"{METRICS[name].unit}"' in render_json(report)
