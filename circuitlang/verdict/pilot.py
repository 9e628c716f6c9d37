"""What a pilot's measurements foretell of a file's claims; nothing is judged here."""

import hashlib
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from circuitlang import __version__
from circuitlang.circuit import Bound, Claim, Unit
from circuitlang.evidence import Evidence
from circuitlang.plan import Plan
from circuitlang.plan.reach import POWERS, Design, judged_by_its_mean, middle
from circuitlang.report.pilot import (
    PilotClaim,
    PilotForecast,
    PilotReport,
    PromptRange,
    Range,
)
from circuitlang.source import SourceText
from circuitlang.statistics.power import power_inside, prompts_for
from circuitlang.verdict.bootstrap import Array
from circuitlang.verdict.decision import margin, sides
from circuitlang.verdict.effect import Effect, NotMeasuredError, effect_of

CONFIDENCE = 0.95
"""Of a claim's effect and sd together: each interval has half of the rest for its error."""

WANTED_POWER = POWERS[0]


def pilot_report(
    plan: Plan, evidence: Evidence, design: Design, asked: int, source: SourceText
) -> PilotReport:
    """Forecasts for every claim of a plan.

    Args:
        plan: the claims' own experiments.
        evidence: of a complete pilot whose self-checks held; every template has two prompts.
        design: of the file's own prompts.
        asked: pilot prompts that were asked for.
        source: the file.
    """
    circuit = plan.circuit
    templates = np.array([prompt.template for prompt in evidence.prompts])
    claims = []
    for claim, need in zip(circuit.all_claims, plan.needs, strict=True):
        made: PilotForecast | str
        if judged_by_its_mean(claim):
            try:
                made = _forecast(claim, effect_of(claim, need, evidence), templates, design)
            except NotMeasuredError as error:
                made = str(error)
        else:
            made = "the power of this kind of claim is not known"
        reason = made if isinstance(made, str) else ""
        forecast = None if isinstance(made, str) else made
        claims.append(
            PilotClaim(text=claim.text, bound=str(claim.bound), forecast=forecast, reason=reason)
        )
    forecasts = [claim.forecast for claim in claims if claim.forecast is not None]
    needed = [f.prompts.value for f in forecasts if f.prompts.value is not None]
    missed = sum(1 - f.power.value for f in forecasts) + len(claims) - len(forecasts)
    return PilotReport(
        circuitlang=__version__,
        file=source.name,
        file_sha256=hashlib.sha256(source.text.encode()).hexdigest(),
        circuit=circuit.name,
        title=circuit.title,
        metric=str(circuit.metric),
        asked=asked,
        pilot=len(evidence.prompts),
        prompts=design.prompts,
        templates=design.templates,
        first_level=design.first_level,
        last_level=design.last_level,
        wanted_power=WANTED_POWER,
        confidence=CONFIDENCE,
        claims=tuple(claims),
        needed=max(needed, default=None),
        together=max(0.0, 1 - missed),
        self_checks=evidence.self_checks,
        notes=evidence.notes,
        provenance=evidence.provenance,
    )


@dataclass(frozen=True, slots=True)
class _Outlook:
    """Chances of one verdict about one bound."""

    bound: Bound
    design: Design
    leans: Literal["PASS", "FAIL"]

    def distances(self, value: float, sd: float) -> tuple[float, float]:
        """From a true effect to the limits that its verdict must tell it from, in sd."""
        if self.leans == "FAIL":
            return _over(-margin(value, self.bound), sd), math.inf
        low, high = self.bound.low, self.bound.high
        return (
            math.inf if low is None else _over(value - low, sd),
            math.inf if high is None else _over(high - value, sd),
        )

    def level(self, level: float) -> float:
        """What a one-sided p-value is held against: outside a bound there may be two sides."""
        return level / sides(self.bound) if self.leans == "FAIL" else level

    def power(self, value: float, sd: float, level: float) -> float:
        """With the file's prompts."""
        design = self.design
        distances = self.distances(value, sd)
        return power_inside(*distances, design.prompts, design.freedom, self.level(level))

    def prompts(self, value: float, sd: float) -> int | None:
        """For the wanted power at the first level of the family."""
        templates, level = self.design.templates, self.level(self.design.first_level)
        needed = prompts_for(WANTED_POWER, *self.distances(value, sd), templates, level)
        return None if needed is None else max(needed, self.design.fewest)


def _forecast(
    claim: Claim, effect: Effect, templates: Array, design: Design
) -> PilotForecast | str:
    bound, freedom = claim.bound, len(templates) - len(np.unique(templates))
    error = (1 - CONFIDENCE) / 4
    t = -float(special.stdtrit(freedom, error))
    whole = effect.whole
    if effect.denominator is not None:
        noise = _inside(effect.denominator, templates) / math.sqrt(len(templates))
        if not whole > t * noise:
            return f"there is nothing to divide by: it is {whole:.3g} and not reliably above zero"
    # The test asks how the residuals of an effect on the bound vary, the interval how those of the
    # estimate do; they differ where wholes vary from prompt to prompt.
    sd = _inside(_residuals(effect, bound), templates) / whole
    shares = (special.chdtri(freedom, error), special.chdtri(freedom, 1 - error))
    low_sd, high_sd = (sd * math.sqrt(freedom / share) for share in shares)
    half = t * _inside(effect.residuals, templates) / whole / math.sqrt(len(templates))
    value, low, high = effect.value, effect.value - half, effect.value + half
    outlook = _Outlook(bound, design, "PASS" if margin(value, bound) >= 0 else "FAIL")
    # Among the effects that the pilot allows, those that speak most and least for the bound.
    centre = middle(bound)
    inner = [low, high] if math.isnan(centre) else [low, high, min(max(centre, low), high)]
    most, least = (choose(inner, key=lambda x: margin(x, bound)) for choose in (max, min))
    best, worst = (most, least) if outlook.leans == "PASS" else (least, most)
    first = design.first_level
    return PilotForecast(
        unit="fraction" if bound.unit is Unit.FRACTION else "logits",
        effect=Range(value=value, low=low, high=high),
        sd=Range(value=sd, low=low_sd, high=high_sd),
        leans=outlook.leans,
        power=Range(
            value=outlook.power(value, sd, first),
            low=outlook.power(worst, high_sd, first),
            high=outlook.power(best, low_sd, first),
        ),
        power_last=outlook.power(value, sd, design.last_level),
        prompts=PromptRange(
            value=outlook.prompts(value, sd),
            low=outlook.prompts(best, low_sd),
            high=outlook.prompts(worst, high_sd),
        ),
    )


def _residuals(effect: Effect, bound: Bound) -> Array:
    """Per prompt: the part of the change that an effect at the bound would not explain."""
    if effect.denominator is None:
        return effect.numerator
    at = middle(bound)
    if math.isnan(at):
        at = next(limit for limit in (bound.low, bound.high) if limit is not None)
    return np.asarray(effect.numerator - at * effect.denominator, dtype=np.float64)


def _inside(values: Array, templates: Array) -> float:
    """Standard deviation inside templates, each weighted by its share of the prompts.

    Its square over the number of prompts is the variance of the mean of balanced templates.
    """
    variance = 0.0
    for number in np.unique(templates):
        own = values[templates == number]
        variance += len(own) / len(values) * float(own.var(ddof=1))
    return math.sqrt(variance)


def _over(distance: float, sd: float) -> float:
    """A distance in sd; infinite where nothing varies."""
    if sd > 0:
        return distance / sd
    return math.copysign(math.inf, distance) if distance else 0.0
