"""Judging a plan's evidence: one report."""

import hashlib
from collections.abc import Sequence

import numpy as np

from circuitlang import __version__
from circuitlang.circuit import (
    Ablation,
    AblationClaim,
    Bound,
    Circuit,
    Claim,
    Correction,
    EdgeClaim,
    Unit,
    show_positions,
)
from circuitlang.evidence import Evidence
from circuitlang.plan import Need, Plan
from circuitlang.report import (
    Baseline,
    ClaimReport,
    Estimate,
    Interval,
    Place,
    Report,
    Settings,
    Stratum,
    Verdict,
)
from circuitlang.source import SourceText
from circuitlang.verdict.bootstrap import Array, Resampler, resampler, share_at_most
from circuitlang.verdict.decision import (
    Tests,
    holm_levels,
    interval_of,
    prompts_needed,
    test_bound,
    verdict_of,
)
from circuitlang.verdict.effect import Effect, NotMeasuredError, effect_of

INTERVAL_METHOD = (
    "paired bootstrap inside templates, expanded percentiles, error split to each side"
)


def judge(plan: Plan, evidence: Evidence, source: SourceText) -> Report:
    """Verdicts on every claim of a plan; the same evidence always gives the same report.

    A failed self-check turns every verdict into ERROR: numbers from an engine that breaks a law
    are no evidence.
    """
    circuit = plan.circuit
    claims = circuit.all_claims
    templates = np.array([prompt.template for prompt in evidence.prompts], dtype=np.intp)
    draws = resampler(templates, circuit.settings.resamples, circuit.settings.seed)
    broken = [check.name for check in evidence.self_checks if not check.passed]
    found = [
        _measure_claim(claim, need, evidence, draws, broken)
        for claim, need in zip(claims, plan.needs, strict=True)
    ]
    levels = _levels(circuit, [None if isinstance(f, str) else f[2] for f in found])
    reports = tuple(
        _claim_report(claim, need, result, level, circuit, templates, draws, source)
        for claim, need, result, level in zip(claims, plan.needs, found, levels, strict=True)
    )
    return Report(
        circuitlang=__version__,
        file=source.name,
        file_sha256=hashlib.sha256(source.text.encode()).hexdigest(),
        circuit=circuit.name,
        title=circuit.title,
        complete=evidence.complete,
        provenance=evidence.provenance,
        baseline=_baseline(circuit, evidence),
        settings=_settings(circuit),
        claims=reports,
        self_checks=evidence.self_checks,
        notes=evidence.notes,
    )


Measured = tuple[Effect, Array, Tests]


def _measure_claim(
    claim: Claim, need: Need, evidence: Evidence, draws: Resampler, broken: Sequence[str]
) -> Measured | str:
    """The effect, its resamples and tests; or why there are none."""
    if broken:
        return f"self-check failed: {'; '.join(broken)}"
    try:
        effect = effect_of(claim, need, evidence)
    except NotMeasuredError as error:
        return str(error)
    if effect.denominator is not None:
        below = draws.p_value(share_at_most(draws.means(effect.denominator), 0.0))
        if below > 0.025:
            return (
                f"there is nothing to divide by: the denominator of {effect.definition} is "
                f"{float(effect.denominator.mean()):.4g} and not reliably above zero"
            )
    resampled = effect.resampled(draws)
    return effect, resampled, test_bound(resampled, claim.bound, draws)


def _levels(
    circuit: Circuit, tests: Sequence[Tests | None]
) -> list[tuple[tuple[float, bool], tuple[float, bool]]]:
    """Corrected level and rejection of each claim's two null hypotheses.

    False PASSes and false FAILs are two families: each is kept at the declared level.
    """
    level = circuit.settings.significance
    families = (
        [None if t is None else t.p_pass for t in tests],
        [None if t is None else t.p_fail for t in tests],
    )
    if circuit.settings.correction is Correction.HOLM:
        passes, fails = (holm_levels(family, level) for family in families)
    else:
        passes, fails = (
            [(level, p is not None and p <= level) for p in family] for family in families
        )
    return list(zip(passes, fails, strict=True))


def _claim_report(
    claim: Claim,
    need: Need,
    result: Measured | str,
    levels: tuple[tuple[float, bool], tuple[float, bool]],
    circuit: Circuit,
    templates: "np.ndarray[tuple[int], np.dtype[np.intp]]",
    draws: Resampler,
    source: SourceText,
) -> ClaimReport:
    line, column = source.line_column(claim.span.start)
    edge = claim if isinstance(claim, EdgeClaim) else None
    common = {
        "text": claim.text,
        "kind": _kind(claim),
        "place": Place(file=source.name, line=line, column=column),
        "bound": str(claim.bound),
        "experiments": tuple(name for _, name in need.experiments),
        "senders": tuple(map(str, edge.senders)) if edge else (),
        "receivers": tuple(map(str, edge.receivers)) if edge else (),
    }
    if isinstance(result, str):
        return ClaimReport(
            **common, verdict=Verdict.ERROR, reason=result,
            estimate=None, p_pass=None, p_fail=None, level=None,
        )  # fmt: skip
    effect, resampled, tests = result
    (pass_level, passed), (fail_level, failed) = levels
    verdict = verdict_of(effect.value, claim.bound, passed, failed)
    level = fail_level if verdict is Verdict.FAIL else pass_level
    interval = interval_of(resampled, level, draws)
    estimate = Estimate(
        value=effect.value,
        unit="fraction" if claim.bound.unit is Unit.FRACTION else "logits",
        interval=interval,
        prompts=draws.prompts,
        change=float(effect.numerator.mean()),
        strata=_strata(effect, claim.bound, circuit, templates),
    )
    return ClaimReport(
        **common,
        verdict=verdict,
        reason=_reason(verdict, effect.value, interval, claim.bound, draws.prompts),
        estimate=estimate,
        p_pass=tests.p_pass,
        p_fail=tests.p_fail,
        level=level,
        definition=f"{effect.definition}; {_experiment_in_words(claim, circuit)}",
        also=effect.also,
    )


def _kind(claim: Claim) -> str:
    if isinstance(claim, EdgeClaim):
        return "absence" if claim.absent else "edge"
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
    how = str(claim.reference)
    if claim.reference is Ablation.MEAN:
        how = f"mean over the corrupt prompts{per_template}"
    if isinstance(claim, AblationClaim):
        return f"outputs at {show_positions(claim.positions)} replaced by {how}"
    return f"heads outside the circuit or away from their positions replaced by {how}"


def _strata(
    effect: Effect,
    bound: Bound,
    circuit: Circuit,
    templates: "np.ndarray[tuple[int], np.dtype[np.intp]]",
) -> tuple[Stratum, ...]:
    """Per template, the one that speaks most against the claim first."""
    strata = []
    for number, template in enumerate(circuit.prompts.templates):
        rows = templates == number
        value = effect.on(rows) if rows.any() else float("nan")
        if np.isfinite(value):
            strata.append(
                Stratum(template=number + 1, text=str(template), prompts=int(rows.sum()), value=value)
            )
    return tuple(sorted(strata, key=lambda s: _margin(s.value, bound)))


def _margin(value: float, bound: Bound) -> float:
    """How far inside its bound a value lies; negative outside."""
    low = value - bound.low if bound.low is not None else np.inf
    high = bound.high - value if bound.high is not None else np.inf
    return float(min(low, high))


def _reason(
    verdict: Verdict, value: float, interval: Interval, bound: Bound, prompts: int
) -> str:
    shown = f"the {100 * interval.level:.4g}% interval"
    if verdict is Verdict.PASS:
        return f"{shown} lies inside `{bound}`"
    if verdict is Verdict.FAIL:
        return f"{shown} lies outside `{bound}`"
    needed = prompts_needed(value, interval, bound, prompts)
    more = (
        f"about {needed:,} prompts would decide it, if the estimate stays"
        if needed is not None and needed > prompts
        else "the estimate stands on the limit, and more prompts will not decide it"
        if needed is None
        else "the other claims of the family leave too little of the significance level"
    )
    return f"{shown} holds a limit of `{bound}`; {more}"


def _baseline(circuit: Circuit, evidence: Evidence) -> Baseline:
    clean = [value for value in evidence.clean if value is not None]
    corrupt = [value for value in evidence.corrupt if value is not None]
    first = evidence.prompts[0]
    return Baseline(
        metric=str(circuit.metric),
        unit=circuit.metric.unit,
        prompts=len(evidence.prompts),
        clean=float(np.mean(clean)) if clean else 0.0,
        corrupt=float(np.mean(corrupt)) if corrupt else 0.0,
        preferred=float(np.mean([value > 0 for value in clean])) if clean else 0.0,
        answered=float(np.mean(evidence.answered)),
        example=f"{first.clean} -> {first.answer}",
        example_tokens=first.tokens,
    )


def _settings(circuit: Circuit) -> Settings:
    settings = circuit.settings
    per_template = settings.ablation is Ablation.MEAN and settings.per_template
    return Settings(
        ablation=f"{settings.ablation}{' per template' if per_template else ''}",
        direction=str(settings.direction),
        significance=settings.significance,
        correction=str(settings.correction),
        family=len(circuit.all_claims),
        resamples=settings.resamples,
        seed=settings.seed,
        minimum_effect=settings.minimum_effect,
        interval_method=INTERVAL_METHOD,
    )


