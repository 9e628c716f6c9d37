"""One claim's part of the report: its numbers, and in words why it was judged so."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from circuitlang.circuit import (
    Ablation,
    AblationClaim,
    BaselineClaim,
    Bound,
    Circuit,
    CircuitTestClaim,
    Claim,
    EdgeClaim,
    Metric,
    PatchClaim,
    PathClaim,
    ReadingClaim,
    SteerClaim,
    show_positions,
)
from circuitlang.plan import Need
from circuitlang.report import ClaimReport, Estimate, Interval, Place, Stratum, Verdict, unit_of
from circuitlang.source import SourceText
from circuitlang.statistics.correction import Level
from circuitlang.statistics.permutations import limited_by_resamples, smallest_p
from circuitlang.verdict.baseline import baseline_in_words
from circuitlang.verdict.decision import (
    bound_tests,
    is_near,
    margin,
    sides,
    verdict_of,
)
from circuitlang.verdict.effect import Effect
from circuitlang.verdict.outlook import WANTED_POWER, prompts_to_decide
from circuitlang.verdict.readings import reading_in_words
from circuitlang.verdict.sampling import Tested
from circuitlang.verdict.shares import prompts_for_share, wide_enough


def error_report(claim: Claim, need: Need, reason: str, source: SourceText) -> ClaimReport:
    """ERROR, and why."""
    return ClaimReport(
        **identity(claim, need, source),
        verdict=Verdict.ERROR,
        reason=reason,
        estimate=None,
        p_pass=None,
        p_fail=None,
        level=None,
    )


def claim_report(
    claim: Claim,
    need: Need,
    tested: Tested,
    levels: tuple[Level, Level],
    circuit: Circuit,
    templates: Sequence[int],
    source: SourceText,
) -> ClaimReport:
    """The verdict with the interval that decided it.

    PASS is shown with the interval of its level, FAIL with that of its own; where neither could be
    said, the interval is of the conclusion that the estimate leans to.
    """
    effect, bound = tested.effect, claim.bound
    passing, failing = levels
    noise = effect.tolerance
    near = is_near(effect.value, bound, noise)
    verdict = verdict_of(near, passing.rejected, failing.rejected)
    decided = verdict is not Verdict.INCONCLUSIVE
    fails = verdict is Verdict.FAIL if decided else margin(effect.value, bound) < 0
    level = failing.value if fails else passing.value
    error = level / sides(bound) if fails else level
    interval = _interval(tested, error)
    strata, missing = strata_of(effect, claim, circuit, templates)
    estimate = Estimate(
        value=effect.value,
        unit=unit_of(bound.unit),
        interval=interval,
        method=tested.distribution.method,
        prompts=tested.distribution.prompts,
        change=float(effect.numerator.mean()),
        strata=strata,
    )
    reason = (
        _near_in_words(bound, noise, circuit.metric)
        if near
        else _reason(verdict, tested, (level, error), interval, bound, templates)
    )
    return ClaimReport(
        **identity(claim, need, source),
        verdict=verdict,
        reason=reason,
        estimate=estimate,
        p_pass=tested.tests.p_pass,
        p_fail=tested.tests.p_fail,
        level=level,
        definition=f"{effect.definition}; {_experiment_in_words(claim, circuit)}",
        also="; ".join(filter(None, (effect.also, missing))),
    )


def _near_in_words(bound: Bound, noise: float, metric: Metric) -> str:
    if noise < 10 * metric.noise:
        return f"rounding could decide: the estimate stands on a limit of `{bound}`"
    return (
        f"rounding could decide: {metric.noise:g} {metric.unit} are {100 * noise:.2g}% here, and "
        f"the estimate lies no further from a limit of `{bound}`"
    )


def _interval(tested: Tested, error: float) -> Interval:
    low, high, level = tested.distribution.limits(error)
    low, high = wide_enough(tested.effect, low, high, (1 - level) / 2)
    return Interval(low=low, high=high, level=level)


def _reason(
    verdict: Verdict,
    tested: Tested,
    levels: tuple[float, float],
    interval: Interval,
    bound: Bound,
    templates: Sequence[int],
) -> str:
    """Why; ``levels`` are the claim's, and that of one side of its interval."""
    distribution = tested.distribution
    shown = f"the {100 * interval.level:.4g}% interval"
    if verdict is Verdict.PASS:
        return f"{shown} lies inside `{bound}`"
    if verdict is Verdict.FAIL:
        return f"{shown} lies outside `{bound}`"
    prompts, resamples = distribution.prompts, distribution.resamples
    if levels[1] < smallest_p(prompts, resamples):
        level = f"{levels[1]:.2g}"
        if limited_by_resamples(prompts):
            return f"{resamples:,} resamples cannot reach the level {level}: ask for more"
        return f"{prompts} prompts cannot reach the level {level}, however many resamples are drawn"
    if margin(interval.low, bound) > 0 and margin(interval.high, bound) > 0:
        return f"{shown} lies inside `{bound}`, and {_flip_in_words(tested, bound, True)}"
    if _outside(interval, bound):
        return f"{shown} lies outside `{bound}`, and {_flip_in_words(tested, bound, False)}"
    needed = prompts_to_decide(tested.effect, bound, tuple(templates), levels[0])
    if needed is not None and tested.effect.is_share_of_few:
        share = prompts_for_share(tested.effect, bound, levels[1])
        needed = None if share is None else max(needed, share)
    more = (
        "the estimate is too close to it for any number of prompts to decide"
        if needed is None
        else f"about {max(needed, prompts + 1):,} prompts would decide it with "
        f"{100 * WANTED_POWER:.0f}% power, if effect and spread stay"
    )
    return f"{shown} holds a limit of `{bound}`; {more}"


def _outside(interval: Interval, bound: Bound) -> bool:
    below = bound.low is not None and interval.high < bound.low
    return below or (bound.high is not None and interval.low > bound.high)


def _flip_in_words(tested: Tested, bound: Bound, passes: bool) -> str:
    """What the sign flips alone say, when they are what stands in the way."""
    tests = bound_tests(bound, tested.flips)
    p_value = tests.p_pass if passes else tests.p_fail
    name = "sign flips or the test of shares give"
    if not tested.effect.is_share_of_few:
        name = "sign flips give"
    return f"{name} p = {p_value:.2g}, which is not enough: more prompts are needed"


def identity(claim: Claim, need: Need, source: SourceText) -> dict[str, Any]:
    """The fields of a report that say which claim it is about."""
    line, column = source.line_column(claim.span.start)
    edge = claim if isinstance(claim, EdgeClaim | PathClaim) else None
    return {
        "text": claim.text,
        "kind": _kind(claim),
        "place": Place(file=source.name, line=line, column=column),
        "bound": str(claim.bound),
        "experiments": need.measured,
        "senders": tuple(map(str, edge.senders)) if edge else (),
        "receivers": tuple(map(str, edge.receivers)) if edge else (),
    }


def _kind(claim: Claim) -> str:
    if isinstance(claim, CircuitTestClaim):
        return str(claim.test)
    if isinstance(claim, EdgeClaim):
        return "absence" if claim.absent else "edge"
    if isinstance(claim, PatchClaim):
        return "patch"
    if isinstance(claim, SteerClaim):
        return "steer"
    if isinstance(claim, PathClaim):
        return "path"
    if isinstance(claim, ReadingClaim):
        return str(claim.kind)
    if isinstance(claim, BaselineClaim):
        return "baseline"
    return "ablate" if isinstance(claim, AblationClaim) else "faithfulness"


def _experiment_in_words(claim: Claim, circuit: Circuit) -> str:
    per_template = " per template" if circuit.settings.per_template else ""
    if isinstance(claim, EdgeClaim):
        frozen = (
            "other heads frozen, MLPs between recompute"
            if claim.through_mlps
            else "every other head and every MLP frozen"
        )
        return f"{claim.direction} at {show_positions(claim.positions)}, {frozen}"
    if isinstance(claim, PatchClaim):
        parts = ", ".join(map(str, claim.sites))
        return f"{parts} patched at {show_positions(claim.positions)}, {claim.direction}"
    if isinstance(claim, SteerClaim):
        parts = ", ".join(map(str, claim.sites))
        if claim.texts is not None:
            what = '{:g} * ("{}" - "{}")'.format(claim.factor, *claim.texts)
            if claim.positions:
                place = show_positions(claim.positions)
                return f"{what}, at the texts' last tokens, added to {parts} at {place}"
            return f"{what}, token by token, added to {parts} from the first token on"
        what = f"{claim.factor:g} times the mean of clean - corrupt{per_template}"
        others = "over the other prompts"
        return f"{what} {others} added to {parts} at {show_positions(claim.positions)}"
    if isinstance(claim, PathClaim):
        places = ", then ".join(show_positions(hop.positions) for hop in claim.hops)
        frozen = "all but the path frozen up to its end"
        if any(hop.through_mlps for hop in claim.hops):
            frozen = "heads off the path frozen up to its end, MLPs too but on hops by `~>`"
        return f"{claim.direction}, hop by hop at {places}; {frozen}"
    if isinstance(claim, ReadingClaim):
        return reading_in_words(claim)
    if isinstance(claim, BaselineClaim):
        return baseline_in_words(claim)
    how = str(claim.reference)
    if claim.reference is Ablation.MEAN:
        how = f"mean over the corrupt prompts{per_template}"
    if isinstance(claim, AblationClaim):
        return f"outputs at {show_positions(claim.positions)} replaced by {how}"
    parts = "heads and MLPs" if circuit.names_mlps else "heads"
    kept = "" if circuit.names_mlps else ", all MLPs kept"
    return f"{parts} outside the circuit or away from their positions replaced by {how}{kept}"


def strata_of(
    effect: Effect, claim: Claim, circuit: Circuit, templates: Sequence[int]
) -> tuple[tuple[Stratum, ...], str]:
    """Per template, the one that speaks most against the claim first; and which have no value."""
    strata, missing = [], []
    numbers = np.array(templates)
    for number, template in enumerate(circuit.prompts.templates):
        rows = numbers == number
        if not rows.any():
            continue
        value = effect.on(rows)
        if np.isfinite(value):
            count = int(rows.sum())
            strata.append(
                Stratum(template=number + 1, text=str(template), prompts=count, value=value)
            )
        else:
            missing.append(f"template {number + 1} has nothing to divide by")
    strata.sort(key=lambda stratum: margin(stratum.value, claim.bound))
    return tuple(strata), "; ".join(missing)
