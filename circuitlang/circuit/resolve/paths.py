"""Whole paths of the `edges` block: `A -> B.V ~> C.Q -> logits`, every hop checked as an edge is.

Between hops a head moves what it carries: what enters its Q leaves at the same position, what
enters its K or V at the head's own positions. An MLP moves nothing, whether it is named or a hop
goes through it.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise, product
from math import prod

from circuitlang.circuit.claim import PathClaim, Step
from circuitlang.circuit.component import Component, Logits, Receiver, Slot
from circuitlang.circuit.resolve.ends import (
    End,
    Entered,
    join,
    placed,
    resolve_receivers,
    resolve_sender,
)
from circuitlang.circuit.resolve.order import (
    Pair,
    few_pairs,
    goes_forward,
    runs_forward,
    tail_of,
)
from circuitlang.circuit.resolve.quantities import misses_by, resolve_bound, resolve_by
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.circuit.settings import Direction
from circuitlang.syntax import tree as syntax


def resolve_path(line: syntax.EdgeLine, scope: Scope) -> tuple[PathClaim, ...]:
    """The path of a line, or under `each` one for every way through its components."""
    sender = resolve_sender(line.sender, scope)
    entered = [_receivers(line, number, scope) for number in range(len(line.receivers))]
    sender, entered[-1] = placed(line, sender, entered[-1], scope)
    bound = resolve_bound(line.clauses, line.span, line.negated, scope)
    by = resolve_by(line.clauses, [*Direction], scope)
    hops = [hop for hop in entered if hop is not None]
    if sender is None or bound is None or len(hops) < len(entered):
        return ()
    if misses_by(line.clauses, by):
        return ()
    if not _order(line, sender, hops, scope):
        return ()
    steps = _steps(line, sender, hops, scope)
    if steps is None:
        return ()
    no, tail = "no " if line.negated else "", tail_of(line, scope)
    direction = Direction(by) if by else scope.settings.direction

    def claim(start: End, hops: Sequence[Step]) -> PathClaim:
        names = " ".join((start.name, *(f"{_arrow(hop)} {hop.receiver_name}" for hop in hops)))
        return PathClaim(
            senders=start.components,
            hops=tuple(hops),
            direction=direction,
            absent=line.negated,
            bound=bound,
            sender_name=start.name,
            text=f"{no}{names}{tail}",
            span=line.span,
        )

    if not line.each:
        return (claim(sender, steps),)
    return tuple(
        claim(
            End(str(first), (first,), ()),
            [
                replace(step, receivers=(receiver,), receiver_name=str(receiver))
                for receiver, step in zip(way, steps, strict=True)
            ],
        )
        for first in sender.components
        for way in product(*(step.receivers for step in steps))
    )


def _arrow(hop: Step) -> str:
    return "~>" if hop.through_mlps else "->"


def _receivers(line: syntax.EdgeLine, number: int, scope: Scope) -> Entered | None:
    endpoint = line.receivers[number]
    if endpoint.node.text == "logits" and number < len(line.receivers) - 1:
        message = "logits are the end of every path and send nothing"
        scope.error("CL214", endpoint.span, message, "end the path there")
        return None
    return resolve_receivers(endpoint, scope)


def _order(line: syntax.EdgeLine, sender: End, hops: Sequence[Entered], scope: Scope) -> bool:
    """Whether something flows from the first sender to the last receiver.

    A component that nothing reaches over the hop before carries nothing on.
    """
    sizes = [len(sender.components), *(len(hop.inputs) for hop in hops)]
    joined = sum(a * b for a, b in pairwise(sizes))
    if not few_pairs(max(joined, prod(sizes)) if line.each else joined, line, scope):
        return False
    senders: tuple[Component, ...] = sender.components
    missed: list[Pair] = []
    for hop in hops:
        pairs = [*product(senders, hop.inputs)]
        backward = [(s, r) for s, r in pairs if not goes_forward(s, r, scope)]
        stops = line.each or len(backward) == len(pairs)
        if stops and not runs_forward(line, len(pairs), backward, scope):
            return False
        missed += backward
        senders = hop.end.components if line.each else _reached(senders, hop.inputs, scope)
    return line.each or runs_forward(line, len(missed) + 1, missed, scope)


def _reached(
    senders: Sequence[Component], inputs: Sequence[Receiver], scope: Scope
) -> tuple[Component, ...]:
    found = (r for r in inputs if any(goes_forward(s, r, scope) for s in senders))
    return tuple(r.component for r in found if not isinstance(r.component, Logits))


def _steps(
    line: syntax.EdgeLine, sender: End, hops: Sequence[Entered], scope: Scope
) -> list[Step] | None:
    """Every hop at its position; None, with a diagnostic, where two hops do not join."""
    found: list[Step] = []
    at = sender
    for hop, arrow in zip(hops, line.arrows, strict=True):
        positions = join(line.span, at, hop, scope)
        if positions is None:
            return None
        found.append(Step(hop.inputs, positions, hop.name, through_mlps=arrow == "~>"))
        # Attention carries what entered a key or a value to the positions of the head itself.
        moves = hop.inputs[0].slot in (Slot.K, Slot.V)
        leaves = hop.end.positions if moves else positions
        at = End(hop.end.name, hop.end.components, leaves)
    return found
