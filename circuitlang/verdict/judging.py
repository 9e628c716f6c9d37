"""Judging a plan's evidence: one report."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from circuitlang import __version__
from circuitlang.circuit import Ablation, Circuit, CircuitTestClaim, Claim, Correction, ReadingClaim
from circuitlang.evidence import Evidence, distrust
from circuitlang.plan import Need, Plan, few_swept
from circuitlang.report import Baseline, ClaimReport, Report, Settings
from circuitlang.source import SourceText
from circuitlang.statistics.bootstrap import Resampler
from circuitlang.statistics.correction import Level, bh_levels, holm_levels, plain_levels
from circuitlang.verdict.baseline import inside_its_range
from circuitlang.verdict.circuit_tests import CircuitTested, circuit_test, circuit_test_report
from circuitlang.verdict.effect import Effect, NotMeasuredError
from circuitlang.verdict.gate import Gated, gate
from circuitlang.verdict.orientation import oriented
from circuitlang.verdict.random_edges import among_random_edges
from circuitlang.verdict.readings import effect_or_reading, reading_report, score_tested
from circuitlang.verdict.sampling import Tested, sample_effects
from circuitlang.verdict.sweeps import sweep_reports
from circuitlang.verdict.whole import Family
from circuitlang.verdict.wording import claim_report, error_report, identity

INTERVAL_METHOD = (
    "paired bootstrap inside templates, BCa (percentile where it is not defined), widened by "
    "Student's t, no narrower than by Student's t with more skewness than the sample shows, the "
    "level of error on each side; a verdict needs sign flips to agree"
)
_CORRECTIONS = {
    Correction.HOLM: holm_levels,
    Correction.BH: bh_levels,
    Correction.NONE: plain_levels,
}


def judge(plan: Plan, evidence: Evidence, source: SourceText) -> Report:
    """Verdicts on every claim of a plan; the same evidence always gives the same report.

    A self-check that failed or is missing turns every verdict into ERROR: numbers from an engine
    that breaks a law are no evidence.
    """
    circuit = plan.circuit
    unsound, found = distrust(evidence), gate(evidence, circuit)
    gated = replace(
        found,
        evidence=oriented(found.evidence, circuit.metric),
        measured=oriented(found.measured, circuit.metric),
    )
    evidence = gated.evidence
    templates = tuple(prompt.template for prompt in evidence.prompts)
    draws = Resampler(templates, circuit.settings.resamples, circuit.settings.seed)
    unfit = _unfit(evidence, draws, unsound or gated.unfit)
    results = _results(plan, gated, draws, unfit)
    levels = _levels(circuit, results)
    reports = tuple(
        _report(claim, need, result, level, (circuit, evidence, templates, source))
        for claim, need, result, level in zip(
            circuit.all_claims, plan.needs, results, levels, strict=True
        )
    )
    return Report(
        circuitlang=__version__,
        file=source.name,
        file_sha256=hashlib.sha256(source.text.encode()).hexdigest(),
        circuit=circuit.name,
        title=circuit.title,
        complete=evidence.complete,
        provenance=evidence.provenance,
        baseline=_baseline(circuit, found.evidence, found.measured),
        pairs=gated.pairs,
        settings=_settings(circuit),
        claims=reports,
        sweeps=sweep_reports(plan, gated, source, draws, unsound or gated.refused),
        self_checks=evidence.self_checks,
        notes=evidence.notes,
    )


def _report(
    claim: Claim,
    need: Need,
    result: Tested | CircuitTested | str,
    level: tuple[Level, Level],
    known: tuple[Circuit, Evidence, tuple[int, ...], SourceText],
) -> ClaimReport:
    circuit, evidence, templates, source = known
    if isinstance(result, str):
        return error_report(claim, need, result, source)
    if isinstance(result, CircuitTested):
        if not isinstance(claim, CircuitTestClaim):
            raise TypeError("only a circuit-level claim has a circuit-level test")
        return circuit_test_report(identity(claim, need, source), claim, result, level, circuit)
    if isinstance(claim, ReadingClaim) and claim.kind.of_sequences:
        templates = (0,) * result.distribution.prompts  # sequences are of no template
    made = claim_report(claim, need, result, level, circuit, templates, source)
    compared = among_random_edges(claim, need, result.effect, evidence)
    made = made.model_copy(update={"random_edges": compared})
    return inside_its_range(reading_report(made, claim), claim, circuit.metric)


def _results(
    plan: Plan, gated: Gated, draws: Resampler, unfit: str
) -> tuple[Tested | CircuitTested | str, ...]:
    """For every claim its tested effect, or why there is none."""
    circuit = plan.circuit
    claims = circuit.all_claims
    evidence = gated.evidence
    if unfit:
        return (unfit,) * len(claims)
    found: list[Effect | Tested | CircuitTested | str] = []
    for claim, need in zip(claims, plan.needs, strict=True):
        try:
            if isinstance(claim, CircuitTestClaim):
                found.append(circuit_test(claim, plan, gated, draws))
            elif isinstance(claim, ReadingClaim) and claim.kind.of_sequences:
                found.append(score_tested(claim, need, evidence, circuit))
            else:
                found.append(effect_or_reading(claim, need, evidence, circuit.metric))
        except NotMeasuredError as error:
            found.append(str(error))
    effects = [
        (effect, claim.bound)
        for effect, claim in zip(found, claims, strict=True)
        if isinstance(effect, Effect)
    ]
    sampled = sample_effects(effects, draws, Family.of(circuit))
    return tuple(next(sampled) if isinstance(effect, Effect) else effect for effect in found)


def _unfit(evidence: Evidence, draws: Resampler, known: str) -> str:
    """Why nothing at all can be judged; empty when it can. ``known``: why, if that is known."""
    if known:
        return known
    if not evidence.prompts or draws.sizes.min() < 2:
        return "a template has fewer than two different prompts, which cannot show how they vary"
    return ""


def _levels(
    circuit: Circuit, results: Sequence[Tested | CircuitTested | str]
) -> tuple[tuple[Level, Level], ...]:
    """Corrected level and rejection of each claim's two null hypotheses.

    False PASSes and false FAILs are two families: each is kept at the declared level.
    """
    tests = [None if isinstance(result, str) else result.tests for result in results]
    corrected = _CORRECTIONS[circuit.settings.correction]
    level = circuit.settings.significance
    passes = corrected([None if t is None else t.p_pass for t in tests], level)
    fails = corrected([None if t is None else t.p_fail for t in tests], level)
    return tuple(zip(passes, fails, strict=True))


def _baseline(circuit: Circuit, evidence: Evidence, measured: Evidence) -> Baseline:
    """The model on the pairs that are judged, and how many of all measured ones it gets right."""
    # A run that was interrupted has not answered the rest.
    answers = zip(measured.clean, measured.answered, strict=True)
    answered = [(value, hit) for value, hit in answers if value is not None]
    clean = [value for value in evidence.clean if value is not None]
    first = evidence.prompts[0] if evidence.prompts else None
    kind = circuit.metric.kind
    return Baseline(
        metric=str(circuit.metric),
        unit=circuit.metric.unit.value,
        lower_is_better=circuit.metric.kind.lower_is_better,
        prompts=len(evidence.prompts),
        clean=_mean(clean),
        corrupt=_mean([value for value in evidence.corrupt if value is not None]),
        measured=len(answered),
        preferred=_mean([v > 0 for v, _ in answered]) if kind.of_differences else None,
        answered=_mean([hit for _, hit in answered]) if circuit.metric.arguments else None,
        example=" -> ".join(filter(None, (first.clean, first.answer))) if first else "",
        example_tokens=first.tokens if first else (),
    )


def _tests_circuit(circuit: Circuit) -> bool:
    return any(isinstance(claim, CircuitTestClaim) for claim in circuit.claims)


def _mean(values: Sequence[float]) -> float | None:
    """The mean; None of no values, and where it is no number."""
    mean = float(np.mean(values)) if len(values) else math.nan
    return mean if math.isfinite(mean) else None


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
        random_edges=settings.random_edges,
        pairs=str(settings.pairs),
        looks=settings.looks,
        sweep_pairs=few_swept(circuit) or 0,
        random_circuits=settings.random_circuits if _tests_circuit(circuit) else 0,
        random_subsets=settings.random_subsets if _tests_circuit(circuit) else 0,
        greedy_searches=settings.greedy_searches if _tests_circuit(circuit) else 0,
        interval_method=INTERVAL_METHOD,
    )
