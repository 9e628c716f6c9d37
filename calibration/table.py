"""The table of a calibration, and whether its goals are met."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.table import table
from calibration.case import LEVEL
from calibration.tally import Rate, Tally
from circuitlang.report import Verdict

HEADS = (
    "kind", "claims", "PASS", "FAIL", "no verdict", "false PASS", "false FAIL", "family",
    "coverage", "power", "observed",
)  # fmt: skip
_COVERAGE = (0.93, 0.97)
_POWER = 0.03


@dataclass(frozen=True, slots=True)
class Row:
    """One line, and the goals that it misses by more than chance explains."""

    cells: tuple[str, ...]
    misses: tuple[str, ...]


def row(tally: Tally) -> Row:
    """Rates of one case.

    A false PASS or FAIL is held against the level; where effects do not vary there must be none.
    """
    limit = LEVEL if any(claim.varies for claim in tally.case.claims) else 0.0
    false = {verdict: tally.wrong(verdict) for verdict in (Verdict.PASS, Verdict.FAIL)}
    family = Rate.of(tally.family)
    misses = [
        f"false {verdict}"
        for verdict, rate in false.items()
        if (rate.exceeds(limit) if limit else rate.mean > 0)
    ]
    misses += ["family"] if family.exceeds(LEVEL) else []
    coverage = Rate.of(tally.covered) if tally.covered else None
    if coverage is not None and not _near(coverage, *_COVERAGE):
        misses.append("coverage")
    predicted, observed = tally.power() or (None, None)
    if predicted is not None and observed is not None:
        near = _near(observed, predicted - _POWER, predicted + _POWER)
        misses += [] if near else ["power"]
    passed, failed = (tally.rate(v).mean for v in (Verdict.PASS, Verdict.FAIL))
    cells = (
        tally.case.kind,
        str(len(tally.case.claims)),
        *(f"{100 * share:.1f}" for share in (passed, failed, 1 - passed - failed)),
        *(_shown(rate) for rate in (*false.values(), family)),
        _shown(coverage),
        "-" if predicted is None else f"{100 * predicted:.1f}",
        _shown(observed),
    )
    return Row(cells, tuple(misses))


def render(rows: Sequence[Row]) -> str:
    """All lines, in %, with standard errors; what misses a goal is told behind a line."""
    lines = table(HEADS, [found.cells for found in rows]).splitlines()
    marks = ["", *("  <- " + ", ".join(r.misses) if r.misses else "" for r in rows)]
    return "\n".join(line + mark for line, mark in zip(lines, marks, strict=True))


def _near(rate: Rate, low: float, high: float) -> bool:
    """Inside, or outside by no more than two standard errors."""
    return low - 2 * rate.error <= rate.mean <= high + 2 * rate.error


def _shown(rate: Rate | None) -> str:
    if rate is None:
        return "-"
    error = "" if rate.mean in (0.0, 1.0) else f" \u00b1{100 * rate.error:.1f}"
    return f"{100 * rate.mean:.1f}{error}"
