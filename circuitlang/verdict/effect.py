"""Effects from measurements: ratios of means, never means of ratios."""

from dataclasses import dataclass

import numpy as np

from circuitlang.circuit import AblationClaim, Claim, Direction, EdgeClaim, Unit
from circuitlang.evidence import Evidence
from circuitlang.plan import Need, Use
from circuitlang.verdict.bootstrap import Array, Resampler


class NotMeasuredError(Exception):
    """The claim has no finite measurement; the message is the reason."""


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """A numerator and, for fractions, a denominator, one value a prompt, in the metric's unit.

    ``definition`` says in words what is divided by what.
    """

    numerator: Array
    denominator: Array | None
    definition: str
    also: str = ""

    @property
    def value(self) -> float:
        """mean(numerator) / mean(denominator)."""
        top = float(self.numerator.mean())
        return top if self.denominator is None else top / float(self.denominator.mean())

    def resampled(self, resampler: Resampler) -> Array:
        """The value in every resample."""
        top = resampler.means(self.numerator)
        return top if self.denominator is None else top / resampler.means(self.denominator)

    def on(self, rows: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> float:
        """The value on some prompts; NaN where their denominator is zero."""
        top = float(self.numerator[rows].mean())
        if self.denominator is None:
            return top
        bottom = float(self.denominator[rows].mean())
        return top / bottom if bottom else float("nan")


def effect_of(claim: Claim, need: Need, evidence: Evidence) -> Effect:
    """What a claim is about, from its experiments.

    Raises:
        NotMeasuredError: an experiment failed, was not run, or gave a value that is not finite.
    """
    clean = _finite(evidence.clean, "clean run")
    corrupt = _finite(evidence.corrupt, "corrupt run")
    if isinstance(claim, EdgeClaim):
        patched = _measured(evidence, need.of(Use.EFFECT))
        gap = clean - corrupt if claim.bound.unit is Unit.FRACTION else None
        over = " / mean(clean - corrupt)" if gap is not None else ""
        if claim.direction is Direction.NOISING:
            return Effect(clean - patched, gap, f"mean(clean - patched){over}")
        return Effect(patched - corrupt, gap, f"mean(patched - corrupt){over}")
    if isinstance(claim, AblationClaim):
        ablated = _measured(evidence, need.of(Use.EFFECT))
        gap = clean - corrupt if claim.bound.unit is Unit.FRACTION else None
        over = " / mean(clean - corrupt)" if gap is not None else ""
        return Effect(clean - ablated, gap, f"mean(clean - ablated){over}")
    alone, empty = (_measured(evidence, need.of(use)) for use in (Use.CIRCUIT, Use.EMPTY))
    ratio = f"F(C) / F(M) = {float(alone.mean()):.4g} / {float(clean.mean()):.4g}"
    if clean.mean():
        ratio += f" = {100 * float(alone.mean() / clean.mean()):.1f}%"
    also = f"{ratio}; F(empty) = {float(empty.mean()):.4g}"
    return Effect(alone - empty, clean - empty, "(F(C) - F(empty)) / (F(M) - F(empty))", also)


def _measured(evidence: Evidence, experiment: str) -> Array:
    if experiment in evidence.errors:
        raise NotMeasuredError(evidence.errors[experiment])
    if experiment not in evidence.patched:
        raise NotMeasuredError("the run ended before this was measured")
    return _finite(evidence.patched[experiment], "patched run")


def _finite(values: "tuple[float | None, ...]", what: str) -> Array:
    missing = [i for i, value in enumerate(values) if value is None]
    if missing:
        shown = ", ".join(str(i + 1) for i in missing[:5])
        raise NotMeasuredError(
            f"the {what} has no finite value on {len(missing)} of {len(values)} prompts "
            f"(prompt {shown}{', ...' if len(missing) > 5 else ''})"
        )
    return np.array(values, dtype=np.float64)
