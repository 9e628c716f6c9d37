"""A two-head model small enough for pencil and paper.

Tokens a, b, c are embedded as rows of a 4 x 4 Hadamard matrix without its constant row:
a = (1,1,-1,-1), b = (1,-1,1,-1), c = (1,-1,-1,1). They are orthogonal with mean 0 and variance 1,
so in the coordinates (a, b, c) LayerNorm divides a vector by its Euclidean length, no more.
Both heads attend evenly to every earlier token (Q = K = 0); V is the identity and O is twice the
identity; MLPs write nothing; the unembedding is the embedding, so a logit is 4 times a coordinate
of the normalised final vector. Clean prompt: a b. Corrupt prompt: c b. Metric: logit(a) - logit(c).

By hand, position 1 (r5 = 1/sqrt 5):
  embedding b = (0,1,0); L0.H0 writes 2 * (a + b)/2 = (1,1,0); residual (1,2,0), length sqrt 5.
  position 0: a + 2a = (3,0,0), normalised (1,0,0).
  L1.H0 writes 2 * ((1,0,0) + (1,2,0) r5)/2; final (2 + r5, 2 + 2 r5, 0).
"""

from math import hypot, sqrt

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from circuitlang.circuit import (
    AT_END,
    TOKEN,
    Ablation,
    Activation,
    ActivationSite,
    Direction,
    Embed,
    Head,
    Logits,
    Neuron,
    Position,
    Receiver,
    Slot,
)
from circuitlang.engine.batch import Batch
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.readout import Readout
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.engine.target import Target
from circuitlang.engine.tokens import TokenizedPair
from circuitlang.plan import (
    AblateNodes,
    Hop,
    Kept,
    PatchActivation,
    PatchEdge,
    PatchPath,
    PatchTogether,
    ReadStream,
    RunCircuitAlone,
    Steer,
    SteerByTexts,
)
from tests.engine_models import bridged

A, B, C = 0, 1, 2
R5 = 1 / sqrt(5)


@pytest.fixture(scope="module")
def engine():
    config = GPT2Config(
        vocab_size=3, n_positions=4, n_embd=4, n_layer=2, n_head=1, n_inner=4,
        layer_norm_epsilon=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        rows = [(1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1)]
        model.transformer.wte.weight.copy_(torch.tensor(rows, dtype=torch.float64))
        model.transformer.ln_f.weight.fill_(1)
        for block in model.transformer.h:
            block.ln_1.weight.fill_(1)
            block.ln_2.weight.fill_(1)
            block.attn.c_attn.weight[:, 8:] = torch.eye(4)
            block.attn.c_proj.weight.copy_(2 * torch.eye(4))
    return ReferenceEngine(bridged(model))


@pytest.fixture(scope="module")
def worlds(engine):
    return worlds_of(engine)


def worlds_of(engine):
    target = Target("logit_diff", ((A,), (C,)))
    pair = TokenizedPair(0, (A, B), (C, B), target, {}, (), ())
    readout = Readout.of([target], torch.device("cpu"))
    clean, corrupt = torch.tensor([[A, B]]), torch.tensor([[C, B]])
    return engine.worlds(Batch((0,), (pair,), clean, corrupt, readout))


def metric(x, y, z):
    """4 (a - c) of a final vector, normalised."""
    return 4 * (x - z) / hypot(x, y, z)


def measured(engine, worlds, intervention):
    return float(worlds.batch.metric(engine.logits(intervention, worlds))[0])


def edge(sender, receiver, direction=Direction.NOISING, through_mlps=False):
    return PatchEdge((sender,), (receiver,), (), through_mlps, direction)


FIRST, SECOND = Head(0, 0), Head(1, 0)
OUT_FIRST, OUT_SECOND = (ActivationSite(Activation.Z, layer, 0) for layer in (0, 1))


def test_clean_and_corrupt(worlds):
    clean = float(worlds.batch.metric(worlds.clean.logits)[0])
    assert clean == pytest.approx(metric(2 + R5, 2 + 2 * R5, 0))
    assert float(worlds.batch.metric(worlds.corrupt.logits)[0]) == pytest.approx(-clean)


EXPECTED = {
    # The first head's write at position 1 turns from (1,1,0) into (0,1,1): the final vector
    # loses one a and gains one c.
    "into logits": (edge(FIRST, Receiver(Logits())), metric(1 + R5, 2 + 2 * R5, 1)),
    # The second head reads (1,0,2) and (0,2,1) instead of (3,0,0) and (1,2,0); both new ones have
    # length sqrt 5.
    "into V": (edge(FIRST, Receiver(SECOND, Slot.V)), metric(1 + R5, 2 + 2 * R5, 3 * R5)),
    # Q and K are zero whatever they read.
    "into Q": (edge(FIRST, Receiver(SECOND, Slot.Q)), metric(2 + R5, 2 + 2 * R5, 0)),
    "into K": (edge(FIRST, Receiver(SECOND, Slot.K)), metric(2 + R5, 2 + 2 * R5, 0)),
    # The second head's write turns from (1 + r5, 2 r5, 0) into (0, 2 r5, 1 + r5).
    "second into logits": (edge(SECOND, Receiver(Logits())), metric(1, 2 + 2 * R5, 1 + R5)),
    # The MLPs between write nothing, so a path through them is the direct edge.
    "through MLPs": (
        edge(FIRST, Receiver(Logits()), through_mlps=True),
        metric(1 + R5, 2 + 2 * R5, 1),
    ),
    # Clean into corrupt is the mirror image of corrupt into clean.
    "denoising": (
        edge(FIRST, Receiver(Logits()), Direction.DENOISING),
        -metric(1 + R5, 2 + 2 * R5, 1),
    ),
    # Without the first head: position 0 is (1,0,0), position 1 is (0,1,0), and the second head
    # writes (1,1,0).
    "zero ablation": (AblateNodes((FIRST,), (), Ablation.ZERO, True), metric(1, 2, 0)),
    # The first head as on the corrupt prompt: (1,0,2) and (0,2,1) at the positions, and the second
    # head reads both.
    "resample ablation": (
        AblateNodes((FIRST,), (), Ablation.RESAMPLE, True),
        metric(R5, 2 + 2 * R5, 1 + 3 * R5),
    ),
    # Both heads as on the corrupt prompt: all that differed at position 1 is replaced.
    "both heads patched": (
        PatchTogether((OUT_FIRST, OUT_SECOND), (AT_END,), Direction.NOISING),
        -metric(2 + R5, 2 + 2 * R5, 0),
    ),
    # The logit lens sees the streams above as they grow: b, then (1,2,0); (3,0,0) at position 0.
    "lens before all": (ReadStream(0, AT_END), 0.0),
    "lens after the first": (ReadStream(1, AT_END), metric(1, 2, 0)),
    "lens at the first token": (ReadStream(1, Position(TOKEN, offset=0)), metric(3, 0, 0)),
    "lens after all": (ReadStream(2, AT_END), metric(2 + R5, 2 + 2 * R5, 0)),
    # No heads at all leave the embedding b alone.
    "empty circuit": (RunCircuitAlone((), True, Ablation.ZERO, True), 0.0),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_by_hand(engine, worlds, name):
    intervention, expected = EXPECTED[name]
    assert measured(engine, worlds, intervention) == pytest.approx(expected, abs=1e-12)


def steered_both_ways(model, make, site, factor):
    """The metric of a pair and of its mirror image, each steered by the other's difference."""
    words = ((A, B), (C, B)), ((C, B), (A, B))
    target = Target("logit_diff", ((A,), (C,)))
    pairs = tuple(TokenizedPair(0, *pair, target, {}, (), ()) for pair in words)
    clean, corrupt = (torch.tensor([pair[i] for pair in words]) for i in (0, 1))
    readout = Readout.of([target, target], torch.device("cpu"))
    batch = Batch((0, 1), pairs, clean, corrupt, readout)
    run = Steer((site,), (AT_END,), factor, per_template=True)
    means = MeanOutputs.of(model, [batch], per_template=True)
    means.add_contrast(model, [batch], [run])
    engine = make(model, means)
    return batch.metric(engine.logits(run, engine.worlds(batch))).tolist()


@pytest.mark.parametrize("factor", [-1.0, 0.5])
def test_steering_by_hand(engine, factor):
    """Two pairs, of which the second is the first with its worlds exchanged.

    The second head's write is (1 + r5, 2 r5, 0) on a b and (0, 2 r5, 1 + r5) on c b. The only other
    pair has the difference the other way round, so a prompt is steered away from its own world.
    """
    found = steered_both_ways(engine.model, ReferenceEngine, OUT_SECOND, factor)
    moved = factor * (1 + R5)
    one = metric(2 + R5 - moved, 2 + 2 * R5, moved)
    assert found == pytest.approx([one, -one], abs=1e-12)


class Words:
    """The three words as letters, of which none is a space."""

    unknown_id = None

    def encode(self, text):
        ids = ["abc".index(letter) for letter in text.strip()]
        return ids, [(i, i + 1) for i in range(len(ids))]


@pytest.mark.parametrize("make", [ReferenceEngine, FastEngine])
@pytest.mark.parametrize("places", [(), (AT_END,)])
@pytest.mark.parametrize("factor", [-1.0, 0.5])
def test_steering_by_texts_by_hand(engine, make, places, factor):
    """The second head writes (1 + r5, 2 r5, 0) at the end of `ab` and (0, 2 r5, 1 + r5) of `cb`.

    At the first token, where nothing reads it, it writes something else.
    """
    run = SteerByTexts((OUT_SECOND,), places, factor, ("ab", "cb"))
    means = MeanOutputs((), per_template=True)
    means.add_texts(engine.model, Words(), [run])
    own = make(engine.model, means)
    moved = factor * (1 + R5)
    expected = metric(2 + R5 + moved, 2 + 2 * R5, -moved)
    assert measured(own, worlds_of(own), run) == pytest.approx(expected, abs=1e-12)


# One layer whose MLP has two neurons. The head as above; then, before the MLP, (1,2,0) at position
# 1, normalised (r5, 2 r5, 0). Neuron 0 is the coordinate a and writes 3 c; neuron 1 is the
# coordinate b and writes a. On the corrupt prompt (0,2,1), so neuron 0 is silent.


@pytest.fixture(scope="module")
def cells():
    config = GPT2Config(
        vocab_size=3, n_positions=4, n_embd=4, n_layer=1, n_head=1, n_inner=2,
        layer_norm_epsilon=0.0, bos_token_id=0, eos_token_id=0, activation_function="relu",
    )  # fmt: skip
    model = GPT2LMHeadModel(config).double().eval()
    rows = torch.tensor([(1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1)], dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.wte.weight.copy_(rows)
        model.transformer.ln_f.weight.fill_(1)
        (block,) = model.transformer.h
        block.ln_1.weight.fill_(1)
        block.ln_2.weight.fill_(1)
        block.attn.c_attn.weight[:, 8:] = torch.eye(4)
        block.attn.c_proj.weight.copy_(2 * torch.eye(4))
        block.mlp.c_fc.weight.copy_(rows[:2].T / 4)
        block.mlp.c_proj.weight.copy_(torch.stack([3 * rows[C], rows[A]]))
    return bridged(model)


CELL_SITE = ActivationSite(Activation.POST, 0, 0)
CELL_A, CELL_B, EMBED = Neuron(0, 0), Neuron(0, 1), Embed()
OUT = Receiver(Logits())
CLEAN = metric(1 + 2 * R5, 2, 3 * R5)
SILENT = metric(1 + 2 * R5, 2, 0)
"""Without neuron 0's write."""


def path(sender, *receivers, through=(False, False, False)):
    hops = tuple(Hop((r,), (), own) for r, own in zip(receivers, through, strict=False))
    return PatchPath((sender,), hops, Direction.NOISING)


OF_CELLS = {
    "a neuron into logits": (edge(CELL_A, OUT), SILENT),
    "a neuron that is the same in both worlds": (edge(CELL_B, OUT), CLEAN),
    # The head's write turns from (1,1,0) into (0,1,1): neuron 0 reads no a, neuron 1 the same b.
    "the head into a neuron": (edge(FIRST, Receiver(CELL_A)), SILENT),
    "the head into the other": (edge(FIRST, Receiver(CELL_B)), CLEAN),
    "along a path": (path(FIRST, Receiver(CELL_A), OUT), SILENT),
    # The tokens differ at position 0 alone, so END's embedding is the same.
    "the embedding into a neuron": (edge(EMBED, Receiver(CELL_A)), CLEAN),
    "the embedding into the head": (edge(EMBED, Receiver(FIRST, Slot.V)), metric(2 * R5, 2, 1)),
    "the embedding along a path": (
        path(EMBED, Receiver(FIRST, Slot.V), Receiver(CELL_A), OUT),
        SILENT,
    ),
    "through the MLP": (edge(FIRST, OUT, through_mlps=True), metric(2 * R5, 2, 1)),
    # The embedding changes the head's write as above, and the MLP recomputes or does not.
    "along a path through the MLP": (
        path(EMBED, Receiver(FIRST, Slot.V), OUT, through=(False, True)),
        metric(2 * R5, 2, 1),
    ),
    "a path through no MLP, then a direct hop": (
        path(EMBED, Receiver(FIRST, Slot.V), OUT, through=(True, False)),
        metric(2 * R5, 2, 1 + 3 * R5),
    ),
    "the head alone": (edge(FIRST, OUT), metric(2 * R5, 2, 1 + 3 * R5)),
    "zero ablation": (AblateNodes((CELL_B,), (), Ablation.ZERO, True), metric(1, 2, 3 * R5)),
    "resample ablation": (AblateNodes((CELL_A,), (), Ablation.RESAMPLE, True), SILENT),
    "a neuron patched": (PatchActivation(Activation.POST, 0, 0, (), Direction.NOISING), SILENT),
    # On the corrupt prompt, where it is silent, it writes as on the clean one.
    "a neuron patched back": (
        PatchActivation(Activation.POST, 0, 0, (AT_END,), Direction.DENOISING),
        metric(2 * R5, 2, 1 + 3 * R5),
    ),
    "both neurons patched": (
        PatchTogether((CELL_SITE, ActivationSite(Activation.POST, 0, 1)), (), Direction.NOISING),
        SILENT,
    ),
    # All that the corrupt run has: (0,2,1) before the MLP, of which neuron 1 reads 2 r5.
    "the embedding patched": (
        PatchActivation(Activation.RESID_PRE, 0, None, (), Direction.NOISING),
        metric(2 * R5, 2, 1),
    ),
    "another embedding": (
        AblateNodes((EMBED,), (), Ablation.RESAMPLE, True),
        metric(2 * R5, 2, 1),
    ),
    "a circuit of the head and a neuron": (
        RunCircuitAlone((Kept(FIRST, ()), Kept(CELL_B, ())), False, Ablation.ZERO, True),
        SILENT,
    ),
}


@pytest.mark.parametrize("make", [ReferenceEngine, FastEngine])
@pytest.mark.parametrize("name", OF_CELLS)
def test_neurons_by_hand(cells, make, name):
    own = make(cells)
    intervention, expected = OF_CELLS[name]
    worlds = worlds_of(own)
    batch = worlds.batch
    assert float(batch.metric(worlds.clean.logits)[0]) == pytest.approx(CLEAN, abs=1e-12)
    assert measured(own, worlds, intervention) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("make", [ReferenceEngine, FastEngine])
@pytest.mark.parametrize("factor", [-1.0, 0.5, 2.0])
def test_a_steered_neuron_by_hand(cells, make, factor):
    """Neuron 0 has the activation r5 on a b and none on c b, and writes 3 c with it.

    What is added is added behind its ReLU, so it may fall below zero.
    """
    moved = 3 * R5 * factor
    expected = [metric(1 + 2 * R5, 2, 3 * R5 - moved), metric(2 * R5, 2, 1 + moved)]
    assert steered_both_ways(cells, make, CELL_SITE, factor) == pytest.approx(expected, abs=1e-12)
