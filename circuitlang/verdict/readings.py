"""Judging what was read of the undisturbed model."""

from collections.abc import Sequence

import numpy as np

from circuitlang.circuit import (
    BaselineClaim,
    Circuit,
    Claim,
    Metric,
    ReadingClaim,
    ReadingKind,
    Unit,
    show_positions,
)
from circuitlang.evidence import Evidence
from circuitlang.plan import Need
from circuitlang.plan.readings import TOP
from circuitlang.report import ClaimReport
from circuitlang.statistics.bootstrap import Array, Resampler
from circuitlang.verdict.baseline import baseline_effect
from circuitlang.verdict.effect import Effect, NotMeasuredError, effect_of, finite
from circuitlang.verdict.orientation import of_metric
from circuitlang.verdict.possible import is_share
from circuitlang.verdict.sampling import Tested, sample_effects
from circuitlang.verdict.whole import Family


def effect_or_reading(claim: Claim, need: Need, evidence: Evidence, metric: Metric) -> Effect:
    """What a claim is about, on the prompts: an effect of scores, or what was read.

    Raises:
        NotMeasuredError: it was not measured, or gave a value that is not finite.
    """
    if isinstance(claim, BaselineClaim):
        return baseline_effect(claim, evidence, metric)
    if not isinstance(claim, ReadingClaim):
        return of_metric(effect_of(claim, need, evidence), metric)
    (name,) = need.readings
    _raise_error(name, evidence)
    column = evidence.readings.get(name)
    if column is None:
        raise NotMeasuredError("the run ended before this was read")
    read = finite(column, "reading", evidence)
    if claim.kind.is_share and not all(map(is_share, read)):
        raise NotMeasuredError(f"a value of `{claim.kind}` is no number between 0 and 1")
    whole, over = None, ""
    if claim.kind is ReadingKind.DIRECT_EFFECT and claim.bound.unit is Unit.FRACTION:
        whole, over = finite(evidence.clean, "clean run", evidence), " / mean(clean)"
    few = claim.kind is ReadingKind.COPYING
    return Effect(read, whole, f"mean({claim.kind}){over}", is_share_of_few=few)


def score_tested(claim: ReadingClaim, need: Need, evidence: Evidence, circuit: Circuit) -> Tested:
    """A score on random tokens with its tests: over sequences, and not over prompts.

    Raises:
        NotMeasuredError: it was not measured, or gave a value that is not finite.
    """
    (name,) = need.readings
    _raise_error(name, evidence)
    scores = _numbers(evidence.scores.get(name, ()))
    effect = Effect(scores, None, f"mean({claim.kind})")
    settings = circuit.settings
    draws = Resampler((0,) * len(scores), settings.resamples, settings.seed)
    (tested,) = sample_effects([(effect, claim.bound)], draws, Family.of(circuit))
    if isinstance(tested, str):
        raise NotMeasuredError(tested)
    return tested


def _raise_error(name: str, evidence: Evidence) -> None:
    if name in evidence.errors:
        raise NotMeasuredError(evidence.errors[name])


def _numbers(column: Sequence[float | None]) -> Array:
    if len(column) < 2:
        raise NotMeasuredError("the run ended before this was read")
    if any(value is None or not is_share(value) for value in column):
        raise NotMeasuredError("an attention score is no number between 0 and 1")
    return np.array(column, dtype=np.float64)


def reading_report(report: ClaimReport, claim: Claim) -> ClaimReport:
    """A report in the words of what was read; other claims' reports as they are."""
    estimate = report.estimate
    if not isinstance(claim, ReadingClaim) or estimate is None:
        return report
    if claim.kind.is_share:
        found = estimate.interval
        # What lies between 0 and 1 cannot have a mean elsewhere.
        limits = {"low": min(1.0, max(0.0, found.low)), "high": max(0.0, min(1.0, found.high))}
        interval = found.model_copy(update=limits)
        estimate = estimate.model_copy(update={"unit": "share", "interval": interval})
    reason = report.reason
    if claim.kind.of_sequences:
        estimate = estimate.model_copy(update={"strata": ()})
        reason = reason.replace(" prompts", " sequences")
    return report.model_copy(update={"estimate": estimate, "reason": reason})


def reading_in_words(claim: ReadingClaim) -> str:
    """What was read, and where."""
    heads = "mean over heads" if len(claim.components) > 1 else "of the head"
    places = show_positions(claim.positions)
    match claim.kind:
        case ReadingKind.ATTENTION:
            query, key = claim.positions
            return f"probability from {query} to {key} on clean prompts, {heads}"
        case ReadingKind.COPYING:
            sign = "minus " if claim.negative else ""
            return (
                f"share of the tokens at {places} that are among the {TOP} largest logits of "
                f"{sign}what the OV matrix makes of them, {heads}"
            )
        case ReadingKind.DIRECT_EFFECT:
            return "what is written at END, through the final norm with its scale frozen"
        case ReadingKind.INDUCTION:
            return f"attention to what followed the token before, random tokens, {heads}"
        case ReadingKind.PREVIOUS_TOKEN:
            return f"attention to the token before, random tokens, {heads}"
        case ReadingKind.DUPLICATE_TOKEN:
            return f"attention to the same token before, random tokens, {heads}"
