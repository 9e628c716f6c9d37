"""What became of a hypothesis's mutants, as a part of its report."""

from enum import StrEnum
from typing import Literal

from circuitlang.evidence.frozen import Frozen


class Kind(StrEnum):
    """How a mutant differs from the file."""

    DROP = "drop"
    SWAP = "swap"
    REVERSE = "reverse"
    RE_SLOT = "re-slot"
    POSITION = "position"
    NEIGHBOUR = "neighbour"


class Outcome(StrEnum):
    """What the claims say that a change touches, or why none is asked.

    KILLED: one fails. SURVIVED: all pass, or there is none that could notice. UNDECIDED: none
    fails, and not all pass. REFUSED: the check of a file refuses the mutant. EQUIVALENT: it asks
    for no other experiment than the file. UNMEASURED: left out by a limit.
    """

    KILLED = "killed"
    SURVIVED = "survived"
    UNDECIDED = "undecided"
    REFUSED = "refused"
    EQUIVALENT = "equivalent"
    UNMEASURED = "unmeasured"


class MutatedClaim(Frozen):
    """A claim whose experiments the change touches; ``value`` is its effect in ``unit``,
    as in the claim's own estimate.

    ``reason`` says why the verdict is what it is.
    """

    text: str
    verdict: Literal["PASS", "FAIL", "INCONCLUSIVE", "ERROR"]
    reason: str
    value: float | None
    unit: str | None


class MutantReport(Frozen):
    """One mutant: what became what, at which line of the file, and how its claims were judged.

    ``reason`` says why a mutant has its outcome where no claim does.
    """

    kind: Kind
    before: str
    after: str
    line: int
    outcome: Outcome
    reason: str
    claims: tuple[MutatedClaim, ...]


class Mutation(Frozen):
    """All mutants of a file in file order, and the score.

    ``score`` = killed / (killed + survived + undecided), and ``score_with_refused`` counts refused
    mutants as killed; None where there is nothing to divide by. ``experiments`` were measured for
    mutants alone.
    """

    mutants: tuple[MutantReport, ...]
    experiments: int
    score: float | None
    score_with_refused: float | None

    def count(self, outcome: Outcome, kind: Kind | None = None) -> int:
        """Number of mutants with an outcome, of one kind or of all."""
        return sum(m.outcome is outcome and kind in (None, m.kind) for m in self.mutants)

    def of(self, outcome: Outcome) -> tuple[MutantReport, ...]:
        """Mutants with an outcome."""
        return tuple(mutant for mutant in self.mutants if mutant.outcome is outcome)
