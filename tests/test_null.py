"""Random edges: matched to their edge, outside the circuit, all of them possible and none twice."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations
from math import comb

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from circuitlang.circuit import (
    END,
    MLP,
    Direction,
    Head,
    Logits,
    Position,
    Receiver,
    Slot,
    can_feed,
)
from circuitlang.models import ModelShape
from circuitlang.plan import (
    PatchEdge,
    Plan,
    Use,
    compile_plan,
    draw_random_edges,
    experiment_id,
    heads_of,
)
from tests.front_end import ROOT, circuit_of

LOGITS = Receiver(Logits())
SHAPE = ModelShape(4, 12, 12)


def edge_of(*senders, receivers=(LOGITS,)):
    return PatchEdge(tuple(senders), receivers, (Position(END),), True, Direction.NOISING)


def drawn(edge, circuit_heads=(), shape=SHAPE, count=100, seed=0):
    return draw_random_edges(edge, frozenset(circuit_heads), shape, count, seed)


@st.composite
def cases(draw):
    """An edge with at least one forward pair, a shape and a circuit, all small."""
    shape = ModelShape(3, draw(st.integers(1, 5)), 1, parallel=draw(st.booleans()))
    heads = [Head(layer, head) for layer in range(3) for head in range(shape.heads)]
    parts = [*heads, *map(MLP, range(3))]
    inputs = [LOGITS, *map(Receiver, map(MLP, range(3)))]
    inputs += [Receiver(head, draw(st.sampled_from(Slot))) for head in heads]
    senders = draw(st.lists(st.sampled_from(parts), min_size=1, max_size=5, unique=True))
    receivers = draw(st.lists(st.sampled_from(inputs), min_size=1, max_size=2, unique=True))
    feeds = any(can_feed(s, r, parallel=shape.parallel) for s in senders for r in receivers)
    assume(feeds)
    circuit_heads = draw(st.frozensets(st.sampled_from(heads), max_size=4))
    return edge_of(*senders, receivers=tuple(receivers)), circuit_heads, shape


def every_random_edge(edge, circuit_heads, shape):
    """Their sets of senders, by trying all sets of heads there are."""
    alive = {
        sender
        for sender in edge.senders
        if isinstance(sender, Head)
        and any(can_feed(sender, r, parallel=shape.parallel) for r in edge.receivers)
    }
    if not alive:
        return set()
    ends = {*edge.senders, *(receiver.component for receiver in edge.receivers)}
    outside = [
        head
        for layer in range(shape.layers)
        for head in (Head(layer, number) for number in range(shape.heads))
        if head not in circuit_heads and head not in ends
    ]
    layers = Counter(head.layer for head in alive)
    return {
        frozenset(heads) | (frozenset(edge.senders) - alive)
        for heads in combinations(outside, len(alive))
        if Counter(head.layer for head in heads) == layers
    }


@settings(max_examples=300, deadline=None)
@given(cases(), st.integers(1, 30), st.integers(0, 9))
def test_random_edges_are_those_that_the_definition_allows(case, count, seed):
    edge, circuit_heads, shape = case
    allowed = every_random_edge(edge, circuit_heads, shape)
    draw = drawn(edge, circuit_heads, shape, count, seed)
    senders = [frozenset(random.senders) for random in draw.edges]
    assert draw.possible == len(allowed)
    assert len(senders) == len(set(senders)) == min(count, len(allowed))
    assert set(senders) <= allowed
    assert bool(draw.missing) is (not allowed)
    for random in draw.edges:
        assert replace(random, senders=edge.senders) == edge
        assert len(random.senders) == len(edge.senders)
        assert random.senders == tuple(sorted(random.senders, key=str))
    assert drawn(edge, circuit_heads, shape, count, seed) == draw
    more = drawn(edge, circuit_heads, shape, count + 7, seed)
    assert set(draw.edges) <= set(more.edges)


def test_every_random_edge_is_equally_likely():
    edge = edge_of(Head(0, 0), Head(0, 1), Head(1, 0))
    shape = ModelShape(2, 4, 4)  # one pair is left in layer 0 of heads 2, 3; three heads in layer 1
    assert drawn(edge, shape=shape).possible == 3
    shape = ModelShape(2, 5, 5)
    found = Counter(drawn(edge, shape=shape, count=1, seed=s).edges[0] for s in range(2400))
    assert len(found) == comb(3, 2) * 4
    # Binomial(2400, 1/12): 200 with a standard deviation of 13.5.
    assert all(abs(times - 200) < 54 for times in found.values())


def test_other_seeds_and_other_edges_draw_otherwise():
    edge = edge_of(Head(0, 0), Head(1, 0), Head(2, 0))
    turned = replace(edge, through_mlps=False)
    same = drawn(edge).edges
    assert set(same) != set(drawn(edge, seed=1).edges)
    assert {e.senders for e in same} != {e.senders for e in drawn(turned).edges}


def test_a_draw_does_not_change_between_versions():
    edge = edge_of(Head(0, 0), Head(1, 0))
    shown = [" ".join(map(str, e.senders)) for e in drawn(edge, count=4).edges]
    assert shown == PINNED


PINNED = ["L0.H6 L1.H9", "L0.H3 L1.H3", "L0.H9 L1.H4", "L0.H2 L1.H8"]


def test_a_huge_number_of_random_edges_is_counted_and_not_listed():
    heads = [Head(layer, number) for layer in range(40) for number in range(20)]
    draw = drawn(edge_of(*heads), shape=ModelShape(40, 40, 40), count=3)
    assert draw.possible == comb(20, 20) ** 40 == 1
    draw = drawn(edge_of(*heads), shape=ModelShape(40, 60, 60), count=3)
    assert draw.possible == comb(40, 20) ** 40
    assert len(set(draw.edges)) == 3
    draw = drawn(edge_of(Head(0, 0)), shape=ModelShape(1, 10**15, 1), count=3)
    assert len(draw.edges) == 3


@pytest.mark.parametrize(
    "senders, taken, reason",
    [
        ([MLP(0), MLP(1)], [], "no attention head sends, and a layer has no second MLP to draw"),
        (
            [Head(0, 0), Head(0, 1)],
            [Head(0, n) for n in range(3, 12)],
            "layer 0 has 1 head outside the circuit for 2 senders",
        ),
        (
            [Head(3, 0)],
            [Head(3, n) for n in range(12)],
            "layer 3 has 0 heads outside the circuit for 1 sender",
        ),
    ],
)
def test_why_there_are_none(senders, taken, reason):
    draw = drawn(edge_of(*senders), taken)
    assert (draw.edges, draw.possible, draw.missing) == ((), 0, reason)


def test_mlps_of_a_group_stay():
    draw = drawn(edge_of(Head(0, 0), MLP(1)))
    assert {frozenset(e.senders) for e in draw.edges} == {
        frozenset({Head(0, n), MLP(1)}) for n in range(1, 12)
    }


def test_heads_that_reach_no_receiver_stay():
    """Replacing them would give edges that differ on paper and not in the model."""
    edge = edge_of(Head(0, 0), Head(3, 1), receivers=(Receiver(Head(2, 5), Slot.Q),))
    assert {frozenset(e.senders) for e in drawn(edge).edges} == {
        frozenset({Head(0, n), Head(3, 1)}) for n in range(1, 12)
    }
    # A head feeds the MLP of its own layer, unless the two run in parallel.
    edge = edge_of(Head(1, 0), receivers=(Receiver(MLP(1)),))
    assert drawn(edge).possible == 11
    assert drawn(edge, shape=replace(SHAPE, parallel=True)).edges == ()


# In a plan

TEXT = """
model {model}
prompts {{
  clean   "When {{IO}} and {{S}} met, {{S}} gave a ring to"
  corrupt S2 = IO
  IO, S   from names
}}
metric logit_diff(IO, S)
nodes {{
  {nodes}
}}
edges {{
  {edges}
}}
claims {{
  ablate L1.H7 >= 1%
}}
test {{
  random edges {count}
}}
"""
NODES = ("A L0.H1, L0.H10 at S2", "B L5.H5 at S2", "C L9.H9 at END", "M L3.MLP at S2")
EDGES = (
    "A ~> B.V",
    "C -> logits <= -5%",
    "L5.H3 ~> C.V",
    "M -> B.Q",
    "no L0.H4 ~> B.V within 2%",
)


def plan_of(count=20, nodes=NODES, edges=EDGES, model='"gpt2"') -> Plan:
    parts = {"nodes": "\n  ".join(nodes), "edges": "\n  ".join(edges)}
    return compile_plan(circuit_of(TEXT.format(model=model, count=count, **parts)))


def random_edges(plan):
    """By text of the claim, the ids of its random edges."""
    claims = plan.circuit.all_claims
    return {c.text: need.random_edges for c, need in zip(claims, plan.needs, strict=True)}


def test_heads_of_the_circuit():
    """Of nodes, of edges that must be there and of ablations, and not those of absent edges."""
    assert heads_of(plan_of().circuit) == {
        Head(0, 1), Head(0, 10), Head(5, 5), Head(9, 9), Head(5, 3), Head(1, 7)
    }  # fmt: skip


def test_a_plan_has_the_claims_first_and_each_experiment_once():
    plan, plain = plan_of(), plan_of(0)
    names = [experiment.id for experiment in plan.experiments]
    assert plan.experiments[: len(plain.experiments)] == plain.experiments
    assert [need.experiments for need in plan.needs] == [need.experiments for need in plain.needs]
    assert len(names) == len(set(names))
    found = random_edges(plan)
    assert [len(found[c.text]) for c in plan.circuit.all_claims] == [20, 11, 10, 0, 0, 0]
    own = {name for need in plan.needs for _, name in need.experiments}
    assert set(names) == own | {name for drawn in found.values() for name in drawn}
    assert {need.no_random_edges for need in plain.needs} == {""}
    assert all(need.random_edges == () for need in plain.needs)
    assert [bool(need.no_random_edges) for need in plan.needs] == [False] * 3 + [True] + [False] * 2


def test_a_random_edge_that_is_claimed_to_be_absent_is_measured_once():
    plan = plan_of(100, nodes=("B L5.H5 at S2",), edges=("L0.H1 ~> B.V", "no L0.H4 ~> B.V"))
    absent = plan.needs[1].of(Use.EFFECT)
    assert absent in plan.needs[0].random_edges
    assert [e.id for e in plan.experiments].count(absent) == 1
    assert len(plan.experiments) == 2 + 1 + 11 - 1


def test_the_order_of_the_file_changes_no_draw():
    one = plan_of()
    other = plan_of(nodes=[n.replace("L0.H1, L0.H10", "L0.H10, L0.H1") for n in NODES[::-1]],
                    edges=EDGES[::-1])  # fmt: skip
    assert random_edges(one) == random_edges(other)


def test_the_draw_is_the_same_in_every_process():
    script = "from tests.test_null import *\nprint(*[e.id for e in plan_of().experiments])"
    for seed in ("0", "4242"):
        output = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert output.split() == [e.id for e in plan_of().experiments]


def test_ids_of_random_edges_are_those_of_their_content():
    plan = plan_of()
    assert all(e.id == experiment_id(e.intervention) for e in plan.experiments)
    # A random edge is a plain experiment: claimed in a file of its own, it has the same id.
    (claimed,) = plan_of(0, nodes=NODES, edges=("L9.H4 -> logits",)).needs[:1]
    assert claimed.of(Use.EFFECT) in random_edges(plan)["C -> logits <= -5%"]


def test_without_the_models_size_there_are_none_yet():
    plan = plan_of(model='"some/model"')
    assert plan.circuit.shape is None
    assert len(plan.experiments) == len(plan_of(0).experiments)
    reason = "they are drawn once the model is loaded and its size known"
    assert [need.no_random_edges for need in plan.needs] == [reason] * 4 + [""] * 2
    known = compile_plan(replace(plan.circuit, shape=ModelShape(12, 12, 12)))
    assert random_edges(known) == random_edges(plan_of())


def test_too_many_of_them_are_refused(monkeypatch):
    from circuitlang.circuit.resolve import edges as resolver
    from tests.front_end import codes_of

    def codes(count, lines):
        text = TEXT.format(model='"gpt2"', nodes="\n  ".join(NODES), edges=lines, count=count)
        return [code for code in codes_of(text) if code not in ("CL203", "CL244")]

    monkeypatch.setattr(resolver, "MAX_RANDOM_ENDS", 100)
    # Two senders and a receiver; then one and one.
    assert codes(33, "A ~> B.V") == []
    assert codes(34, "A ~> B.V") == ["CL228"]
    assert codes(20, "A ~> B.V\n  C ~> logits") == []
    assert codes(21, "A ~> B.V\n  C ~> logits") == ["CL228"]
    assert codes(21, "A ~> B.V\n  no C ~> logits") == []
