"""Parts of a transformer and the inputs they read."""

import re
from dataclasses import dataclass
from enum import StrEnum

from circuitlang.models import ModelShape

_COMPONENT = re.compile(r"[Ll]([0-9]{1,4})\.(?:[Hh]([0-9]{1,4})|[Mm][Ll][Pp])")


class Slot(StrEnum):
    """The input of an attention head that an edge enters."""

    Q = "Q"
    K = "K"
    V = "V"


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """Attention head `L9.H6`: layer and head count from zero."""

    layer: int
    head: int

    def __str__(self) -> str:
        return f"L{self.layer}.H{self.head}"


@dataclass(frozen=True, slots=True, order=True)
class MLP:
    """The MLP of a layer, `L0.MLP`."""

    layer: int

    def __str__(self) -> str:
        return f"L{self.layer}.MLP"


@dataclass(frozen=True, slots=True)
class Logits:
    """The model's output: the final residual stream, as read by the final norm and unembedding."""

    def __str__(self) -> str:
        return "logits"


Component = Head | MLP


@dataclass(frozen=True, slots=True)
class Receiver:
    """One input: `L9.H9.Q`, the single input of an MLP, or `logits`; ``slot`` only for heads."""

    component: Head | MLP | Logits
    slot: Slot | None = None

    def __str__(self) -> str:
        return f"{self.component}.{self.slot}" if self.slot else str(self.component)


def parse_component(text: str) -> Component | None:
    """`L9.H6` or `L0.MLP` (any case), or None when the text is neither."""
    match = _COMPONENT.fullmatch(text)
    if match is None:
        return None
    layer, head = match.groups()
    return Head(int(layer), int(head)) if head is not None else MLP(int(layer))


def can_feed(sender: Component, receiver: Receiver, *, parallel: bool = False) -> bool:
    """Whether the sender's output is part of the receiver's input.

    Inside a layer attention writes before the MLP reads, except in ``parallel`` blocks.
    """
    target = receiver.component
    if isinstance(target, Logits):
        return True
    if sender.layer != target.layer:
        return sender.layer < target.layer
    return isinstance(sender, Head) and isinstance(target, MLP) and not parallel


def problem_with(component: Component, shape: ModelShape | None) -> tuple[str, str, str] | None:
    """Diagnostic code, message and hint for a component that a model does not have.

    None when the component exists or the model's size is not known.
    """
    if shape is None:
        return None
    if component.layer >= shape.layers:
        message = f"{component}: the model has {shape.layers} layers"
        return "CL205", message, f"layers count from 0 to {shape.layers - 1}"
    if isinstance(component, Head) and component.head >= shape.heads:
        message = f"{component}: the model has {shape.heads} heads a layer"
        return "CL206", message, f"heads count from 0 to {shape.heads - 1}"
    return None
