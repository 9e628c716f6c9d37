"""The looks of a sequential run: after how many prompts, and at what level."""

from dataclasses import dataclass, replace

from circuitlang.circuit import Circuit
from circuitlang.statistics.sequential import ends, shares


@dataclass(frozen=True, slots=True)
class Look:
    """A look, counted from 1: the file's first ``prompts``, judged at ``level``.

    The levels of all looks sum to the file's; ``spent`` is that of this look and those before.
    """

    number: int
    prompts: int
    level: float
    spent: float


def looks_of(circuit: Circuit) -> tuple[Look, ...]:
    """The planned looks of a file; a single one, at the whole level, unless it asks for more.

    Templates take turns, so every look has equally many prompts of each, but for a last one whose
    number they do not divide.
    """
    settings, prompts = circuit.settings, circuit.prompts
    parts = shares(settings.looks)
    sizes = ends(prompts.sample, settings.looks, len(prompts.templates))
    return tuple(
        Look(
            number,
            size,
            settings.significance * float(part),
            settings.significance * float(sum(parts[:number])),
        )
        for number, (part, size) in enumerate(zip(parts, sizes, strict=True), 1)
    )


def look_with(circuit: Circuit, prompts: int) -> Look | None:
    """The look that so many prompts belong to; None when no look ends there."""
    return next((look for look in looks_of(circuit) if look.prompts == prompts), None)


def at_look(circuit: Circuit, look: Look) -> Circuit:
    """The circuit as that look judges it: at its level, as if it were the only one."""
    return replace(circuit, settings=replace(circuit.settings, significance=look.level, looks=1))
