"""The reference engine against an implementation that shares nothing with it.

The oracle (tests/oracle) reads a plain model's weights and computes every experiment with a forward
pass of its own. Both run in float64, so agreement is to 1e-9 of logits that are of order 1.
"""

import itertools
import random
from dataclasses import replace

import pytest
import torch

from circuitlang.circuit import MLP, Ablation, Direction, Head, Logits, Receiver, Slot, can_feed
from circuitlang.plan import (
    AblateNodes,
    Hop,
    Kept,
    PatchEdge,
    PatchPath,
    RunCircuitAlone,
    RunWithout,
)
from tests.engine_models import P0, P1, P2, Bench, bench, gpt2, llama
from tests.oracle import path_patching as oracle

TOLERANCE = {gpt2: 1e-9, llama: 3e-5}
VISIBLE = 1e-3


@pytest.fixture(scope="module", params=[gpt2, llama], ids=["gpt2", "llama-gqa"])
def make(request):
    return request.param


@pytest.fixture(scope="module")
def world(make):
    return bench(make, seed=3)


@pytest.fixture(scope="module")
def tolerance(make):
    return TOLERANCE[make]


def node(component, slot=None):
    if isinstance(component, Logits):
        return oracle.Node("logits")
    if isinstance(component, MLP):
        return oracle.Node("mlp", component.layer)
    return oracle.Node(slot.lower() if slot else "head", component.layer, component.head)


def components(b: Bench):
    shape = b.model.shape
    heads = [Head(x, h) for x in range(shape.layers) for h in range(shape.heads)]
    return [*heads, *(MLP(x) for x in range(shape.layers))]


def receivers(b: Bench):
    for component in components(b):
        if isinstance(component, MLP):
            yield Receiver(component)
        else:
            yield from (Receiver(component, slot) for slot in Slot)
    yield Receiver(Logits())


def base_and_source(b: Bench, direction):
    pair = (b.batch.clean, b.batch.corrupt)
    return pair if direction is Direction.NOISING else pair[::-1]


def expected(b: Bench, edge: PatchEdge):
    net = oracle.read(b.plain)
    base, source = base_and_source(b, edge.direction)
    mask = b.mask(*edge.positions)
    senders = [node(s) for s in edge.senders]
    targets = [node(r.component, r.slot) for r in edge.receivers]
    with torch.no_grad():
        if edge.through_mlps:
            return oracle.through_mlps(net, base, source, senders, targets, mask)[:, -1]
        edges = [(s, r, mask) for s in senders for r in targets]
        return oracle.direct(net, base, source, edges)[:, -1]


def gap(one, other):
    return float((one - other).abs().max())


def sample_edges(b: Bench, count: int):
    """Pairs of every kind of sender and receiver, slots, positions, directions; seeded."""
    pairs = [(s, r) for s, r in itertools.product(components(b), receivers(b)) if can_feed(s, r)]
    chosen = random.Random(0).sample(pairs, count)
    positions = itertools.cycle([(), (P0,), (P1, P2)])
    directions = itertools.cycle(Direction)
    for (sender, receiver), place, direction in zip(chosen, positions, directions, strict=False):
        for through in (False, True):
            yield PatchEdge((sender,), (receiver,), place, through, direction)


def test_plain_runs_agree(world, tolerance):
    net = oracle.read(world.plain)
    with torch.no_grad():
        theirs = oracle.run(net, world.batch.clean).logits[:, -1]
    assert gap(world.worlds.clean.logits, theirs) < tolerance


def test_single_edges(world, tolerance):
    moved = 0
    for edge in sample_edges(world, 40):
        ours = world.engine.logits(edge, world.worlds)
        assert gap(ours, expected(world, edge)) < tolerance, edge
        base = world.worlds.clean if edge.direction is Direction.NOISING else world.worlds.corrupt
        moved += gap(ours, base.logits) > VISIBLE
    # Most sampled edges must do something, or agreement would mean little. An edge whose position
    # cannot reach END through the sampled receiver is exactly zero and may stand among them.
    assert moved > 40


@pytest.mark.parametrize("through_mlps", [False, True])
@pytest.mark.parametrize("slot", list(Slot))
def test_group_edges(world, tolerance, slot, through_mlps):
    """Several senders and receivers at once, receivers in more than one layer: a receiver's change
    alters a later sender, so the current run's output must be subtracted, not a cached one."""
    senders = (Head(0, 1), Head(0, 3), MLP(0))
    targets = (Receiver(Head(1, 0), slot), Receiver(Head(1, 3), slot), Receiver(Head(2, 2), slot))
    edge = PatchEdge(senders, targets, (P0, P1), through_mlps, Direction.NOISING)
    assert gap(world.engine.logits(edge, world.worlds), expected(world, edge)) < tolerance


def test_a_sender_downstream_of_a_receiver(world, tolerance):
    """L0.H1 -> L1.H0.V and L1.H0 -> logits at once: the second edge carries only what the first
    did not change already."""
    edge = PatchEdge(
        (Head(0, 1), Head(1, 0)),
        (Receiver(Head(1, 0), Slot.V), Receiver(Logits())),
        (),
        False,
        Direction.NOISING,
    )
    net = oracle.read(world.plain)
    mask = world.mask()
    edges = [
        (node(Head(0, 1)), node(Head(1, 0), Slot.V), mask),
        (node(Head(0, 1)), node(Logits()), mask),
        (node(Head(1, 0)), node(Logits()), mask),
    ]
    with torch.no_grad():
        theirs = oracle.direct(net, world.batch.clean, world.batch.corrupt, edges)[:, -1]
    assert gap(world.engine.logits(edge, world.worlds), theirs) < tolerance


def sample_paths(b: Bench, count: int):
    """Chains of one receiver a hop, of one to four hops, other positions at each; seeded."""
    choose = random.Random(1)
    inputs = list(receivers(b))
    places = [(), (P0,), (P1, P2), (P0, P2)]
    directions = itertools.cycle(Direction)
    for direction in itertools.islice(directions, count):
        start = sender = choose.choice([c for c in components(b) if c.layer == 0])
        hops: list[Hop] = []
        for _ in range(choose.randint(1, 4)):
            feeds = [r for r in inputs if can_feed(sender, r)]
            receiver = choose.choice(feeds)
            hops.append(Hop((receiver,), choose.choice(places)))
            if isinstance(receiver.component, Logits):
                break
            sender = receiver.component
        yield PatchPath((start,), tuple(hops), direction)


def test_paths(world, tolerance):
    """Each hop's change, at each hop's positions, in both directions, against `oracle.nested`."""
    net, moved, longest = oracle.read(world.plain), 0, 0
    for path in sample_paths(world, 60):
        base, source = base_and_source(world, path.direction)
        hops = [
            (node(r.component, r.slot), world.mask(*hop.positions))
            for hop in path.hops
            for r in hop.receivers
        ]
        with torch.no_grad():
            theirs = oracle.nested(net, base, source, node(path.senders[0]), hops)[:, -1]
        ours = world.engine.logits(path, world.worlds)
        assert gap(ours, theirs) < tolerance, path
        undisturbed = base_logits(world, path.direction)
        moved += gap(ours, undisturbed) > VISIBLE
        longest = max(longest, len(hops))
    assert moved > 15
    assert longest >= 3


def test_paths_through_mlps(world, tolerance):
    """Hops of either sort in one path, single receivers at positions of their own."""
    net, choose, kinds, moved = oracle.read(world.plain), random.Random(2), set(), 0
    for direct in sample_paths(world, 60):
        hops = tuple(replace(hop, through_mlps=choose.random() < 0.6) for hop in direct.hops)
        path = replace(direct, hops=hops)
        base, source = base_and_source(world, path.direction)
        marked = [
            ([node(r.component, r.slot)], world.mask(*h.positions), h.through_mlps)
            for h in hops
            for r in h.receivers
        ]
        with torch.no_grad():
            start = [node(path.senders[0])]
            theirs = oracle.nested_groups(net, base, source, start, marked)[:, -1]
        ours = world.engine.logits(path, world.worlds)
        assert gap(ours, theirs) < tolerance, path
        kinds.add(tuple(hop.through_mlps for hop in hops[:2]))
        moved += gap(ours, world.engine.logits(direct, world.worlds)) > VISIBLE
    assert kinds >= set(itertools.product((False, True), repeat=2))
    assert moved > 5  # MLPs on the way matter; many paths do not reach END at all


def base_logits(b: Bench, direction):
    return (b.worlds.clean if direction is Direction.NOISING else b.worlds.corrupt).logits


def hop(*targets, at=()):
    return Hop(tuple(targets), at)


L0, L1, L2 = Head(0, 1), Head(1, 2), Head(2, 3)
OUT = Receiver(Logits())
PATHS_OF_GROUPS = {
    "several slots of one head": (
        (L0,),
        hop(*(Receiver(L1, slot) for slot in Slot)),
        hop(Receiver(L2, Slot.Q), Receiver(L2, Slot.V)),
    ),
    "two heads of a layer into logits": (
        (L0, Head(0, 3)),
        hop(Receiver(L1, Slot.V), Receiver(Head(1, 0), Slot.Q), at=(P1, P2)),
        hop(OUT),
    ),
    "receivers of a hop do not see each other": (
        (L0, MLP(0)),
        hop(Receiver(Head(1, 0), Slot.V), Receiver(MLP(1)), Receiver(L2, Slot.V), at=(P0, P1)),
        hop(OUT, Receiver(MLP(2))),
    ),
    "a sender above one of the receivers reaches only the other": (
        (L0, L1),
        hop(Receiver(Head(1, 0), Slot.K), Receiver(Head(2, 1), Slot.K), at=(P0,)),
        hop(Receiver(MLP(2)), OUT),
    ),
    "last receivers in two layers": (
        (L0,),
        hop(Receiver(MLP(0))),
        hop(Receiver(Head(1, 1), Slot.V), Receiver(Head(2, 1), Slot.K), at=(P0, P2)),
    ),
}


THROUGH = {"->": (False,) * 3, "~>": (True,) * 3, "~> ->": (True, False), "-> ~>": (False, True)}
"""Which hops go through MLPs."""


@pytest.mark.parametrize("arrows", THROUGH)
@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("name", PATHS_OF_GROUPS)
def test_paths_of_groups(world, tolerance, name, direction, arrows):
    senders, *hops = PATHS_OF_GROUPS[name]
    hops = [
        replace(hop, through_mlps=through)
        for hop, through in zip(hops, THROUGH[arrows], strict=False)
    ]
    path = PatchPath(senders, tuple(hops), direction)
    base, source = base_and_source(world, direction)
    groups = [
        ([node(r.component, r.slot) for r in h.receivers], world.mask(*h.positions), h.through_mlps)
        for h in hops
    ]
    with torch.no_grad():
        theirs = oracle.nested_groups(
            oracle.read(world.plain), base, source, [node(s) for s in senders], groups
        )[:, -1]
    ours = world.engine.logits(path, world.worlds)
    assert gap(ours, theirs) < tolerance
    assert gap(ours, base_logits(world, direction)) > VISIBLE


def test_a_path_ends_at_the_logits_and_has_a_hop(world):
    for hops in ((), (hop(OUT), hop(Receiver(MLP(2))))):
        path = PatchPath((L0,), hops, Direction.NOISING)
        with pytest.raises(ValueError, match="a path"):
            world.engine.logits(path, world.worlds)


@pytest.mark.parametrize("reference", list(Ablation))
def test_ablations(world, tolerance, reference):
    parts = (Head(0, 2), Head(2, 1), MLP(1))
    run = AblateNodes(parts, (P1,), reference, per_template=True)
    net = oracle.read(world.plain)
    sites = {node(part): world.mask(P1) for part in parts}
    groups = torch.tensor(world.batch.templates)
    with torch.no_grad():
        theirs = oracle.ablate(
            net, world.batch.clean, sites, str(reference), world.batch.corrupt, groups
        )[:, -1]
    assert gap(world.engine.logits(run, world.worlds), theirs) < tolerance
    assert gap(theirs, world.worlds.clean.logits) > VISIBLE


@pytest.mark.parametrize("keep_mlps", [True, False])
@pytest.mark.parametrize("reference", list(Ablation))
def test_circuit_alone(world, tolerance, reference, keep_mlps):
    kept = [Kept(Head(0, 1), (P0,)), Kept(Head(0, 1), (P2,)), Kept(Head(2, 0), ())]
    circuit = {node(Head(0, 1)): world.mask(P0, P2), node(Head(2, 0)): world.mask()}
    if not keep_mlps:
        kept.append(Kept(MLP(1), (P1,)))
        circuit[node(MLP(1))] = world.mask(P1)
    run = RunCircuitAlone(tuple(kept), keep_mlps, reference, per_template=True)
    groups = torch.tensor(world.batch.templates)
    with torch.no_grad():
        theirs = oracle.circuit_alone(
            oracle.read(world.plain), world.batch.clean, circuit, str(reference),
            world.batch.corrupt, groups,
        )[:, -1]  # fmt: skip
    assert gap(world.engine.logits(run, world.worlds), theirs) < tolerance


@pytest.mark.parametrize("reference", list(Ablation))
def test_removed_components_have_positions_of_their_own(world, tolerance, reference):
    removed = [Kept(Head(0, 1), ()), Kept(Head(1, 2), (P0,)), Kept(Head(1, 2), (P2,))]
    removed.append(Kept(MLP(1), (P1,)))
    spared = (Kept(Head(0, 1), (P1,)), Kept(Head(2, 2), ()), Kept(Head(1, 2), (P0,)))
    run = RunWithout(tuple(removed), spared, reference, per_template=True)
    sites = {
        node(Head(0, 1)): ~world.mask(P1),
        node(Head(1, 2)): world.mask(P2),
        node(MLP(1)): world.mask(P1),
    }
    groups = torch.tensor(world.batch.templates)
    with torch.no_grad():
        theirs = oracle.ablate(
            oracle.read(world.plain), world.batch.clean, sites, str(reference),
            world.batch.corrupt, groups,
        )[:, -1]  # fmt: skip
    assert gap(world.engine.logits(run, world.worlds), theirs) < tolerance
    assert gap(theirs, world.worlds.clean.logits) > VISIBLE


def test_removing_all_but_the_circuit_is_the_circuit_alone(world, tolerance):
    kept = (Kept(Head(0, 1), (P0,)), Kept(Head(2, 0), ()), Kept(MLP(1), (P1,)))
    every = tuple(Kept(component, ()) for component in components(world))
    for reference in Ablation:
        without = RunWithout(every, kept, reference, per_template=True)
        alone = RunCircuitAlone(kept, False, reference, per_template=True)
        ours, theirs = (world.engine.logits(run, world.worlds) for run in (without, alone))
        assert gap(ours, theirs) < tolerance


def test_removing_nothing_is_refused():
    with pytest.raises(ValueError, match="nothing is removed"):
        RunWithout((), (), Ablation.ZERO, per_template=True)


def test_grouped_query_slots_belong_to_the_group():
    """Every query head of a group names the same K and V receiver, and heads of other groups do
    not."""
    b = bench(llama, seed=5)
    for slot in (Slot.K, Slot.V):

        def patched(head, slot=slot):
            edge = PatchEdge(
                (Head(0, 0),), (Receiver(Head(1, head), slot),), (), False, Direction.NOISING
            )
            return b.engine.logits(edge, b.worlds)

        same = [gap(patched(0), patched(head)) for head in (1, 2)]
        assert max(same) == 0.0
        assert gap(patched(0), patched(3)) > 1e-6
