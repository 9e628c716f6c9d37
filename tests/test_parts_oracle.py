"""The embedding, single neurons and whole paths: either engine against the oracle.

The oracle reads plain weights and takes neurons out of their MLPs as writers and readers of their
own, which no engine does.
"""

import itertools
import random
from dataclasses import replace

import pytest
import torch

from circuitlang.circuit import (
    AT_END,
    MLP,
    Ablation,
    Direction,
    Embed,
    Head,
    Logits,
    Neuron,
    Receiver,
    Slot,
    can_feed,
)
from circuitlang.engine.errors import RunError
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.self_checks import check_neurons, neurons_add_up
from circuitlang.plan import (
    AblateNodes,
    Experiment,
    Hop,
    Kept,
    PatchEdge,
    PatchPath,
    RunCircuitAlone,
    RunWithout,
)
from tests.engine_models import P0, P1, P2, bench, gpt2, llama
from tests.oracle import path_patching as oracle
from tests.test_engine_oracle import base_and_source, gap

TOLERANCE = {gpt2: 1e-9, llama: 3e-5}
VISIBLE = 1e-4
NEURONS = [Neuron(layer, index) for layer in range(3) for index in (0, 2, 7)]
OUT = Receiver(Logits())
PLACES = ((), (P0,), (P1, P2), (AT_END,))


class World:
    """Both engines over one model, and the oracle's net with the neurons taken apart."""

    def __init__(self, make):
        self.bench = bench(make, seed=4)
        self.within = TOLERANCE[make]
        self.fast = FastEngine(self.bench.model, self.bench.engine.means)
        self.worlds = self.fast.worlds(self.bench.batch)
        plain = oracle.read(self.bench.plain)
        self.net = oracle.taken_apart(plain, [(n.layer, n.index) for n in NEURONS])
        self.whole = plain
        self.moved = []

    def check(self, intervention, expected):
        for engine, worlds in ((self.bench.engine, self.bench.worlds), (self.fast, self.worlds)):
            ours = engine.logits(intervention, worlds)
            assert gap(ours, expected[:, -1]) < self.within, (engine.name, intervention)
        direction = getattr(intervention, "direction", Direction.NOISING)
        base, _ = base_and_source(self.bench, direction)
        clean = base is self.bench.batch.clean
        logits = (self.bench.worlds.clean if clean else self.bench.worlds.corrupt).logits
        self.moved.append(gap(logits, expected[:, -1]) > VISIBLE)


@pytest.fixture(scope="module", params=[gpt2, llama], ids=["gpt2", "llama-gqa"])
def world(request):
    return World(request.param)


def node(part, slot=None):
    match part:
        case Embed():
            return oracle.Node("embed")
        case Logits():
            return oracle.Node("logits")
        case MLP(layer=layer):
            return oracle.Node("mlp", layer)
        case Neuron(layer=layer, index=index):
            return oracle.Node("neuron", layer, index)
        case Head(layer=layer, head=head):
            return oracle.Node(slot.lower() if slot else "head", layer, head)


def inside(part):
    """The oracle's nodes of a part: of an MLP its rest and the neurons taken out of it."""
    own = [n for n in NEURONS if isinstance(part, MLP) and n.layer == part.layer]
    return [node(part), *map(node, own)]


def entered(receiver):
    if isinstance(receiver.component, MLP):
        return inside(receiver.component)
    return [node(receiver.component, receiver.slot)]


def expected_edge(world, edge):
    b, net = world.bench, world.net
    base, source = base_and_source(b, edge.direction)
    mask = b.mask(*edge.positions)
    senders = [n for s in edge.senders for n in inside(s)]
    targets = [n for r in edge.receivers for n in entered(r)]
    with torch.no_grad():
        if edge.through_mlps:
            return oracle.through_mlps(net, base, source, senders, targets, mask)
        pairs = [(s, r) for s in senders for r in targets if oracle._precedes(s, r)]
        return oracle.direct(net, base, source, [(s, r, mask) for s, r in pairs])


def pairs():
    heads = [Head(layer, head) for layer in range(3) for head in range(4)]
    slots = [Receiver(head, slot) for head in heads for slot in Slot]
    every = [*slots, *(Receiver(n) for n in NEURONS), *(Receiver(MLP(x)) for x in range(3)), OUT]
    special = [Embed(), *NEURONS]
    found = [(s, r) for s, r in itertools.product(special, every) if can_feed(s, r)]
    found += [(h, Receiver(n)) for h in heads for n in NEURONS if can_feed(h, Receiver(n))]
    return found


def test_single_edges(world):
    draw = random.Random(0)
    into_slots = [pair for pair in pairs() if pair[1].slot]
    others = [pair for pair in pairs() if not pair[1].slot]
    chosen = [*draw.sample(into_slots, 12), *draw.sample(others, 16)]
    for sender, receiver in chosen:
        place, direction = draw.choice(PLACES), draw.choice(list(Direction))
        for through in (False, True):
            edge = PatchEdge((sender,), (receiver,), place, through, direction)
            world.check(edge, expected_edge(world, edge))
    assert sum(world.moved) > len(world.moved) / 2


GROUPS = {
    "embedding and neurons into slots of two layers": (
        (Embed(), Neuron(0, 2), Neuron(0, 7), Head(0, 1)),
        (Receiver(Head(1, 0), Slot.V), Receiver(Head(2, 3), Slot.V)),
    ),
    "into neurons of one MLP, one of which sends on": (
        (Head(0, 1), Neuron(1, 2)),
        (Receiver(Neuron(1, 2)), Receiver(Neuron(1, 7)), OUT),
    ),
    "into an MLP, a neuron of which sends on": (
        (Head(0, 1), Neuron(1, 2)),
        (Receiver(MLP(1)), Receiver(MLP(2)), OUT),
    ),
    "a neuron of a later MLP sends on from an entered one": (
        (Head(0, 1), Neuron(2, 7)),
        (Receiver(Head(1, 1), Slot.V), Receiver(MLP(2)), OUT),
    ),
    "neurons after heads": (
        (Head(0, 1), Neuron(1, 0)),
        (Receiver(Head(1, 1), Slot.Q), Receiver(Neuron(1, 0)), Receiver(Neuron(2, 0)), OUT),
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_group_edges(world, name):
    """A receiver's change alters a later sender: what it writes in this run is subtracted."""
    senders, receivers = GROUPS[name]
    for place in ((), (P1, AT_END)):
        edge = PatchEdge(senders, receivers, place, False, Direction.NOISING)
        world.check(edge, expected_edge(world, edge))
        if OUT not in receivers:
            edge = PatchEdge(senders, receivers, place, True, Direction.NOISING)
            world.check(edge, expected_edge(world, edge))
        assert world.moved[-1]


def test_a_sending_neuron_of_an_mlp_that_recomputes(world):
    """`~>`: the neuron takes the other world's activation, the rest of its MLP recomputes."""
    for receiver in (OUT, Receiver(Neuron(2, 2)), Receiver(Head(2, 0), Slot.K)):
        edge = PatchEdge((Head(0, 0), Neuron(1, 2)), (receiver,), (), True, Direction.NOISING)
        world.check(edge, expected_edge(world, edge))
        assert world.moved[-1]


def into(layer, head, slot):
    return Receiver(Head(layer, head), Slot(slot))


PATHS = [
    (Embed(), (into(0, 2, "V"), ()), (into(1, 1, "K"), (P1,)), (OUT, ())),
    (Head(0, 1), (Receiver(Neuron(1, 2)), (AT_END,)), (OUT, (AT_END,))),
    (Neuron(0, 7), (into(1, 3, "V"), (P0,)), (into(2, 0, "Q"), (AT_END,))),
    (Embed(), (Receiver(Neuron(0, 0)), ()), (Receiver(Neuron(2, 7)), ()), (OUT, ())),
    (MLP(0), (into(1, 1, "V"), (P0,)), (Receiver(MLP(1)), ()), (OUT, ())),
]


THROUGH = [(False,) * 3, (True,) * 3, (True, False, True), (False, True, False)]


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("path", PATHS)
def test_paths(world, path, direction, through):
    start, *hops = path
    hops = [(*hop, own) for hop, own in zip(hops, through, strict=False)]
    patch = PatchPath((start,), tuple(Hop((r,), where, own) for r, where, own in hops), direction)
    base, source = base_and_source(world.bench, direction)
    # An MLP of a path is the whole of it.
    parts = [start, *(receiver.component for receiver, _, _ in hops)]
    net = world.whole if any(isinstance(part, MLP) for part in parts) else world.net
    marked = [(node(r.component, r.slot), world.bench.mask(*where), own) for r, where, own in hops]
    with torch.no_grad():
        groups = [([reader], mask, own) for reader, mask, own in marked]
        theirs = oracle.nested_groups(net, base, source, [node(start)], groups)
        world.check(patch, theirs)
        if not any(through):
            pairs = [(reader, mask) for reader, mask, _ in marked]
            world.check(patch, oracle.nested(net, base, source, node(start), pairs))
    assert world.moved[-1]


def ablated(world, sites, how):
    b, groups = world.bench, torch.tensor(world.bench.batch.templates)
    nodes = {n: b.mask(*place) for part, place in sites for n in inside(part)}
    with torch.no_grad():
        return oracle.ablate(world.net, b.batch.clean, nodes, how, b.batch.corrupt, groups)


@pytest.mark.parametrize("how", list(Ablation))
def test_ablations(world, how):
    for parts in ((Embed(),), (Neuron(1, 2),), (Embed(), Neuron(0, 0), Head(1, 1), Neuron(2, 7))):
        for place in ((), (P1, AT_END)):
            run = AblateNodes(parts, place, how, per_template=True)
            world.check(run, ablated(world, [(part, place) for part in parts], str(how)))
            assert world.moved[-1]
    sites = ((Neuron(0, 2), (P0,)), (Head(1, 2), ()), (MLP(2), (P2,)), (Neuron(1, 0), (AT_END,)))
    removed = tuple(Kept(part, place) for part, place in sites)
    run = RunWithout(removed, (), how, per_template=True)
    world.check(run, ablated(world, sites, str(how)))
    assert world.moved[-1]


@pytest.mark.parametrize("how", list(Ablation))
def test_a_circuit_of_neurons_alone(world, how):
    """An ablated MLP keeps the neurons of the circuit; one that is kept keeps all of its own."""
    sites = [
        (Head(0, 1), ()),
        (Head(1, 2), (P1, AT_END)),
        (Neuron(0, 2), ()),
        (Neuron(0, 7), (P0, AT_END)),
        (MLP(1), (P1,)),
        (Neuron(1, 0), (P1, AT_END)),
        (Neuron(2, 7), (AT_END,)),
    ]
    run = RunCircuitAlone(
        tuple(Kept(part, place) for part, place in sites), False, how, per_template=True
    )
    b = world.bench
    kept = {}
    for part, place in sites:
        for n in inside(part):
            kept[n] = kept.get(n, torch.zeros_like(b.mask())) | b.mask(*place)
    groups = torch.tensor(b.batch.templates)
    with torch.no_grad():
        theirs = oracle.circuit_alone(
            world.net, b.batch.clean, kept, str(how), b.batch.corrupt, groups
        )
    world.check(run, theirs)
    # Without the neurons it would be another run.
    rest = {n: mask for n, mask in kept.items() if n.kind != "neuron"}
    with torch.no_grad():
        less = oracle.circuit_alone(
            world.net, b.batch.clean, rest, str(how), b.batch.corrupt, groups
        )
    assert gap(less[:, -1], theirs[:, -1]) > VISIBLE


def test_folded_weights_change_no_effect_of_the_embedding():
    """Folding and centring move no sum: what the embedding and a neuron do is the same."""
    plain, folded = bench(gpt2, seed=4), bench(gpt2, seed=4, folded=True)
    for sender in (Embed(), Neuron(0, 2)):
        edge = PatchEdge((sender,), (Receiver(Head(1, 1), Slot.V),), (), False, Direction.NOISING)
        effects = [
            b.batch.metric(b.engine.logits(edge, b.worlds)) - b.batch.metric(b.worlds.clean.logits)
            for b in (plain, folded)
        ]
        assert float(effects[0].abs().max()) > VISIBLE
        assert gap(*effects) < 1e-6


def test_passes_of_neurons_are_counted(world):
    engine, model = world.bench.engine, world.bench.model
    alone = (Kept(Neuron(0, 2), ()), Kept(Neuron(2, 7), ()), Kept(Neuron(2, 2), ()))
    runs = [
        PatchEdge((Neuron(0, 2),), (OUT,), (), False, Direction.NOISING),
        PatchEdge((Neuron(0, 2),), (Receiver(Neuron(1, 2)),), (), True, Direction.NOISING),
        PatchEdge((Head(0, 2),), (Receiver(Neuron(1, 2)), OUT), (), False, Direction.NOISING),
        PatchEdge((Embed(),), (Receiver(Head(0, 0), Slot.Q),), (), False, Direction.NOISING),
        *(
            PatchPath((Neuron(0, 2),), (Hop((Receiver(Neuron(1, 2)),), (), through),
                                        Hop((OUT,), (), through)), Direction.NOISING)
            for through in (False, True)
        ),
        *(AblateNodes((Neuron(0, 2), Embed()), (), how, True) for how in Ablation),
        *(RunWithout((Kept(Neuron(1, 2), ()),), (), how, True) for how in Ablation),
        *(RunCircuitAlone(alone, False, how, True) for how in Ablation),
        RunCircuitAlone(alone, True, Ablation.RESAMPLE, True),
    ]  # fmt: skip
    for run in runs:
        before = model.passes
        engine.logits(run, world.bench.worlds)
        assert model.passes - before == Experiment("", run).forward_passes, run


def test_the_check_of_neurons_and_faults_that_it_finds(world, monkeypatch):
    b = world.bench
    assert neurons_add_up(b.model, b.worlds, (0, 2)).passed
    right = type(b.model).neuron_write

    def other_row(self, layer, neuron, activation):
        return right(self, layer, (neuron + 1) % self.mlp_width(layer), activation)

    monkeypatch.setattr(type(b.model), "neuron_write", other_row)
    assert not neurons_add_up(b.model, b.worlds, (0, 2)).passed
    monkeypatch.undo()
    exchanged = replace(b.worlds, corrupt=b.worlds.clean)
    assert "too little to tell a fault" in neurons_add_up(b.model, exchanged, (1,)).detail


def test_mlps_without_single_neurons_are_refused(world, monkeypatch):
    bridge = world.bench.model.bridge
    hooks = {k: v for k, v in bridge.hook_dict.items() if k != "blocks.1.mlp.out.hook_in"}
    check_neurons(world.bench.model, (0, 1, 2))
    monkeypatch.setattr(type(bridge), "hook_dict", hooks)
    check_neurons(world.bench.model, (0, 2))
    with pytest.raises(RunError, match="the MLP of layer 1 is built in a way in which single"):
        check_neurons(world.bench.model, (0, 1))
