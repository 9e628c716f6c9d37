"""What a case gives: tables of rows, lines of text, and whether all values agreed."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """What the command was asked for.

    ``samples`` is the number of experiments that slow methods run before their time is scaled.
    """

    quick: bool = False
    repeats: int = 3
    samples: int = 8
    device: str = "cpu"
    threads: int | None = None


@dataclass(slots=True)
class Section:
    """One table: ``rows`` are named values, for people in ``text`` and for programs as they are."""

    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    agrees: bool = True


@dataclass(slots=True)
class Outcome:
    """All tables of one case."""

    case: str
    sections: list[Section] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether every value that was compared agreed with the reference."""
        return all(section.agrees for section in self.sections)
