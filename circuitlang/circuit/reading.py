"""Claims that read the model and patch nothing: attention, what a head copies, what it writes."""

from dataclasses import dataclass, field
from enum import StrEnum

from circuitlang.circuit.bound import Bound
from circuitlang.circuit.component import Component
from circuitlang.circuit.position import Position
from circuitlang.source import Span


class ReadingKind(StrEnum):
    """What is read; docs/language.md defines each.

    ATTENTION, COPYING and DIRECT_EFFECT are read on the clean prompts, the others on sequences of
    random tokens that are repeated once.
    """

    ATTENTION = "attention"
    COPYING = "copying"
    DIRECT_EFFECT = "direct_effect"
    INDUCTION = "induction"
    PREVIOUS_TOKEN = "previous_token"
    DUPLICATE_TOKEN = "duplicate_token"

    @property
    def of_sequences(self) -> bool:
        """Whether it is read on random tokens, and not on the file's prompts."""
        return self in _OF_SEQUENCES

    @property
    def of_heads(self) -> bool:
        """Whether only attention heads have it."""
        return self is not ReadingKind.DIRECT_EFFECT

    @property
    def is_share(self) -> bool:
        """Whether it is a probability or a share, and so lies between 0 and 1."""
        return self is not ReadingKind.DIRECT_EFFECT


_OF_SEQUENCES = (ReadingKind.INDUCTION, ReadingKind.PREVIOUS_TOKEN, ReadingKind.DUPLICATE_TOKEN)


@dataclass(frozen=True, slots=True)
class ReadingClaim:
    """What is read of the clean run lies in a bound.

    ``positions`` are query and key of `attention`, and where the names of `copying` stand; nothing
    for the others. Of several heads the mean is claimed, of a direct effect the sum. ``negative``:
    `copying` by the negative of what the heads write.
    """

    kind: ReadingKind
    components: tuple[Component, ...]
    positions: tuple[Position, ...]
    negative: bool
    bound: Bound
    text: str
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class BaselineClaim:
    """The mean metric of the undisturbed model, on clean or corrupt prompts, lies in a bound.

    The bound is in the metric's unit and of the metric itself, also where lower is better.
    """

    corrupt: bool
    bound: Bound
    text: str
    span: Span = field(default=Span(0, 0), compare=False)
