"""A hypothesis that differs from a file in one thing."""

from dataclasses import dataclass, field

from circuitlang.circuit import Circuit
from circuitlang.report.mutation import Kind, Outcome
from circuitlang.source import Span


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change and the circuit that it makes.

    ``before`` and ``after`` are the changed place in the file's words, and ``span`` is where it
    stands. ``circuit`` is None when the check refused it. ``changed`` are indices into the
    circuit's ``all_claims`` of the claims that ask for another experiment, or for another bound,
    than any claim of the file. ``known`` is the outcome where no measurement is needed, and
    ``reason`` says why.
    """

    kind: Kind
    before: str
    after: str
    span: Span = field(compare=False)
    circuit: Circuit | None = None
    changed: tuple[int, ...] = ()
    known: Outcome | None = None
    reason: str = ""
