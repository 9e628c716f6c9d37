"""Where the fast engine resumes an experiment, and what a pass from there costs."""

from dataclasses import dataclass
from enum import IntEnum

from circuitlang.circuit import (
    MLP,
    Component,
    Direction,
    Head,
    Logits,
    Neuron,
    Position,
    Receiver,
    can_feed,
)
from circuitlang.models import ModelSize
from circuitlang.plan.cost.geometry import Geometry


class Phase(IntEnum):
    """Where in a layer a pass resumes, as the engine's jobs have it."""

    BEFORE = 0
    ATTENTION = 1
    MIDDLE = 2


@dataclass(frozen=True, slots=True)
class Sent:
    """Senders whose changes run to receivers through MLPs alone: done once for all receivers."""

    senders: tuple[Component, ...]
    positions: tuple[Position, ...]
    direction: Direction
    through_mlps: bool


@dataclass(frozen=True, slots=True)
class Resumption:
    """The pass of one experiment, from where it resumes, and what else the experiment needs.

    ``enter`` at as many layers as there are means that there is no pass. ``attended`` heads of the
    layer of entrance are computed anew, ``written`` ones only write something else. ``extra``
    counts operations besides the pass; ``sent`` and ``receivers`` name what is shared with others.
    """

    denoising: bool
    start: int
    enter: tuple[int, Phase]
    attended: int = 0
    written: int = 0
    extra: int = 0
    sent: Sent | None = None
    receivers: tuple[Receiver, ...] = ()

    def operations(self, size: ModelSize, geometry: Geometry) -> int:
        """Of the pass and the extras; of what is shared, nothing."""
        (first, phase), last = self.enter, size.shape.layers - 1
        tokens, keys = geometry.length - self.start, geometry.length
        total = 0
        for layer in range(first, last + 1):
            outputs = 1 if layer == last else tokens
            if layer > first or phase is Phase.BEFORE:
                total += size.layer(tokens, keys, outputs)
            elif phase is Phase.MIDDLE:
                total += size.mlp * outputs
            else:
                total += self.attended * size.attention(outputs, keys)
                total += (self.attended + self.written) * size.slot * outputs
                total += 0 if size.shape.parallel else size.mlp * outputs
        answers = 2 * 2 * size.d_model
        return geometry.prompts * (total + self.extra + answers)


@dataclass(frozen=True, slots=True)
class Assembly:
    """A model's sizes and a batch, for which passes are assembled."""

    size: ModelSize
    geometry: Geometry

    @property
    def layers(self) -> int:
        """Of the model."""
        return self.size.shape.layers

    @property
    def parallel(self) -> bool:
        """Whether attention and MLP of a layer read the same stream."""
        return self.size.shape.parallel

    @property
    def nothing(self) -> tuple[int, Phase]:
        """Where an experiment enters that needs no pass."""
        return self.layers, Phase.BEFORE

    def feeds(self, sender: Component, receiver: Receiver) -> bool:
        """Whether a sender's output is part of a receiver's input."""
        return can_feed(sender, receiver, parallel=self.parallel)

    def in_pass(self, layer: int, start: int) -> int:
        """Tokens of a prompt at which a pass computes the MLP of a layer."""
        return 1 if layer == self.layers - 1 else self.geometry.length - start


def in_mlp(component: object) -> bool:
    """Whether it is an MLP or a part of one."""
    return isinstance(component, MLP | Neuron)


def alone(component: Component | Logits, size: ModelSize) -> int:
    """A token's operations of one head's slot or write, or of one neuron's activation."""
    match component:
        case Head():
            return size.slot
        case Neuron():
            return size.neuron
        case _:
            return 0
