"""Sweeps: the same experiment at every place of a model. They claim nothing and are only shown."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from circuitlang.circuit.activation import Activation
from circuitlang.circuit.coincidence import canonical
from circuitlang.circuit.position import AT_END, Position
from circuitlang.circuit.settings import Direction
from circuitlang.source import Span

if TYPE_CHECKING:
    from circuitlang.circuit.circuit import Circuit


class SweepKind(StrEnum):
    """What is patched at every place, in the words of a file; the logit lens patches nothing."""

    HEAD_OUTPUT = "head_output"
    RESID_PRE = "resid_pre"
    RESID_MID = "resid_mid"
    RESID_POST = "resid_post"
    ATTN_OUT = "attn_out"
    MLP_OUT = "mlp_out"
    Q = "q"
    K = "k"
    V = "v"
    PATTERN = "pattern"
    LOGIT_LENS = "logit_lens"

    @property
    def activation(self) -> Activation | None:
        """What is replaced; None for the logit lens."""
        if self is SweepKind.LOGIT_LENS:
            return None
        return Activation.Z if self is SweepKind.HEAD_OUTPUT else Activation(self.value)

    @property
    def of_heads(self) -> bool:
        """Whether every head of a layer has its own."""
        return self.activation is not None and self.activation.of_heads


class SweepAxis(StrEnum):
    """What a sweep goes along; the layers always."""

    LAYER = "layer"
    HEAD = "head"
    POSITION = "position"


@dataclass(frozen=True, slots=True)
class Sweep:
    """One experiment for every place along ``axes``, which stand in the order of `SweepAxis`.

    ``positions`` are those of the file (the empty tuple: every one): one after the other along the
    axis of positions, all at once without it. ``direction`` is None for the logit lens.
    """

    kind: SweepKind
    axes: tuple[SweepAxis, ...]
    positions: tuple[Position, ...]
    direction: Direction | None
    text: str
    span: Span = field(default=Span(0, 0), compare=False)

    @property
    def by_position(self) -> bool:
        """Whether positions are told apart."""
        return SweepAxis.POSITION in self.axes


def named_places(circuit: "Circuit") -> tuple[Position, ...]:
    """What a sweep by position goes along where the prompts differ in layout.

    Every place of a slot that every template has, in the order of the first template, what nodes
    are at, and END.
    """
    templates = circuit.prompts.templates
    counts: dict[str, int] = {}
    found: dict[Position, None] = {}
    for slot in templates[0].slots:
        counts[slot] = counts.get(slot, 0) + 1
        occurrence = counts[slot]
        if all(template.slots.count(slot) >= occurrence for template in templates):
            several = any(template.slots.count(slot) > 1 for template in templates)
            place = Position(slot, occurrence, 0, f"{slot}{occurrence}" if several else "")
            found[canonical(place, circuit.prompts)] = None
    found |= dict.fromkeys(p for role in circuit.roles for p in role.positions)
    return (*(place for place in found if place != AT_END), AT_END)
