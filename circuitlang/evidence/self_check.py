"""A law that must hold for the measurements to mean anything."""

from circuitlang.evidence.frozen import Frozen


class SelfCheck(Frozen):
    """One check: the largest deviation seen and the tolerance it must not pass.

    ``value`` is None when nothing finite could be measured, which is a failure. ``unit`` says what
    was compared (logits, residual stream, times).
    """

    name: str
    passed: bool
    value: float | None
    tolerance: float
    unit: str
    detail: str = ""

    @property
    def holds(self) -> bool:
        """Whether it passed, and its own numbers do not say otherwise."""
        return self.passed and self.value is not None and abs(self.value) <= self.tolerance
