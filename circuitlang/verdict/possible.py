"""Values that a metric cannot have: evidence that holds one was not measured as it says."""

from collections.abc import Sequence

from circuitlang.circuit import Metric
from circuitlang.evidence import Evidence

SHARE_NOISE = 1e-3
"""How far rounding may take a probability or a share, in half precision, beyond 0 and 1."""


def without_impossible(evidence: Evidence, metric: Metric) -> tuple[Evidence, str]:
    """Evidence in which a column with an impossible value is an error of its experiment; and why
    nothing can be judged, where it is the clean or the corrupt run.

    Rounding may take a value as far beyond the limit as `Metric.noise`. The clean run is what `kl`
    compares with, so there it is 0.
    """
    limits = metric.kind.lowest, metric.kind.highest
    own = (0.0, 0.0) if metric.name == "kl" else limits
    for what, column, allowed in (
        ("clean run", evidence.clean, own),
        ("corrupt run", evidence.corrupt, limits),
    ):
        if problem := _problem(column, what, allowed, metric, evidence):
            return evidence, problem
    errors = {
        name: problem
        for name, column in evidence.patched.items()
        if (problem := _problem(column, "patched run", limits, metric, evidence))
    }
    if not errors:
        return evidence, ""
    return evidence.model_copy(update={"errors": errors | evidence.errors}), ""


def is_share(value: float) -> bool:
    """Whether a number may be a probability or a share of things, up to rounding."""
    return -SHARE_NOISE <= value <= 1 + SHARE_NOISE


def _problem(
    column: Sequence[float | None],
    what: str,
    limits: tuple[float, float],
    metric: Metric,
    evidence: Evidence,
) -> str:
    """The first impossible value of a column in words; empty where there is none."""
    lowest, highest = limits
    for row, value in enumerate(column):
        if value is None:
            continue
        if value < lowest - metric.noise:
            beyond = f"below {lowest:g}"
        elif value > highest + metric.noise:
            beyond = f"above {highest:g}"
        else:
            continue
        number = evidence.prompts[row].number or row + 1 if row < len(evidence.prompts) else row + 1
        return (
            f"the {what} cannot be believed: its {metric.name} is {value:.6g} on prompt {number}, "
            f"and none lies {beyond}"
        )
    return ""
