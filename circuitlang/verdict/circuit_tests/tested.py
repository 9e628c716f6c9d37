"""What a circuit-level test gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from circuitlang.report import EstimateUnit, GreedySearch, Interval
from circuitlang.verdict.decision import Tests
from circuitlang.verdict.effect import Effect

IntervalAt = Callable[[float, bool], Interval]
"""The interval that decides at a level: that of a pass, or (true) that of a fail."""


@dataclass(frozen=True, slots=True, eq=False)
class TestedPart:
    """One part of a test: a component, a set that was knocked out, one of two conditions.

    ``tests`` are of this part alone. ``change`` is the mean change of the metric behind it, in its
    unit, on prompts of these ``templates``, ``[prompt]``. ``effect`` is the one behind it, where it
    is one, so that templates can be told apart; its sign is such that the bound speaks of it.
    """

    __test__ = False  # not a pytest class

    name: str
    value: float
    unit: EstimateUnit
    tests: Tests
    interval: IntervalAt
    change: float
    templates: tuple[int, ...]
    effect: Effect | None = None

    @property
    def prompts(self) -> int:
        """How many it was tested on."""
        return len(self.templates)


def every_part(parts: Sequence[TestedPart], chances: int | None = None) -> Tests:
    """Of a claim about every part: to pass, each must, which shares no level; to fail, one is
    enough, so the smallest p-value is multiplied by their number (Bonferroni), or by the
    ``chances`` that there were to find one."""
    return Tests(
        max(part.tests.p_pass for part in parts),
        min(1.0, (chances or len(parts)) * min(part.tests.p_fail for part in parts)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class CircuitTested:
    """A test's conclusions, with the part that speaks most against the claim first.

    ``tests`` are the p-values of the whole claim, corrected for its own parts. ``noise`` is how
    close to a limit rounding alone could decide. ``short`` says what a verdict would still need,
    and ``also`` what else a reader must see. ``searches`` are those that found some of the parts.
    ``least_fail`` is the smallest p-value that a fail can have, whatever was measured.
    """

    tests: Tests
    parts: tuple[TestedPart, ...]
    definition: str
    short: str = ""
    also: str = ""
    noise: float = 0.0
    searches: tuple[GreedySearch, ...] = ()
    least_fail: float = 0.0

    @property
    def worst(self) -> TestedPart:
        """The part with the estimate that speaks most against the claim."""
        return self.parts[0]

    @property
    def failed(self) -> TestedPart:
        """The part that a FAIL rests on: of those like the first, the one most surely outside."""
        alike = [part for part in self.parts if part.unit == self.worst.unit]
        return min(alike, key=lambda part: part.tests.p_fail)
