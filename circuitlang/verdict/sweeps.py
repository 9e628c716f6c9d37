"""What sweeps show: an effect for every cell, with no verdict."""

from dataclasses import replace

import numpy as np

from circuitlang.circuit import Circuit, Direction, Sweep, SweepKind, show_positions
from circuitlang.evidence import Evidence, on_prompts
from circuitlang.plan import Plan, SweepNeed, few_swept
from circuitlang.report.place import Place
from circuitlang.report.sweep import SweepAxisReport, SweepReport
from circuitlang.source import SourceText
from circuitlang.statistics.bootstrap import Array, Resampler
from circuitlang.statistics.correction import bh_adjusted
from circuitlang.statistics.sign_flip import sign_flip_p
from circuitlang.verdict.effect import NotMeasuredError, finite, measured
from circuitlang.verdict.gate import Gated
from circuitlang.verdict.orientation import in_words
from circuitlang.verdict.whole import Family, doubt

_TOGETHER = 128
"""Cells whose sign flips are held in memory at a time."""


def sweep_reports(
    plan: Plan, gated: Gated, source: SourceText, draws: Resampler, unfit: str
) -> tuple[SweepReport, ...]:
    """Every sweep of a plan, in file order; ``unfit`` says why nothing may be said at all.

    That prompts are too few to judge anything is no reason: what a sweep shows are their means.
    With `sweep pairs` it is shown on the judged pairs among the first measured ones, whatever else
    was measured: the same numbers as of a run with this setting.
    """
    evidence, circuit = gated.evidence, plan.circuit
    judged, few = len(evidence.prompts), few_swept(circuit)
    if few is not None:
        evidence = on_prompts(evidence, range(sum(row < few for row in gated.rows)))
        draws = replace(draws, templates=draws.templates[: len(evidence.prompts)])
    if not evidence.prompts:
        unfit = unfit or "no pair is left to show"
    return tuple(
        _report(sweep, need, circuit, evidence, source, draws, unfit).model_copy(
            update={"judged": judged}
        )
        for sweep, need in zip(circuit.sweeps, plan.sweeps, strict=False)
    )


def _report(
    sweep: Sweep,
    need: SweepNeed,
    circuit: Circuit,
    evidence: Evidence,
    source: SourceText,
    draws: Resampler,
    unfit: str,
) -> SweepReport:
    missing = unfit or need.missing
    cells: list[Array | None] = []
    whole, warning = 0.0, ""
    if not missing:
        try:
            clean = finite(evidence.clean, "clean run", evidence)
            corrupt = finite(evidence.corrupt, "corrupt run", evidence)
        except NotMeasuredError as error:
            missing = str(error)
        else:
            whole = float((clean - corrupt).mean())
            cells = [_cell(name, sweep, clean, corrupt, evidence) for name in need.experiments]
            if not any(cell is not None for cell in cells):
                missing = _unmeasured(need, evidence)
    lens = sweep.kind is SweepKind.LOGIT_LENS
    metric = circuit.metric
    shares = not lens and abs(whole) > metric.noise
    # A lens shows the metric itself; evidence holds scores, where more is better.
    scale = whole if shares else float(metric.sign) if lens else 1.0
    if shares and not missing:
        unit, family = metric.unit.value, Family.of(circuit)
        warning = doubt(clean - corrupt, metric.noise, unit, draws, family)
    line, column = source.line_column(sweep.span.start)
    return SweepReport(
        text=sweep.text,
        kind=sweep.kind.value,
        direction=None if sweep.direction is None else sweep.direction.value,
        positions=tuple(map(str, sweep.positions)),
        place=Place(file=source.name, line=line, column=column),
        axes=() if missing else tuple(_axis(*axis) for axis in need.axes),
        values=() if missing else tuple(_value(cell, scale) for cell in cells),
        q=() if missing or lens else _q_values(cells, draws, metric.noise),
        unit="fraction" if shares else metric.unit,
        prompts=len(evidence.prompts),
        whole=whole,
        definition=_definition(sweep, shares) + ("" if lens else in_words(metric)),
        missing=missing,
        warning=warning,
    )


def _unmeasured(need: SweepNeed, evidence: Evidence) -> str:
    """Why no cell has a value on every prompt."""
    columns = [evidence.patched[name] for name in need.experiments if name in evidence.patched]
    most = max((sum(value is not None for value in column) for column in columns), default=0)
    if evidence.complete and evidence.swept and most:
        return (
            f"its cells were measured on {most} of these {len(evidence.prompts)} pairs: ask for "
            "fewer with `sweep pairs`, or run the file again"
        )
    return "nothing of it was measured"


def _axis(name: str, labels: tuple[str, ...]) -> SweepAxisReport:
    return SweepAxisReport.model_validate({"name": name, "labels": labels})


def _cell(
    name: str, sweep: Sweep, clean: Array, corrupt: Array, evidence: Evidence
) -> Array | None:
    """What a cell is the mean of, ``[prompt]``; None where it was not measured on every prompt."""
    try:
        found = measured(evidence, name)
    except NotMeasuredError:
        return None
    if sweep.direction is None:
        return found
    return clean - found if sweep.direction is Direction.NOISING else found - corrupt


def _value(cell: Array | None, scale: float) -> float | None:
    if cell is None:
        return None
    value = float(cell.mean()) / scale
    return value if np.isfinite(value) else None


def _q_values(
    cells: list[Array | None], draws: Resampler, noise: float
) -> tuple[float | None, ...]:
    """Two-sided sign-flip p-values that a cell's effect is zero, adjusted over the sweep (BH).

    None where a template has a single pair, which cannot show how cells vary.
    """
    if draws.sizes.min() < 2:
        return (None,) * len(cells)
    found: list[float] = []
    columns = [cell for cell in cells if cell is not None]
    for first in range(0, len(columns), _TOGETHER):
        values = np.stack(columns[first : first + _TOGETHER], axis=1)
        both = sign_flip_p(np.concatenate([values, -values], axis=1), draws).reshape(2, -1)
        # What rounding could make is no effect, however alike it is on all prompts.
        small = np.abs(values.mean(0)) <= noise
        found += np.where(small, 1.0, np.minimum(1.0, 2 * both.min(0))).tolist()
    adjusted = iter(bh_adjusted(found))
    return tuple(None if cell is None else next(adjusted) for cell in cells)


def _definition(sweep: Sweep, shares: bool) -> str:
    if sweep.direction is None:
        return (
            "mean metric of the clean run's residual stream before each layer and after the last, "
            "read by the final norm and the unembedding"
        )
    change = "clean - patched" if sweep.direction is Direction.NOISING else "patched - corrupt"
    over = " / mean(clean - corrupt)" if shares else ""
    each = "each position alone" if sweep.by_position else show_positions(sweep.positions)
    return f"mean({change}){over}; {sweep.kind} patched at {each}, {sweep.direction}"
