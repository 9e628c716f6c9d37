"""What a drawing says of a claim: bound, outcome in words, and the width of its line."""

from circuitlang.circuit import Direction, EdgeClaim
from circuitlang.draw import style
from circuitlang.report import ClaimReport, Report
from circuitlang.report.numbers import format_effect


def asked(claim: EdgeClaim) -> str:
    """The bound, and `by denoising` where that is asked: not the same question as noising."""
    direction = " by denoising" if claim.direction is Direction.DENOISING else ""
    return f"{claim.bound}{direction}"


def outcome(judged: ClaimReport) -> str:
    """`PASS +23.4%`, or the verdict alone when nothing could be estimated."""
    effect = judged.estimate
    return (
        f"{judged.verdict} {format_effect(effect.value, effect.unit)}"
        if effect
        else (judged.verdict.value)
    )


def width_of(judged: ClaimReport | None, report: Report | None) -> float:
    """Pen width of a claim's line: its effect as a fraction of clean minus corrupt."""
    if judged is None or report is None:
        return style.PLAIN_WIDTH
    if judged.estimate is None:
        return style.THINNEST
    if judged.estimate.unit == "fraction":
        return style.line_width(judged.estimate.value)
    whole = report.baseline.gap
    return style.line_width(judged.estimate.value / abs(whole)) if whole else style.THINNEST
