"""Self-checks: all pass on sound models, and each catches the fault that it is there for."""

import pytest
import torch

from circuitlang.circuit import Direction, Head, Receiver, Slot
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.engine.self_checks import all_fired, self_checks, unchanged
from circuitlang.engine.site import Kind, Site
from circuitlang.engine.transformer import Activations, Transformer
from circuitlang.plan import Experiment, PatchEdge, Plan, experiment_id
from tests.checked_run import CheckedRun
from tests.engine_models import bench, gpt2, gpt_neo, llama, mistral, neox, qwen2, qwen3
from tests.front_end import circuit_of
from tests.sample_interventions import sample
from tests.tiny_models import circuit_text

EDGE = PatchEdge((Head(0, 1),), (Receiver(Head(2, 0), Slot.V),), (), True, Direction.NOISING)


@pytest.fixture(params=[gpt2, llama, qwen2, neox], ids=lambda f: f.__name__)
def family(request):
    return request.param


@pytest.fixture
def world():
    return bench(gpt2, seed=9)


def failed(b):
    return {check.name for check in self_checks(b.engine, b.worlds, EDGE) if not check.passed}


def test_sound_models_pass(family):
    b = bench(family, seed=4)
    checks = self_checks(b.engine, b.worlds, EDGE)
    worst = {check.name: (check.value, check.tolerance) for check in checks if not check.passed}
    assert not worst
    assert len({check.name for check in checks}) == len(checks) == 8


def test_without_an_edge_there_is_still_a_probe(world):
    assert all(check.passed for check in self_checks(world.engine, world.worlds, None))


def faulty(monkeypatch, replacement):
    """Replace `Transformer.run` by one with a fault; it is given the sound one."""
    sound = Transformer.run

    def run(self, tokens, reads=(), writes=()):
        return replacement(lambda *a: sound(self, *a), tokens, tuple(reads), tuple(writes))

    monkeypatch.setattr(Transformer, "run", run)


def test_writes_that_are_ignored(world, monkeypatch):
    faulty(monkeypatch, lambda run, tokens, reads, writes: run(tokens, reads, ()))
    assert "patching everything gives the corrupt run" in failed(world)
    assert "frozen heads did not move" in failed(world)


def test_a_freeze_that_does_not_hold(world, monkeypatch):
    def run(sound, tokens, reads, writes):
        return sound(tokens, reads, [w for w in writes if w.site != Site(Kind.Z, 1)])

    faulty(monkeypatch, run)
    assert failed(world) == {"frozen heads did not move"}


def test_a_write_at_the_wrong_position(world, monkeypatch):
    def run(sound, tokens, reads, writes):
        moved = [type(w)(w.site, w.value.roll(1, dims=1), w.mask, w.head) for w in writes]
        return sound(tokens, reads, moved)

    faulty(monkeypatch, run)
    assert "patching nothing gives the clean run" in failed(world)


def test_a_stale_cache(world, monkeypatch):
    """Activations of an earlier batch are handed out again."""
    other = bench(gpt2, seed=10)

    def run(sound, tokens, reads, writes):
        found = sound(tokens, reads, writes)
        stale = sound(other.batch.clean[: len(tokens)], reads, writes) if not writes else found
        return Activations(stale.sites, found.logits)

    faulty(monkeypatch, run)
    assert "the parts' writes sum to the residual stream" in failed(world)


def test_swapped_worlds(world):
    from dataclasses import replace

    swapped = replace(world.worlds, clean=world.worlds.corrupt, corrupt=world.worlds.clean)
    # Swapped worlds are a sound pair of worlds; what gives them away is a corrupt world that is
    # not the corrupt tokens' run.
    mixed = replace(world.worlds, corrupt=replace(world.worlds.corrupt, tokens=world.batch.clean))
    assert all(c.passed for c in self_checks(world.engine, swapped, EDGE))
    names = {c.name for c in self_checks(world.engine, mixed, EDGE) if not c.passed}
    assert "patching everything gives the corrupt run" in names


def test_heads_whose_writes_are_not_what_the_residual_receives(world, monkeypatch):
    sound = Transformer.head_write
    monkeypatch.setattr(Transformer, "head_write", lambda self, *a: 1.01 * sound(self, *a))
    assert failed(world) == {
        "the parts' writes sum to the residual stream",
        "all direct edges into logits add up to the corrupt run",
    }


def test_a_slot_computed_from_the_wrong_norm(world, monkeypatch):
    def project(self, layer, slot, residual):
        block = self.bridge.blocks[layer]
        linear = {Slot.Q: block.attn.q, Slot.K: block.attn.k, Slot.V: block.attn.v}[slot]
        flat = linear(block.ln2(residual))
        return flat.reshape(*flat.shape[:2], self.shape.heads, -1)

    monkeypatch.setattr(Transformer, "project", project)
    assert "slots computed from the residual stream are the model's" in failed(world)


def test_a_result_that_depends_on_the_batch(world, monkeypatch):
    def run(sound, tokens, reads, writes):
        found = sound(tokens, reads, writes)
        return Activations(found.sites, found.logits + 0.01 * len(tokens))

    faulty(monkeypatch, run)
    assert "batched prompts equal single prompts" in failed(world)


def test_nan_is_a_failure(world, monkeypatch):
    def run(sound, tokens, reads, writes):
        found = sound(tokens, reads, writes)
        return Activations(found.sites, torch.full_like(found.logits, float("nan")))

    faulty(monkeypatch, run)
    assert len(failed(world)) >= 4


def test_a_missed_hook_is_counted(world):
    world.model.run(world.batch.clean, (Site(Kind.Z, 0),))
    assert all_fired(world.model).passed
    world.model.missed += 1
    assert not all_fired(world.model).passed


def test_nothing_fired_is_no_proof(world):
    world.model.fired = world.model.missed = 0
    assert not all_fired(world.model).passed


def test_a_weight_that_changed_and_a_hook_that_stayed(world):
    before = world.model.fingerprint()
    assert unchanged(before, world.model.fingerprint(), world.model.attached_hooks()).passed
    with torch.no_grad():
        next(world.model.bridge.parameters()).view(-1)[0] += 1e-3
    assert not unchanged(before, world.model.fingerprint(), 0).passed
    assert not unchanged(before, before, 1).passed
    world.model.bridge.add_hook("blocks.0.attn.hook_z", lambda t, hook: None)
    assert world.model.attached_hooks() == 1


def test_post_norm_models_are_refused():
    """Gemma-2 norms what heads and MLPs write, so their outputs are not what the residual stream
    receives: the numbers would be wrong, and the checks say so."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    from tests.engine_models import VOCABULARY, _random

    def gemma2(seed):
        config = Gemma2Config(
            vocab_size=VOCABULARY, hidden_size=24, intermediate_size=20, num_hidden_layers=2,
            num_attention_heads=6, num_key_value_heads=2, head_dim=4, max_position_embeddings=16,
            bos_token_id=VOCABULARY - 1, eos_token_id=VOCABULARY - 1,
        )  # fmt: skip
        return _random(Gemma2ForCausalLM(config), seed)

    b = bench(gemma2, seed=1)
    assert "the parts' writes sum to the residual stream" in {
        c.name for c in self_checks(ReferenceEngine(b.model), b.worlds, None) if not c.passed
    }


@pytest.mark.parametrize("make", [gpt2, qwen3, mistral, neox, gpt_neo], ids=lambda f: f.__name__)
def test_a_sound_run_of_either_engine_passes(make):
    """All checks of a run over three batches, with experiments of every kind."""
    b = bench(make, seed=3)
    plan = Plan(
        circuit_of(circuit_text('"gpt2"')),
        tuple(Experiment(experiment_id(i), i) for i in sample(b.model.shape, 5, 1)[::3]),
        (),
    )
    for engine in (FastEngine, ReferenceEngine):
        checks = CheckedRun(engine(b.model, b.engine.means), plan, b.batch.pairs, 2).checks()
        assert not {c.name: (c.value, c.tolerance) for c in checks if not c.passed}
        assert len({c.name for c in checks}) == len(checks) >= 15
        assert not [c.name for c in checks if "too little" in c.detail and "alone" not in c.name]
