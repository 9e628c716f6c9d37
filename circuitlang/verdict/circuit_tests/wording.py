"""A circuit-level test's part of the report."""

from typing import Any

from circuitlang.circuit import Ablation, Circuit, CircuitTestClaim
from circuitlang.report import ClaimReport, Estimate, Interval, Part, Verdict
from circuitlang.statistics.correction import Level
from circuitlang.statistics.permutations import limited_by_resamples
from circuitlang.verdict.circuit_tests.tested import CircuitTested, TestedPart
from circuitlang.verdict.decision import is_near, margin, verdict_of
from circuitlang.verdict.orientation import in_words
from circuitlang.verdict.wording import strata_of


def circuit_test_report(
    identity: dict[str, Any],
    claim: CircuitTestClaim,
    tested: CircuitTested,
    levels: tuple[Level, Level],
    circuit: Circuit,
) -> ClaimReport:
    """The verdict with the intervals that decided it; ``identity`` says which claim it is.

    The estimate is that of the part which a FAIL rests on, and else of the worst one.
    """
    bound = claim.bound
    passing, failing = levels
    shown = tested.failed if failing.rejected and not passing.rejected else tested.worst
    near = tested.noise > 0 and is_near(shown.value, bound, tested.noise)
    verdict = verdict_of(near, passing.rejected, failing.rejected)
    decided = verdict is not Verdict.INCONCLUSIVE
    fails = verdict is Verdict.FAIL if decided else margin(shown.value, bound) < 0
    level = failing.value if fails else passing.value
    parts = tuple(
        Part(
            name=part.name,
            value=part.value,
            unit=part.unit,
            interval=part.interval(level, fails),
            p_pass=part.tests.p_pass,
            p_fail=part.tests.p_fail,
        )
        for part in (shown, *(part for part in tested.parts if part is not shown))
    )
    strata = strata_of(shown.effect, claim, circuit, shown.templates)[0] if shown.effect else ()
    also = "" if shown is tested.worst else f"; the numbers are those of {shown.name}"
    reason = (
        f"rounding could decide: the estimate stands on a limit of `{bound}`"
        if near
        else _reason(verdict, tested, shown, parts[0].interval, claim, failing.value)
    )
    return ClaimReport(
        **identity,
        verdict=verdict,
        reason=reason,
        estimate=Estimate(
            value=shown.value,
            unit=shown.unit,
            interval=parts[0].interval,
            prompts=shown.prompts,
            change=shown.change,
            strata=strata,
        ),
        p_pass=tested.tests.p_pass,
        p_fail=tested.tests.p_fail,
        level=level,
        definition=f"{tested.definition}{in_words(circuit.metric)}; {_ablated(claim, circuit)}",
        also=f"{tested.also}{also}",
        parts=parts,
        searches=tested.searches,
    )


def _reason(
    verdict: Verdict,
    tested: CircuitTested,
    shown: TestedPart,
    interval: Interval,
    claim: CircuitTestClaim,
    failing: float,
) -> str:
    """Why; ``failing`` is the level of a fail."""
    every = "every interval" if len(tested.parts) > 1 else f"the {_percent(interval)} interval"
    if verdict is Verdict.PASS:
        return f"{every} lies inside its bound, `{claim.bound}`"
    if verdict is Verdict.FAIL:
        # Of parts that are not alike, the one that failed may have another unit than the estimate.
        failed = min((shown, *tested.parts), key=lambda part: part.tests.p_fail)
        return f"shown to lie outside: {failed.name}"
    if tested.least_fail > failing and margin(shown.value, claim.bound) < 0:
        more = "`resamples`" if limited_by_resamples(shown.prompts) else "prompts"
        return (
            f"the estimate lies outside `{claim.bound}`, but of so many parts no fail has a "
            f"p-value below {tested.least_fail:.2g}, and {failing:.2g} is needed: ask for more "
            f"{more}"
        )
    short = f": {tested.short}" if tested.short else ""
    return f"neither `{claim.bound}` nor its opposite was shown on {shown.prompts} prompts{short}"


def _percent(interval: Interval) -> str:
    return f"{100 * interval.level:.4g}%"


def _ablated(claim: CircuitTestClaim, circuit: Circuit) -> str:
    how = str(claim.reference)
    if claim.reference is Ablation.MEAN:
        per_template = " per template" if circuit.settings.per_template else ""
        how = f"their mean over the corrupt prompts{per_template}"
    parts = "heads and MLPs" if circuit.names_mlps else "heads"
    kept = "" if circuit.names_mlps else ", all MLPs kept"
    return f"ablated {parts} are replaced by {how}{kept}"
