"""Edges and paths under the fast engine: what is carried to receivers, and the pass after them.

Mirrors `edges`, `paths`, `changes` and `descent` of `engine/fast`.
"""

from collections.abc import Sequence

from circuitlang.circuit import (
    MLP,
    Component,
    Direction,
    Head,
    Logits,
    Neuron,
    Position,
    Receiver,
    Slot,
)
from circuitlang.models import ModelSize
from circuitlang.plan.cost.geometry import Geometry
from circuitlang.plan.cost.resumption import Assembly, Phase, Resumption, Sent, alone, in_mlp
from circuitlang.plan.intervention import PatchEdge, PatchPath


def edge_resumption(at: Assembly, edge: PatchEdge) -> Resumption:
    """Of an edge, into the receivers that are entered first."""
    denoising, groups = edge.direction is Direction.DENOISING, _groups(at, edge)
    if not groups:
        return Resumption(denoising, at.geometry.length - 1, at.nothing)
    if edge.through_mlps:
        first = [receiver for group in groups for receiver in group]
        logits = [r for r in first if isinstance(r.component, Logits)]
        senders, first, later = edge.senders, logits or first, []
    else:
        first, later = groups[0], [r for group in groups[1:] for r in group]
        senders = tuple(s for s in edge.senders if at.feeds(s, first[0]))
    sent = Sent(senders, edge.positions, edge.direction, edge.through_mlps)
    enter, attended = _receive(at, first)
    late = [s for s in edge.senders if s not in senders]
    if later:
        enter = _carry(at, enter, first, late)
    passes = enter != at.nothing
    return Resumption(
        denoising,
        at.geometry.first(edge.positions) if passes else at.geometry.length - 1,
        enter,
        attended=attended if enter[1] is Phase.ATTENTION else 0,
        extra=_carried(at, later, late, at.geometry.first(edge.positions), edge.positions)
        + _neurons(at, first, edge.positions),
        sent=sent,
        receivers=tuple(first),
    )


def path_resumption(at: Assembly, path: PatchPath) -> Resumption:
    """Of a path, into its last receivers; what is done hop by hop before is extra."""
    denoising, size = path.direction is Direction.DENOISING, at.size
    length = at.geometry.length
    extra = sum(alone(sender, size) * length for sender in path.senders)
    extra += sum(size.neuron * length for s in path.senders if isinstance(s, Neuron))
    senders: tuple[Component, ...] = path.senders
    for hop in path.hops:
        reached = [r for r in hop.receivers if any(at.feeds(s, r) for s in senders)]
        for receiver in reached:
            component = receiver.component
            own = size.mlp if isinstance(component, MLP) else alone(component, size)
            extra += own * at.geometry.count(hop.positions)
        if not reached:
            break
        if hop.through_mlps:
            extra += _on_the_way(at, senders, reached) * at.geometry.count(hop.positions)
        if hop is path.hops[-1]:
            enter, attended = _receive(at, reached)
            passes = enter != at.nothing
            start = at.geometry.first(hop.positions) if passes else length - 1
            extra += _neurons(at, reached, hop.positions)
            return Resumption(denoising, start, enter, attended, extra=extra)
        found = dict.fromkeys(r.component for r in reached)
        senders = tuple(c for c in found if not isinstance(c, Logits))
        one = size.attention(length, length) + size.slot * length
        carried = sum(isinstance(sender, Neuron) for sender in senders)
        extra += carried * size.neuron * at.geometry.count(hop.positions)
        extra += one * sum(isinstance(sender, Head) for sender in senders)
    return Resumption(denoising, length - 1, at.nothing, extra=extra)


def _on_the_way(at: Assembly, senders: Sequence[Component], receivers: Sequence[Receiver]) -> int:
    """A token's operations of MLPs that recompute between a hop's senders and receivers."""
    parts = (r.component for r in receivers)
    stop = max(at.layers if isinstance(c, Logits) else c.layer for c in parts)
    layers = range(max(0, min(sender.layer for sender in senders)), stop)
    moving = {layer for layer in layers if MLP(layer) not in senders}
    # What a sending neuron itself makes of earlier senders' changes is taken out.
    inside = sum(isinstance(s, Neuron) and s.layer in moving for s in senders)
    return len(moving) * at.size.mlp + 2 * inside * at.size.neuron


def _groups(at: Assembly, edge: PatchEdge) -> list[list[Receiver]]:
    """Receivers that a sender reaches, by the residual stream they read, in order."""
    found: dict[tuple[int, bool], list[Receiver]] = {}
    for receiver in edge.receivers:
        if any(at.feeds(sender, receiver) for sender in edge.senders):
            component = receiver.component
            layer = at.layers if isinstance(component, Logits) else component.layer
            found.setdefault((layer, in_mlp(component)), []).append(receiver)
    return [found[key] for key in sorted(found)]


def _receive(at: Assembly, receivers: Sequence[Receiver]) -> tuple[tuple[int, Phase], int]:
    """Where a pass with new values of these receivers enters, and the heads computed there."""
    if any(isinstance(r.component, Logits) for r in receivers):
        return at.nothing, 0
    heads = [r for r in receivers if isinstance(r.component, Head)]
    mlps = [r.component.layer for r in receivers if isinstance(r.component, MLP)]
    neurons = [r.component.layer for r in receivers if isinstance(r.component, Neuron)]
    first = min((_layer(r) for r in heads), default=at.layers)
    inner = min((*mlps, *neurons), default=at.layers)
    if inner < first:
        return (inner + 1, Phase.BEFORE), 0
    if at.parallel and first in (*mlps, *neurons):
        return (first, Phase.BEFORE), 0
    touched = {head for r in heads if _layer(r) == first for head in _served(at, r)}
    return (first, Phase.ATTENTION), len(touched)


def _neurons(at: Assembly, receivers: Sequence[Receiver], positions: Sequence[Position]) -> int:
    """Operations for a prompt of old activations of the neurons that a pass starts from."""
    neurons = [r.component.layer for r in receivers if isinstance(r.component, Neuron)]
    if not neurons or any(isinstance(r.component, Logits) for r in receivers):
        return 0
    others = (_layer(r) for r in receivers if not isinstance(r.component, Neuron))
    first = min(others, default=at.layers)
    start, tokens = at.geometry.first(positions), 0
    for layer in neurons:
        at_once = layer == min(neurons) < first
        tokens += at.geometry.count(positions) if at_once else at.in_pass(layer, start)
    return tokens * at.size.neuron


def _served(at: Assembly, receiver: Receiver) -> tuple[int, ...]:
    """The query heads that compute anew when a slot changes."""
    head = receiver.component
    if not isinstance(head, Head):
        return ()
    return (head.head,) if receiver.slot is Slot.Q else at.size.shape.group_of(head.head)


def _carry(
    at: Assembly, enter: tuple[int, Phase], first: Sequence[Receiver], late: Sequence[Component]
) -> tuple[int, Phase]:
    """Later receivers of a direct group edge need the job's own stream and late senders."""
    layer, phase = enter
    if phase is Phase.BEFORE and late and all(in_mlp(r.component) for r in first):
        return layer - 1, Phase.BEFORE
    if phase is Phase.ATTENTION and (late or at.parallel):
        return layer, Phase.BEFORE
    return enter


def _carried(
    at: Assembly,
    later: Sequence[Receiver],
    late: Sequence[Component],
    start: int,
    positions: Sequence[Position],
) -> int:
    """Operations for a prompt of entering later receivers and of late senders' writes."""
    if not later:
        return 0
    size, last = at.size, at.layers - 1
    entered = {(_layer(r), r.slot, _served(at, r)) for r in later if _is_head(r.component)}
    mlps = {r.component.layer for r in later if isinstance(r.component, MLP)}
    neurons = [r.component.layer for r in later if isinstance(r.component, Neuron)]
    entering = len(entered) * size.slot + len(mlps) * size.mlp + len(neurons) * size.neuron
    total = entering * at.geometry.count(positions)
    total += sum(at.in_pass(layer, start) for layer in neurons) * size.neuron
    for sender in late:
        if isinstance(sender, Head):
            own = 1 if sender.layer == last else at.geometry.length - start
            total += size.slot * (at.geometry.length + own)
    return total


def shared_operations(
    sent: Sent, receivers: Sequence[Receiver], size: ModelSize, geometry: Geometry
) -> int:
    """Of carrying senders' changes to all receivers that some experiment names."""
    columns, layers = geometry.count(sent.positions), size.shape.layers
    readers = dict.fromkeys(receivers)
    stop = max(layers if isinstance(r.component, Logits) else r.component.layer for r in readers)
    # A sender's write of the difference between worlds, of a neuron once its activations are known.
    total = sum(alone(sender, size) for sender in sent.senders)
    total += sum(size.neuron for sender in sent.senders if isinstance(sender, Neuron))
    entering = (r.component for r in readers if isinstance(r.component, Head | Neuron))
    total += sum(alone(component, size) for component in entering)
    moving: set[int] = set()
    if sent.through_mlps:
        moving = set(range(max(0, min(s.layer for s in sent.senders)), stop))
        # What a sending neuron itself makes of earlier senders' changes is taken out.
        inside = (s for s in sent.senders if isinstance(s, Neuron) and s.layer in moving)
        total += sum(2 * size.neuron for _ in inside)
    entered = {r.component.layer for r in readers if isinstance(r.component, MLP)}
    total += len(moving | entered) * size.mlp
    return geometry.prompts * columns * total


def _is_head(component: object) -> bool:
    return isinstance(component, Head)


def _layer(receiver: Receiver) -> int:
    component = receiver.component
    if isinstance(component, Logits):
        raise TypeError("logits are of no layer")
    return component.layer
