"""Token positions by role: a slot's n-th occurrence, an offset from it, or the prompt's end."""

from dataclasses import dataclass, field

from circuitlang.source import Span

END = "END"
TOKEN = "#"
"""No slot can have this name: ``Position(TOKEN, offset=3)`` is the prompt's token 3, from 0."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """``S2+1`` is ``Position("S", 2, 1)``; ``occurrence`` counts from 1.

    A slot of several tokens stands for its last token; a negative offset counts from its first.
    ``END`` is the last token of the prompt, the one whose logits the metric reads. ``shown`` is how
    the file writes it; two names of one position are one position (see ``coincidence``). ``span``
    is where a file says it, empty where none does.
    """

    slot: str
    occurrence: int = 1
    offset: int = 0
    shown: str = field(default="", compare=False)
    span: Span = field(default=Span(0, 0), compare=False, repr=False)

    def __str__(self) -> str:
        return self.shown or self.slot + (f"{self.offset:+d}" if self.offset else "")


AT_END = Position(END)


def show_positions(positions: tuple[Position, ...]) -> str:
    """`S2`, `S1, S2`, or `every position` for the empty tuple."""
    return ", ".join(map(str, positions)) or "every position"
