"""Whether there is a whole to take shares of: mean(clean - corrupt), reliably above zero.

Claims in % need one and have none else; the cells of a sweep are shown with a warning.
"""

from dataclasses import dataclass

from circuitlang.circuit import Circuit, Correction
from circuitlang.statistics.bootstrap import Array, Resampler
from circuitlang.statistics.distribution import Distribution, Widening


@dataclass(frozen=True, slots=True)
class Family:
    """How many claims share the declared level of significance."""

    level: float
    claims: int

    @classmethod
    def of(cls, circuit: Circuit) -> "Family":
        """The claims of a file; one where each has the level to itself, or where there is none."""
        alone = circuit.settings.correction is Correction.NONE
        return cls(circuit.settings.significance, 1 if alone else max(1, len(circuit.all_claims)))

    @property
    def first(self) -> float:
        """The level that the first claim must reach."""
        return self.level / self.claims


def p_of_whole(differences: Array, means: Array, draws: Resampler) -> float:
    """One-sided p-value that the mean of ``differences [prompt]`` is above zero.

    ``means [resample]`` are its means in the resamples.
    """
    widening = Widening.of(differences, draws)
    estimate = float(differences.mean())
    return Distribution.of(means, estimate, len(differences), widening, None).p_above(0.0)


def is_sure(p_value: float, prompts: int, family: Family) -> bool:
    """Whether so small a p-value shows a whole: at the level of the first claim of a family.

    Few prompts cannot show more than 2**-n.
    """
    return p_value <= max(family.first, 2.0**-prompts)


def doubt(differences: Array, noise: float, unit: str, draws: Resampler, family: Family) -> str:
    """What is wrong with shares of the mean of ``differences [prompt]``; empty if nothing is."""
    whole = float(differences.mean())
    shown = f"mean(clean - corrupt) = {whole:.4g} {unit}"
    if whole < 0:
        return (
            f"{shown} is below zero, so every sign is turned round: what helps has a negative "
            "share. Claims in % end with ERROR."
        )
    if draws.sizes.min() < 2:
        return (
            "a template has a single pair, so nothing tells how these numbers vary, nor whether "
            f"{shown} is reliably above zero."
        )
    means = draws.means(differences[:, None])[:, 0]
    sure = is_sure(p_of_whole(differences, means, draws), len(differences), family)
    if whole > noise and sure:
        return ""
    return (
        f"{shown} is not reliably above zero, so shares of it may have any size and sign. "
        "Claims in % end with ERROR."
    )
