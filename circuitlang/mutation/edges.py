"""Mutants of single edges: one left out, or one at another position."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from circuitlang.circuit import (
    AT_END,
    AblationClaim,
    BaselineClaim,
    Circuit,
    Component,
    EdgeClaim,
    Logits,
    PatchClaim,
    PathClaim,
    Places,
    Position,
    ReadingClaim,
    Role,
    Slot,
    SteerClaim,
    can_feed,
    canonical,
    edges_of,
    show_positions,
)
from circuitlang.mutation.mutant import Mutant
from circuitlang.report.mutation import Kind, Outcome

Place = tuple[str, Component]
"""A component as a part of the node of this name; a bare component has its own name."""

NOBODY_NOTICES = "no claim of the file speaks for the whole circuit"
NODES_STAY = "its nodes stay in the circuit by other edges, so nothing else is measured"
NO_NODE = "it is in no node, so experiments about nodes do not change"
NO_NODES = "no node is left, so there is no circuit to speak of"

_OF_PARTS = AblationClaim | PatchClaim | SteerClaim | ReadingClaim | BaselineClaim


def dropped_edges(circuit: Circuit) -> Iterator[Mutant]:
    """Each edge that must be there, left out; what it alone held in the circuit leaves with it.

    A part leaves when it loses its last edge, or its last way to the logits. `Mutant.known` is set
    where no part leaves: experiments about nodes cannot see that an edge is missing.
    """
    for index, edge in enumerate(circuit.edges):
        if edge.absent:
            continue
        rest = (*circuit.edges[:index], *circuit.edges[index + 1 :])
        leaving = _held(circuit.edges, circuit) - _held(rest, circuit)
        leaving |= _reaching(circuit.edges, circuit) - _reaching(rest, circuit)
        roles = tuple(left for role in circuit.roles if (left := _without(role, leaving)))
        gone = _in_words(leaving, circuit)
        after = f"(dropped, and with it {', '.join(gone)})" if gone else "(dropped)"
        mutant = Mutant(
            Kind.DROP, edge.text, after, edge.span, replace(circuit, edges=rest, roles=roles)
        )
        if roles == circuit.roles:
            mutant = replace(
                mutant, known=Outcome.EQUIVALENT, reason=NO_NODE if gone else NODES_STAY
            )
        elif not roles and not all(isinstance(c, _OF_PARTS) for c in circuit.claims):
            # The language has no claim about a circuit without nodes.
            mutant = replace(mutant, circuit=None, known=Outcome.REFUSED, reason=NO_NODES)
        yield mutant


def moved_edges(circuit: Circuit) -> Iterator[Mutant]:
    """Each edge that must be there, at every other single position of the prompts.

    Positions are the slots that every template has, what nodes are at, and END. Logits are read at
    END alone, so their edges are left out. A key or value after the receiver's own positions is
    refused: attention looks back. Paths are left out: a hop moved alone joins with no other.
    """
    every = _positions(circuit)
    for index, edge in enumerate(circuit.edges):
        if isinstance(edge, PathClaim) or edge.absent:
            continue
        if any(isinstance(r.component, Logits) for r in edge.receivers):
            continue
        for position in every:
            if edge.positions == (position,):
                continue
            moved = replace(edge, positions=(position,), text=f"{edge.text} [at {position}]")
            before = f"{edge.text} [at {show_positions(edge.positions)}]"
            edges = (*circuit.edges[:index], moved, *circuit.edges[index + 1 :])
            mutant = Mutant(Kind.POSITION, before, moved.text, edge.span)
            if _looks_forward(edge, position, circuit):
                reason = f"{edge.receiver_name} is before {position}, and attention looks back"
                yield replace(mutant, known=Outcome.REFUSED, reason=reason)
            else:
                yield replace(mutant, circuit=replace(circuit, edges=edges))


def _positions(circuit: Circuit) -> tuple[Position, ...]:
    """In a fixed order: the slots as the first template has them, nodes' offsets, END."""
    templates = circuit.prompts.templates
    found: list[Position] = []
    counts: dict[str, int] = {}
    for slot in templates[0].slots:
        counts[slot] = counts.get(slot, 0) + 1
        if all(template.slots.count(slot) >= counts[slot] for template in templates):
            alone = all(template.slots.count(slot) == 1 for template in templates)
            name = "" if alone else f"{slot}{counts[slot]}"
            found.append(canonical(Position(slot, counts[slot], 0, name), circuit.prompts))
    found += [position for role in circuit.roles for position in role.positions]
    return (*dict.fromkeys(position for position in found if position != AT_END), AT_END)


def _looks_forward(edge: EdgeClaim, position: Position, circuit: Circuit) -> bool:
    """Whether the receiver stands before a key or value in some template."""
    if edge.receivers[0].slot not in (Slot.K, Slot.V):
        return False
    name = edge.receiver_name.rpartition(".")[0]
    readers = next((role.positions for role in circuit.roles if role.name == name), ())
    if not readers:
        return False
    return Places(circuit.prompts.templates).blind(readers, (position,)) is not None


def _in_words(leaving: set[Place], circuit: Circuit) -> list[str]:
    """Nodes that leave, single parts of others, and bare components."""
    whole = [r.name for r in circuit.roles if {(r.name, part) for part in r.components} <= leaving]
    parts = [(name, part) for name, part in leaving if name not in whole]
    return whole + sorted(str(p) if name == str(p) else f"{p} of {name}" for name, p in parts)


def _without(role: Role, leaving: set[Place]) -> Role | None:
    kept = tuple(part for part in role.components if (role.name, part) not in leaving)
    return replace(role, components=kept) if kept else None


def _held(edges: Sequence[EdgeClaim | PathClaim], circuit: Circuit) -> set[Place]:
    """Parts that some edge that must be there names."""
    pairs = [pair for edge in edges for pair in _pairs(edge, circuit)]
    return {place for pair in pairs for place in pair if place is not None}


def _reaching(edges: Sequence[EdgeClaim | PathClaim], circuit: Circuit) -> set[Place]:
    """Parts from which edges that must be there lead to the logits."""
    pairs = [pair for edge in edges for pair in _pairs(edge, circuit)]
    reached: set[Place | None] = {None}
    grown = True
    while grown:
        new = {sender for sender, receiver in pairs if receiver in reached} - reached
        grown = bool(new)
        reached |= new
    return {place for place in reached if place is not None}


def _pairs(claim: EdgeClaim | PathClaim, circuit: Circuit) -> Iterator[tuple[Place, Place | None]]:
    """Pairs of an edge, or of a path's hops, that run forwards; None stands for the logits."""
    if not claim.absent:
        for edge in edges_of(claim):
            yield from _pairs_of(edge, circuit)


def _pairs_of(edge: EdgeClaim, circuit: Circuit) -> Iterator[tuple[Place, Place | None]]:
    parallel = circuit.shape is not None and circuit.shape.parallel
    for receiver in edge.receivers:
        target = receiver.component
        ends: list[Place | None] = [None]
        if not isinstance(target, Logits):
            name = edge.receiver_name.removesuffix(f".{receiver.slot}")
            ends = [*_places(target, name, (), circuit)]
        for sender in edge.senders:
            if can_feed(sender, receiver, parallel=parallel):
                for place in _places(sender, edge.sender_name, edge.positions, circuit):
                    for end in ends:
                        yield place, end


def _places(
    part: Component, name: str, positions: tuple[Position, ...], circuit: Circuit
) -> Iterator[Place]:
    """The part in the node that an edge names; a bare one, in every node that has it there."""
    named = [role for role in circuit.roles if role.name == name]
    fitting = [
        role
        for role in circuit.roles
        if part in role.components
        and (not positions or not role.positions or {*positions} & {*role.positions})
    ]
    found = named or fitting
    yield from ((role.name, part) for role in found) if found else [(str(part), part)]
