"""Judging the metric of the undisturbed model itself."""

from circuitlang.circuit import BaselineClaim, Claim, Metric, Unit
from circuitlang.evidence import Evidence
from circuitlang.report import ClaimReport
from circuitlang.verdict.effect import Effect, finite


def baseline_effect(claim: BaselineClaim, evidence: Evidence, metric: Metric) -> Effect:
    """The metric of each clean or corrupt prompt, in its own direction.

    ``evidence`` holds scores, which are minus the metric where lower is better.

    Raises:
        NotMeasuredError: a run gave a value that is not finite.
    """
    world = "corrupt" if claim.corrupt else "clean"
    column = evidence.corrupt if claim.corrupt else evidence.clean
    scores = finite(column, f"{world} run", evidence)
    # 0.0 - x rather than -x: no negative zero.
    values = scores if metric.sign > 0 else 0.0 - scores
    # An accuracy is a share of prompts, and with few of them often all or nothing.
    few = metric.unit is Unit.ACCURACY
    definition = f"mean({metric.name}) of the {world} prompts"
    return Effect(values, None, definition, noise=metric.noise, is_share_of_few=few)


def inside_its_range(report: ClaimReport, claim: Claim, metric: Metric) -> ClaimReport:
    """A report whose interval holds only what the metric can be; other claims' as they are."""
    estimate = report.estimate
    if not isinstance(claim, BaselineClaim) or estimate is None:
        return report
    low, high = metric.kind.lowest, metric.kind.highest
    found = estimate.interval
    limits = {"low": min(high, max(low, found.low)), "high": max(low, min(high, found.high))}
    interval = found.model_copy(update=limits)
    return report.model_copy(
        update={"estimate": estimate.model_copy(update={"interval": interval})}
    )


def baseline_in_words(claim: BaselineClaim) -> str:
    """What was read."""
    world = "corrupt" if claim.corrupt else "clean"
    return f"the model undisturbed on the {world} prompts, in the metric's own direction"
