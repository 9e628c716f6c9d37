"""Paths, positions on edges, the embedding and neurons in models wired by hand.

Every number follows from the words of `known/ioi.py` and `known/mlp_path.py`: which head hears
which, and by how much of the metric.
"""

import json
from functools import cache

import numpy as np
import pytest

from circuitlang.circuit import Neuron, PathClaim
from circuitlang.engine import load_transformer, measure
from circuitlang.engine.choice import EngineName
from circuitlang.engine.tokens import tokenize
from circuitlang.plan import Use, compile_plan
from circuitlang.report import Verdict
from circuitlang.report.json import render_json
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from tests.front_end import ROOT, circuit_of

EXACT = 1e-4  # the built-in models are in float32
ENGINES = (EngineName.FAST, EngineName.REFERENCE)
loaded = cache(load_transformer)


def text_of(name, nodes, edges, claims=()):
    """A known circuit's model and prompts with other claims."""
    head, _, _ = (ROOT / f"circuits/known/{name}.circuit").read_text("utf-8").partition("nodes {")
    blocks = {"nodes": nodes, "edges": edges, "claims": claims}
    body = ("\n".join([f"{word} {{", *lines, "}"]) for word, lines in blocks.items() if lines)
    return "\n".join([head.replace("sample  100", "sample  24"), *body,
                      "test {\n  random edges 0\n}"])  # fmt: skip


def measured(text, engine):
    circuit = circuit_of(text)
    model = loaded(circuit.model)
    plan = compile_plan(circuit)
    pairs, tokens, problems = tokenize(circuit, model.tokenizer)
    assert not problems
    evidence = measure(plan, model, pairs, tokens, engine=engine)
    assert not evidence.errors
    assert all(check.passed for check in evidence.self_checks)
    return plan, pairs, evidence


def effects(text, engine):
    """The effect of every claim, as a share of clean - corrupt; noising."""
    plan, _, evidence = measured(text, engine)
    clean, corrupt = np.array(evidence.clean), np.array(evidence.corrupt)
    found = {}
    for claim, need in zip(plan.circuit.all_claims, plan.needs, strict=True):
        patched = np.array(evidence.patched[need.of(Use.EFFECT)])
        found[claim.text] = (clean - patched).mean() / (clean - corrupt).mean()
    return found


IOI_NODES = [
    "DTH1 L0.H1 at S2", "DTH2 L0.H4 at S2", "DTH L0.H1, L0.H4 at S2", "SIH1 L1.H0 at END",
    "SIH2 L1.H3 at END", "SIH L1.H0, L1.H3 at END", "NMH1 L2.H1 at END", "NMH2 L2.H4 at END",
    "NMH L2.H1, L2.H4 at END", "NNMH L2.H2 at END",
]  # fmt: skip
IOI = {
    # Each S-inhibition head hears one duplicate token head; SIH1 moves 3 logits by NMH1 and one
    # against them by NNMH, SIH2 two by NMH2, of four in all.
    "DTH1 -> SIH1.V -> NMH1.Q -> logits": 0.75,
    "DTH1 -> SIH1.V -> NNMH.Q -> logits": -0.25,
    "DTH2 -> SIH2.V -> NMH2.Q -> logits": 0.5,
    "DTH -> SIH.V -> NMH.Q -> logits": 1.25,
    "DTH -> SIH1.V -> NMH.Q": 0.75,
    "DTH2 -> SIH1.V -> NMH1.Q -> logits": 0.0,
    "DTH1 -> SIH1.V -> NMH2.Q -> logits": 0.0,
    "DTH1 -> SIH1.K -> NMH1.Q -> logits": 0.0,
    # The name of a node stands for its heads; where the edge lives, it says itself.
    "L0.H1 -> SIH1.V from S2": 0.5,
    "L0.H1 -> SIH1.V from S1": 0.0,
    "DTH1 -> SIH1.V from IO to END": 0.0,
    "L0.H1 -> L1.H0.V -> NMH1.Q -> logits from S1, S2 to END": 0.75,
    "L0.H1 -> L1.H0.V -> NMH1.Q -> logits from IO": 0.0,
    "L2.H1 -> logits from END to END": 0.75,
}


@pytest.mark.parametrize("engine", ENGINES)
def test_paths_and_positions(engine):
    found = effects(text_of("ioi_compiled", IOI_NODES, IOI), engine)
    assert found == pytest.approx(IOI, abs=EXACT)


PATH_NODES = ["RELAYED L0.H1 at END", "DIRECT L0.H3 at END", "WRITER L1.H2 at END"]
MLP_PATH = {
    "RELAYED -> L0.MLP -> WRITER.V -> logits": 0.75,
    "RELAYED -> WRITER.V -> logits": 0.0,
    "DIRECT -> WRITER.V -> logits": 0.25,
    "DIRECT -> L0.MLP -> WRITER.V": 0.0,
    # Both heads copy the animal that stands at A, and look at nothing but places to find it.
    "embed -> L0.H1.V from A": 0.75,
    "embed -> L0.H3.V from A": 0.25,
    "embed -> L0.H1.V from B": 0.0,
    "embed -> L0.H1.K from A": 0.0,
    "embed -> L0.H1.V -> L0.MLP -> WRITER.V -> logits from A": 0.75,
    "embed -> L0.H1.V -> WRITER.V -> logits from A": 0.0,
    "no embed -> logits within 1%": 0.0,
    # Through MLPs the relayed head is heard although no hop names the MLP.
    "RELAYED ~> WRITER.V -> logits": 0.75,
    "RELAYED ~> WRITER.V ~> logits": 0.75,
    "RELAYED -> WRITER.V ~> logits": 0.0,
    "DIRECT ~> WRITER.V -> logits": 0.25,
    "RELAYED ~> WRITER.Q -> logits": 0.0,
    "embed -> L0.H1.V ~> WRITER.V -> logits from A": 0.75,
    "embed ~> L0.H3.V ~> WRITER.V ~> logits from A": 0.25,
    "embed ~> L0.H1.V -> WRITER.V ~> logits from A": 0.0,
}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_embedding_and_paths_from_it(engine):
    found = effects(text_of("mlp_path", PATH_NODES, MLP_PATH), engine)
    assert found == pytest.approx(MLP_PATH, abs=EXACT)


@pytest.mark.parametrize("engine", ENGINES)
def test_ablating_the_embedding(engine):
    """With the corrupt embedding the whole prompt is the corrupt one."""
    claims = ["ablate embed by resample", "ablate IN by resample"]
    found = effects(text_of("mlp_path", ["IN embed at A"], (), claims), engine)
    # B's animal is read by nobody.
    assert list(found.values()) == pytest.approx([1.0, 1.0], abs=EXACT)


def relays():
    """Which neuron of L0.MLP relays which animal: its input row of the model's own file."""
    model = loaded(circuit_of(text_of("mlp_path", (), ["embed ~> logits"])).model)
    mlp = model.transformer.bridge.blocks[0].mlp
    wide = mlp.W_in.shape[1]
    return [Neuron(0, n) for n in range(wide)], model


@pytest.mark.parametrize("engine", ENGINES)
def test_every_neuron_relays_one_animal(engine):
    """A neuron is heard where its animal is A or, in the corrupt prompt, B; half of 75% each."""
    neurons, _ = relays()
    edges = [f"{neuron} -> WRITER.V from END" for neuron in neurons]
    plan, pairs, evidence = measured(text_of("mlp_path", PATH_NODES[2:], edges), engine)
    clean, corrupt = np.array(evidence.clean), np.array(evidence.corrupt)
    each = np.array([
        (clean - np.array(evidence.patched[need.of(Use.EFFECT)])) / (clean - corrupt)
        for need in plan.needs
    ])  # fmt: skip
    assert np.all((np.abs(each) < EXACT) | (np.abs(each - 0.375) < EXACT))
    heard = {
        frozenset(row for row, effect in enumerate(one) if effect > 0.1) for one in each
    } - {frozenset()}
    animals = {pair.answer for pair in pairs} | {pair.distractor for pair in pairs}
    expected = {
        frozenset(r for r, pair in enumerate(pairs) if animal in (pair.answer, pair.distractor))
        for animal in animals
    }
    assert heard == expected
    assert each.sum(0) == pytest.approx(np.full(len(pairs), 0.75), abs=EXACT)


@pytest.mark.parametrize("engine", ENGINES)
def test_neurons_as_receivers_and_in_paths(engine):
    """All relaying neurons together are the MLP; one MLP of idle neurons hears nothing."""
    neurons, _ = relays()
    node = "CELLS " + ", ".join(map(str, neurons)) + " at END"
    expected = {
        "RELAYED -> CELLS": 0.75,
        "RELAYED ~> CELLS": 0.75,
        "CELLS ~> WRITER.V": 0.75,
        "RELAYED -> CELLS -> WRITER.V -> logits": 0.75,
        "DIRECT -> CELLS -> WRITER.V -> logits": 0.0,
        "RELAYED -> L1.MLP[0] -> logits": 0.0,
        "ablate CELLS by resample": 0.75,
    }
    claims = [text for text in expected if text.startswith("ablate")]
    edges = [text for text in expected if text not in claims]
    found = effects(text_of("mlp_path", [*PATH_NODES, node], edges, claims), engine)
    assert found == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_circuit_of_neurons_is_faithful(engine):
    """The circuit of the file with the relaying neurons in place of their MLP."""
    neurons, _ = relays()
    cells = "CELLS " + ", ".join(map(str, neurons)) + " at END"
    text = text_of("mlp_path", [*PATH_NODES, cells], (), ["faithfulness in 99.9%..100.1%",
                                                          "completeness within 1%"])  # fmt: skip
    text = text.replace("random edges 0", "random edges 0\n  random subsets 2\n  greedy searches 0")
    plan, _, evidence = measured(text, engine)
    report = judge(plan, evidence, SourceText("known.circuit", text))
    assert [claim.verdict for claim in report.claims] == [Verdict.PASS] * 2
    # Some animals without their neuron: the circuit is one no more.
    half = "CELLS " + ", ".join(map(str, neurons[: len(neurons) // 2])) + " at END"
    less = text.replace(cells, half)
    plan, _, evidence = measured(less, engine)
    report = judge(plan, evidence, SourceText("known.circuit", less))
    assert report.claims[0].estimate.value < 0.999


def test_a_path_is_reported_as_one():
    text = text_of("ioi_compiled", IOI_NODES, ["DTH -> SIH.V -> NMH.Q -> logits  in 124%..126%"])
    plan, _, evidence = measured(text, EngineName.FAST)
    report = judge(plan, evidence, SourceText("known.circuit", text))
    (claim,) = report.claims
    assert (claim.kind, claim.verdict) == ("path", Verdict.PASS)
    assert claim.text == "DTH -> SIH.V -> NMH.Q -> logits in 124%..126%"
    assert (claim.senders, claim.receivers) == (("L0.H1", "L0.H4"), ("logits",))
    assert "hop by hop at S2, then END, then END" in claim.definition
    assert json.loads(render_json(report))["claims"][0]["kind"] == "path"
    assert isinstance(plan.circuit.edges[0], PathClaim)


def test_a_path_through_mlps_says_so():
    text = text_of("mlp_path", PATH_NODES, ["RELAYED ~> WRITER.V -> logits  in 74%..76%"])
    plan, _, evidence = measured(text, EngineName.FAST)
    (claim,) = judge(plan, evidence, SourceText("known.circuit", text)).claims
    assert (claim.kind, claim.verdict) == ("path", Verdict.PASS)
    assert claim.text == "RELAYED ~> WRITER.V -> logits in 74%..76%"
    assert "MLPs too but on hops by `~>`" in claim.definition
