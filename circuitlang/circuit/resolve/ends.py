"""The two ends of an edge, or of a hop of a path: who, by which slot, and where."""

from dataclasses import dataclass, replace

from circuitlang.circuit.component import (
    MLP,
    Component,
    Embed,
    Head,
    Logits,
    Neuron,
    Receiver,
    Slot,
    parse_component,
)
from circuitlang.circuit.position import AT_END, Position, show_positions
from circuitlang.circuit.resolve.nodes import component_of, resolve_positions
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.source import Span, closest, written_component
from circuitlang.syntax import tree as syntax


@dataclass(frozen=True, slots=True)
class End:
    """One end of an edge: its components and positions (the empty tuple: every position)."""

    name: str
    components: tuple[Component, ...]
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class Entered:
    """A receiving end with its inputs, one at least."""

    end: End
    inputs: tuple[Receiver, ...]

    @property
    def name(self) -> str:
        """`IH.K`, as reports show it."""
        slot = self.inputs[0].slot
        return f"{self.end.name}.{slot}" if slot else self.end.name


def resolve_end(endpoint: syntax.Endpoint, scope: Scope) -> End | None:
    """The node or bare component that an endpoint names."""
    word = endpoint.node
    if parse_component(word.text) is not None or "." in word.text or word.text == "embed":
        component = component_of(word, scope)
        return End(word.text, (component,), ()) if component else None
    role = scope.roles.get(word.text)
    if role is None:
        if not scope.lacks("nodes", word.text):
            hint = scope.suggest(word.text, [*scope.roles, "logits"])
            scope.meant.add(closest(word.text, scope.roles) or "")
            message = f"there is no node `{word.text}`"
            hint = written_component(word.text) or hint or "define it under `nodes`"
            scope.error("CL201", word.span, message, hint)
        return None
    return End(role.name, role.components, role.positions)


def resolve_sender(endpoint: syntax.Endpoint, scope: Scope) -> End | None:
    """The first sender of an edge or path; None, with a diagnostic, where it cannot send."""
    if endpoint.node.text == "logits":
        scope.error("CL214", endpoint.span, "logits are the end of every path and send nothing")
        return None
    name, slot = endpoint.node.text, endpoint.slot
    if slot and name not in scope.roles and (hint := written_component(f"{name}.{slot.text}")):
        scope.error("CL201", endpoint.span, f"there is no node `{name}`", hint)
        return None
    if endpoint.slot is not None:
        message = "a sender sends its output and has no slot"
        scope.error("CL213", endpoint.slot.span, message, f"write `{endpoint.node.text}`")
        return None
    end = resolve_end(endpoint, scope)
    return end if end and end.components else None


def resolve_receivers(endpoint: syntax.Endpoint, scope: Scope) -> Entered | None:
    """The inputs that an edge enters; None, with a diagnostic, where it cannot."""
    if endpoint.node.text == "logits":
        if endpoint.slot is not None:
            scope.error(
                "CL211",
                endpoint.slot.span,
                "logits have a single input and no slot",
                "write `logits`",
            )
            return None
        return Entered(End("logits", (), (AT_END,)), (Receiver(Logits()),))
    end = resolve_end(endpoint, scope)
    if end is None:
        _slot(endpoint, scope)
        return None
    heads = [c for c in end.components if isinstance(c, Head)]
    mlps = [c for c in end.components if isinstance(c, MLP | Neuron)]
    parts = (*heads, *mlps)
    if len(parts) < len(end.components):
        own = end.name == "embed"
        name = "the embedding" if own else f"`{end.name}` holds the embedding, which"
        message = f"{name} is where every path begins and receives nothing"
        scope.error("CL214", endpoint.span, message)
        return None
    if heads and endpoint.slot is None:
        message = f"`{end.name}` has attention heads, so the edge must enter Q, K or V"
        scope.error("CL212", endpoint.span, message, f"write `{end.name}.Q`, `.K` or `.V`")
        return None
    if mlps and endpoint.slot is not None:
        message = f"{mlps[0]} has a single input and no slot"
        hint = f"write `{end.name}`" if not heads else "put heads and MLPs into nodes of their own"
        scope.error("CL211", endpoint.slot.span, message, hint)
        return None
    slot = _slot(endpoint, scope)
    if (heads and slot is None) or not parts:
        return None
    inputs = (
        Receiver(c, slot if isinstance(c, Head) else None)
        for c in end.components
        if not isinstance(c, Embed)
    )
    return Entered(end, tuple(inputs))


def _slot(endpoint: syntax.Endpoint, scope: Scope) -> Slot | None:
    if endpoint.slot is None:
        return None
    if endpoint.slot.text in [*Slot]:
        return Slot(endpoint.slot.text)
    hint = scope.suggest(endpoint.slot.text, [*Slot])
    message = f"a head has no slot `{endpoint.slot.text}`"
    scope.error("CL211", endpoint.slot.span, message, hint)
    return None


def placed(
    line: syntax.EdgeLine, sender: End | None, receiver: Entered | None, scope: Scope
) -> tuple[End | None, Entered | None]:
    """The first sender and the last receiver at the positions that the line itself gives them.

    Either is None, with a diagnostic, where the line's positions make no sense.
    """
    for extra in line.places[1:]:
        message = "an edge says once where it runs from and to"
        scope.error("CL225", extra.span, message, "keep one `from ... to ...`")
    if len(line.places) != 1:
        return (None, None) if line.places else (sender, receiver)
    written = line.places[0]
    start, stop = resolve_positions(written.start, scope), resolve_positions(written.end, scope)
    # A position that does not exist leaves no edge of which anything could be said.
    sender = replace(sender, positions=start) if sender and start else None
    if written.end and not stop:
        return sender, None
    if not written.end or receiver is None:
        return sender, receiver
    if isinstance(receiver.inputs[0].component, Logits):
        if stop != (AT_END,):
            message = f"logits are read at END, not at {show_positions(stop)}"
            scope.error("CL216", written.span, message, "write `to END`, or leave `to` out")
            return sender, None
        return sender, receiver
    return sender, replace(receiver, end=replace(receiver.end, positions=stop))


def join(span: Span, sender: End, receiver: Entered, scope: Scope) -> tuple[Position, ...] | None:
    """The position at which an edge lives: where the sender writes and the receiver reads.

    A K or V edge is read at the attended token, the sender's; a Q edge, an MLP and the logits
    read at the receiver's own position. None, with a diagnostic, where the two do not meet.
    """
    end, first = receiver.end, receiver.inputs[0]
    if first.slot in (Slot.K, Slot.V):
        return sender.positions if _looks_back(span, sender, end, scope) else None
    if not sender.positions or not end.positions:
        return sender.positions or end.positions
    common = tuple(p for p in sender.positions if p in end.positions)
    if common:
        return common
    reads = {Slot.Q: "asks at", None: "reads at"}[first.slot]
    if isinstance(first.component, Logits):
        reads = "are read at"
    message = (
        f"{sender.name} writes at {show_positions(sender.positions)}, but {end.name} {reads} "
        f"{show_positions(end.positions)}"
    )
    hint = "an edge lives at one position; only attention, inside a head, moves information"
    scope.error("CL216", span, message, hint)
    return None


def _looks_back(span: Span, sender: End, receiver: End, scope: Scope) -> bool:
    """Whether every template lets the receiver attend to the sender's position."""
    if not sender.positions or not receiver.positions or scope.places is None:
        return True
    number = scope.places.blind(receiver.positions, sender.positions)
    if number is None:
        return True
    message = (
        f"{receiver.name} at {show_positions(receiver.positions)} comes before "
        f"{show_positions(sender.positions)}, where {sender.name} writes"
    )
    where, hint = scope.places.forward(number)
    scope.error("CL218", span, message + where, hint)
    return False
