"""The benchmarks' own yardsticks: other ways to patch a path, and the count of operations."""

import json
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.__main__ import _NAMES, main
from benchmarks.cases import CASES
from benchmarks.comparison import Entry, Truth, compare
from benchmarks.machine import Environment
from benchmarks.method import (
    DirectPathMethod,
    LibrarySweepMethod,
    LiteralMethod,
    OneForwardMethod,
    reference_method,
)
from benchmarks.operations import (
    Sizes,
    edge_operations,
    needed_operations,
    sender_operations,
    world_operations,
)
from benchmarks.outcome import Options
from benchmarks.peak import peak_of
from benchmarks.workload import (
    SMOKE,
    Size,
    circuit_edges,
    ioi_circuit,
    random_batch,
    random_edges,
    random_transformer,
    spread,
    variant,
    z_sweep,
)
from circuitlang.circuit import AT_END, MLP, Direction, Head, Logits, Receiver, Slot
from circuitlang.plan import PatchEdge
from tests.engine_models import P0, P1, bench, gpt2, llama, neox

HERE = Environment("", 1, 1, "cpu", {}, {"any": 1.0}, SMOKE, 4)
TINY = Size(layers=4, heads=4, width=64, vocabulary=300)


def edges(b, *, through_mlps, direction=Direction.NOISING):
    """Near and far receivers, each slot, at every position and at some."""
    pairs = [(Head(0, 1), Head(1, 2)), (Head(0, 3), Head(2, 0)), (Head(1, 0), Head(2, 3))]
    return [
        PatchEdge((sender,), (Receiver(head, slot),), positions, through_mlps, direction)
        for sender, head in pairs
        for slot in Slot
        for positions in ((), (P0, P1))
    ]


@pytest.fixture(scope="module", params=[gpt2, llama, neox], ids=["gpt2", "llama-gqa", "neox"])
def world(request):
    return bench(request.param, seed=2)


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("through_mlps", [False, True])
def test_the_baselines_are_the_reference(world, through_mlps, direction):
    chosen = edges(world, through_mlps=through_mlps, direction=direction)
    expected = world.engine.answers(chosen, world.worlds)
    moved = expected - world.engine.logits(
        replace(chosen[0], senders=()), world.worlds
    ).gather(1, world.batch.answers)  # fmt: skip
    assert (moved.abs().amax(dim=(1, 2)) > 1e-3).sum() > len(chosen) // 2
    for method in (
        LiteralMethod(world.model, world.batch, share_worlds=False),
        LiteralMethod(world.model, world.batch, share_worlds=True),
        OneForwardMethod(world.model, world.batch),
    ):
        method.prepare(chosen)
        found = method.values(chosen)
        assert float((found - expected).abs().max()) < 1e-9, method.name


def test_the_passes_of_the_baselines(world):
    chosen = edges(world, through_mlps=True)
    wanted = {"literal, four passes": 4, "literal, worlds shared": 2, "one forward an edge": 1}
    for method in (
        LiteralMethod(world.model, world.batch, share_worlds=False),
        LiteralMethod(world.model, world.batch, share_worlds=True),
        OneForwardMethod(world.model, world.batch),
    ):
        method.prepare(chosen)
        before = method.forwards
        method.values(chosen)
        assert method.forwards - before == wanted[method.name] * len(chosen)


@pytest.mark.parametrize("direction", list(Direction))
def test_the_librarys_edges_are_the_reference(direction):
    """Its table is float32, whatever the model is."""
    b = bench(gpt2, seed=2)
    chosen = [e for e in edges(b, through_mlps=False, direction=direction) if not e.positions]
    assert DirectPathMethod.fits(chosen)
    method = DirectPathMethod(b.model, b.batch)
    method.prepare(chosen)
    expected = b.batch.metric_of(b.engine.answers(chosen, b.worlds)).mean(dim=1)
    assert float((method.values(chosen) - expected).abs().max()) < 1e-5
    assert method.measured == 3 * (8 + 8 + 4)  # three slots; every later head of each sender


def test_what_the_librarys_function_cannot_do():
    edge = PatchEdge(
        (Head(0, 0),), (Receiver(Head(1, 0), Slot.Q),), (), False, Direction.NOISING
    )  # fmt: skip
    assert not DirectPathMethod.fits([replace(edge, through_mlps=True)])
    assert not DirectPathMethod.fits([replace(edge, positions=(AT_END,))])


@pytest.mark.parametrize("places", ["all", "end", "each"])
def test_the_librarys_sweeps_are_plain_hooks(places):
    b = bench(gpt2, seed=2)
    sweep = z_sweep(Size(layers=3, heads=4), places, b.batch.clean.shape[1])
    chosen = [sweep[i] for i in spread(len(sweep), 12)]
    plain = OneForwardMethod(b.model, b.batch, sweep=True)
    library = LibrarySweepMethod(b.model, b.batch, every_position=places == "all")
    for method in (plain, library):
        method.prepare(chosen)
    expected = b.batch.metric_of(plain.values(chosen))
    assert float((library.values(chosen) - expected).abs().max()) < 1e-5


@pytest.mark.parametrize("make", [gpt2, llama], ids=["gpt2", "llama-gqa"])
def test_the_count_of_a_block(make):
    """A whole pass is every block over every token, and END unembedded."""
    b = bench(make)
    with FlopCounterMode(display=False) as counter:
        b.model.run(b.batch.clean)
    counted = counter.get_total_flops()
    expected = world_operations(Sizes.of(b.model), b.batch)
    # Rotary angles are a small product of their own.
    assert counted == pytest.approx(expected, rel=0.0 if make is gpt2 else 0.02)


def test_the_count_of_an_edge_by_hand():
    """Three layers, width 8, two heads of 4, hidden 32, 10 tokens of which 4 from the first."""
    sizes = Sizes(3, 8, 2, 2, 4, 32, 100)
    mlp, query, keys_and_values, attention = 2 * 2 * 8 * 32, 2 * 8 * 8, 4 * 8 * 8, 4 * 10 * 8
    receiver = 2 * 8 * 4 * 1 + 4 * (4 * 10 * 4 + 2 * 4 * 8)
    last = 4 * keys_and_values + 2 * query + attention + mlp
    block = 4 * (keys_and_values + 2 * query + attention + mlp)

    def count(layer):
        target = Receiver(Head(layer, 0), Slot.Q)
        edge = PatchEdge((Head(0, 0),), (target,), (AT_END,), False, Direction.NOISING)
        return edge_operations(sizes, edge, tokens=10, first=6, places=1)

    assert count(1) == 32 + receiver + 4 * mlp + last
    assert count(0) == 32 + receiver + 4 * mlp + block + last
    at_end = 2 * 8 * 4 * 1 + 4 * 10 * 4 + 2 * 4 * 8
    assert count(2) == 32 + at_end + mlp
    into_logits = PatchEdge((Head(0, 0),), (Receiver(Logits()),), (), True, Direction.NOISING)
    assert edge_operations(sizes, into_logits, 10, 0, 10) == 32
    # The sender's write, then the MLPs of layers 0, 1, 2; in parallel blocks not its own layer's.
    assert sender_operations(sizes, Head(0, 0), 3, True, 2) == 2 * (2 * 4 * 8 + 3 * mlp)
    parallel = replace(sizes, parallel=True)
    assert sender_operations(parallel, Head(0, 0), 3, True, 2) == 2 * (2 * 4 * 8 + 2 * mlp)
    assert sender_operations(sizes, MLP(1), 3, True, 2) == 2 * mlp
    assert sender_operations(sizes, Head(0, 0), 3, False, 2) == 2 * 2 * 4 * 8


@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("through_mlps", [True, False])
def test_the_fast_engine_does_what_the_count_says(through_mlps, everywhere):
    fast = pytest.importorskip("circuitlang.engine.fast")
    model = random_transformer(TINY)
    batch = random_batch(TINY.vocabulary, 4, 12)
    positions = () if everywhere else (AT_END,)
    chosen = [
        PatchEdge((Head(0, h),), (Receiver(Head(layer, h), slot),), positions, through_mlps,
                  Direction.NOISING)
        for layer in (1, 2, 3) for h in range(4) for slot in Slot
    ]  # fmt: skip
    engine = fast.FastEngine(model)
    worlds = engine.worlds(batch)
    with FlopCounterMode(display=False) as counter:
        engine.answers(chosen, worlds)
    counted = counter.get_total_flops()
    assert counted == pytest.approx(needed_operations(Sizes.of(model), chosen, batch), rel=0.05)


def test_the_edges_of_the_circuit():
    """13 heads send into heads; every one goes into every slot that the file names behind it."""
    circuit = ioi_circuit()
    found = circuit_edges(circuit)
    assert len(found) == 229 == len(set(found))
    assert len({e.senders for e in found}) == 13
    assert {e.receivers[0].slot for e in found} == set(Slot)
    assert all(e.senders[0].layer < e.receivers[0].component.layer for e in found)
    assert {len(e.positions) for e in found} == {1}
    everywhere = variant(found, through_mlps=True, everywhere=True)
    assert len(everywhere) == len(found)
    inside = {c for role in circuit.roles for c in role.components}
    others = random_edges(circuit, 12, 100)
    assert len(others) == len(set(others)) > 100
    assert not {e.senders[0] for e in others} & inside


class Wrong(LiteralMethod):
    """Answers that are off by a little, for one experiment."""

    def values(self, experiments):
        found = super().values(experiments)
        found[-1, 0, 0] += 1e-3
        return found


@pytest.mark.parametrize("kind", [LiteralMethod, Wrong])
def test_a_wrong_value_fails_its_case(kind):
    b = bench(gpt2, seed=2)
    chosen = edges(b, through_mlps=False)
    base = b.worlds.clean.logits.gather(1, b.batch.answers)
    truth = Truth(reference_method(b.model, b.batch), chosen, b.batch, base)
    entry = Entry(kind(b.model, b.batch, share_worlds=True), tuple(range(len(chosen))))
    section = compare("x", chosen, [entry], truth, Options(repeats=1), HERE)
    assert section.agrees is (kind is LiteralMethod)
    assert ("FAILED" in section.text) is (kind is Wrong)


def test_values_that_are_not_numbers_fail():
    b = bench(gpt2, seed=2)
    chosen = edges(b, through_mlps=False)[:2]

    class Nothing(LiteralMethod):
        def values(self, experiments):
            return super().values(experiments) * float("nan")

    base = b.worlds.clean.logits.gather(1, b.batch.answers)
    truth = Truth(reference_method(b.model, b.batch), chosen, b.batch, base)
    entry = Entry(Nothing(b.model, b.batch, share_worlds=True), (0, 1))
    assert not compare("x", chosen, [entry], truth, Options(repeats=1), HERE).agrees


@pytest.mark.parametrize("mebibytes", [64, 256])
def test_the_peak_is_that_of_the_work(mebibytes):
    """Memory that is given back before the end counts; memory held before does not."""
    held = torch.ones(100 << 18)

    def work():
        torch.ones(mebibytes << 18)
        return torch.ones(1 << 18)

    found = peak_of(work)
    if found is None:
        pytest.skip("this system does not tell its memory")
    assert found[1] == pytest.approx(mebibytes, abs=12)
    assert held.sum() == 100 << 18


def test_the_command(tmp_path, capsys):
    assert tuple(CASES) == _NAMES
    path = tmp_path / "found.json"
    assert main(["sweep", "ioi_file", "smollm2", "--quick", "--json", str(path)]) == 0
    said = capsys.readouterr().out
    assert "all values agree" in said
    assert "sampled" in said
    found = json.loads(path.read_text())
    assert [case["case"] for case in found["cases"]] == ["sweep", "ioi_file", "smollm2"]
    assert found["environment"]["rate"] > 0
