"""The claims of a report, with their verdicts, numbers and reasons."""

from circuitlang.report.numbers import format_effect, format_interval, format_p
from circuitlang.report.page import INDENT, Page
from circuitlang.report.pair_lines import judged_of_drawn
from circuitlang.report.report import (
    ClaimReport,
    Estimate,
    Part,
    RandomEdges,
    Report,
    Stratum,
    Verdict,
)
from circuitlang.report.scale import ASCII, CELLS, UNICODE, Scale

STYLES = {
    Verdict.PASS: "bold green",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "bold yellow",
    Verdict.ERROR: "bold magenta",
}
_SYMBOLS = {
    Verdict.PASS: "\u2713",
    Verdict.FAIL: "\u2717",
    Verdict.INCONCLUSIVE: "?",
    Verdict.ERROR: "!",
}
_ASCII_SYMBOLS = {**_SYMBOLS, Verdict.PASS: "+", Verdict.FAIL: "x"}

_OF_THE_WHOLE = {"edge", "absence", "path", "ablate", "patch", "steer"}
"""Kinds of claims whose effect is a share of the clean-to-corrupt difference."""

_OF_SEQUENCES = {"induction", "previous_token", "duplicate_token"}
_READ = {"attention", "copying", "baseline", *_OF_SEQUENCES}
"""What is read of the model and is no change of the metric."""

_VERDICT_WIDTH = len("? INCONCLUSIVE")
_DETAIL = INDENT + _VERDICT_WIDTH + 2
_WITH_SCALE = 92
_ON_ONE_LINE = 74


def write_claims(report: Report, page: Page, *, verbose: bool) -> None:
    """Every claim: a line with verdict and numbers, its place, and why where it did not pass."""
    page.heading("Claims")
    if not report.claims:
        page.line("The file claims nothing.", indent=INDENT)
        return
    scale = Scale.over(report.claims) if page.width >= _WITH_SCALE else None
    page.line((_explanation(report), "dim"), indent=INDENT)
    widths = _widths(report, scale)
    if scale is not None:
        cells = [page.styled(text) for text in ("", "", "effect", "interval")]
        cells.append(page.styled((scale.axis(), "dim")))
        page.table([cells], widths, right=(2,))
    for claim in report.claims:
        _claim(claim, page, scale, widths)
        _below(claim, page, report, verbose=verbose)


def _explanation(report: Report) -> str:
    """What 100% is: of edges and ablations one number, of claims about the circuit each its own."""
    base = report.baseline
    best, worst = ("corrupt", "clean") if base.lower_is_better else ("clean", "corrupt")
    gap = "no number" if base.gap is None else format_effect(base.gap, base.unit)
    whole = f"100% is mean({best}) - mean({worst}) = {gap}"
    kinds = {claim.kind for claim in report.claims}
    if kinds.isdisjoint(_OF_THE_WHOLE):
        whole = "What 100% is stands in each claim's definition (--verbose)"
    elif not kinds <= _OF_THE_WHOLE:
        whole += " for edges and ablations; each other claim defines its own (--verbose)"
    levels = {_level(claim.estimate) for claim in report.claims if claim.estimate}
    # Under a correction each claim has a level of its own, too many to print in one line.
    (shown,) = levels if len(levels) == 1 else ("corrected",)
    intervals = f"; intervals have {shown} confidence" if levels else ""
    return f"{whole}{intervals}."


def _level(estimate: Estimate) -> str:
    return f"{100 * estimate.interval.level:.4g}%"


def _widths(report: Report, scale: Scale | None) -> tuple[int | None, ...]:
    effects = [len(_effect(c.estimate)) for c in report.claims]
    intervals = [len(_interval(c.estimate)) for c in report.claims]
    numbers = (max([*effects, len("effect")]), max([*intervals, len("interval")]))
    return (_VERDICT_WIDTH, None, *numbers, *((CELLS,) if scale else ()))


def _effect(estimate: Estimate | None) -> str:
    return format_effect(estimate.value, estimate.unit) if estimate else "-"


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return format_interval(estimate.interval.low, estimate.interval.high, estimate.unit)


def _claim(
    claim: ClaimReport, page: Page, scale: Scale | None, widths: tuple[int | None, ...]
) -> None:
    style = STYLES[claim.verdict]
    symbol = (_ASCII_SYMBOLS if page.ascii_only else _SYMBOLS)[claim.verdict]
    verdict = page.styled((f"{symbol} {claim.verdict}", style))
    text = page.styled((claim.text, "bold"))
    effect, interval = _effect(claim.estimate), _interval(claim.estimate)
    if page.width < _ON_ONE_LINE:
        page.table([(verdict, text)], (_VERDICT_WIDTH, None))
        page.line(f"{effect}  {interval}", indent=_DETAIL)
        return
    cells = [verdict, text, page.styled((effect, style)), page.styled(interval)]
    if scale is not None:
        line = scale.draw(claim, UNICODE)
        # The line's own signs would not survive `clean` where only ASCII may be printed.
        cells.append(page.styled(scale.draw(claim, ASCII) if page.ascii_only else line))
    page.table([cells], widths, right=(2,))


def _below(claim: ClaimReport, page: Page, report: Report, *, verbose: bool) -> None:
    place = f"{claim.place.file}:{claim.place.line}"
    bound = f"  bound {claim.bound}" if claim.bound else ""
    also = f"  {claim.also}" if claim.also else ""
    count = f"  {_count(claim, report)}" if claim.estimate else ""
    page.line((f"{place}{bound}{count}{_worst(claim.estimate)}{also}", "dim"), indent=_DETAIL)
    if claim.random_edges is not None:
        words = _among_random_edges(claim.random_edges, report.settings.significance)
        page.line((words, "dim"), indent=_DETAIL)
    if claim.reason and (verbose or claim.verdict is not Verdict.PASS):
        page.line(claim.reason, indent=_DETAIL)
    if verbose:
        page.fields(_details(claim, report), indent=_DETAIL)


def _count(claim: ClaimReport, report: Report) -> str:
    """How many prompts are judged; scores on random tokens have sequences."""
    prompts = claim.estimate.prompts if claim.estimate else 0
    if claim.kind in _OF_SEQUENCES:
        return f"n = {prompts} sequences"
    return judged_of_drawn(prompts, report.pairs)


def _worst(effect: Estimate | None) -> str:
    """The template that speaks most against the claim, where there are several."""
    if effect is None or len(effect.strata) < 2:
        return ""
    worst = effect.strata[0]
    return f"  worst template {worst.template}: {format_effect(worst.value, effect.unit)}"


def _among_random_edges(found: RandomEdges, significance: float) -> str:
    """The comparison in a line, with the smallest p-value where even that would say little."""
    if found.missing:
        return f"no random edges: {found.missing}"
    if found.rank is None:
        return f"none of {found.drawn:,} random edges was measured"
    below, smallest = found.measured + 1 - found.rank, 1 / (found.measured + 1)
    words = f"beats {below:,} of {found.measured:,} random edges, p {format_p(found.p)}"
    if smallest > significance:
        words += f" (smallest possible {format_p(smallest)})"
    if found.measured < found.drawn:
        words += f"; {found.measured:,} of {found.drawn:,} measured"
    return words


def _details(claim: ClaimReport, report: Report) -> list[tuple[str, str]]:
    rows = [("definition", claim.definition)]
    effect = claim.estimate
    if effect is not None:
        change = format_effect(effect.change, report.baseline.unit)
        if claim.kind not in _READ:
            name = "written" if claim.kind == "direct_effect" else "change"
            rows.append((name, f"{change} on average over {effect.prompts} prompts"))
        rows.append(("interval", f"{_interval(effect)} with {_level(effect)} confidence"))
        names = ("template",) if len(effect.strata) == 1 else ("worst", "others")
        for number, stratum in enumerate(effect.strata):
            name = names[number] if number < len(names) else ""
            rows.append((name, _stratum(stratum, effect)))
    if claim.p_pass is not None or claim.p_fail is not None:
        level = f", against the level {claim.level:.2g}" if claim.level is not None else ""
        pair = f"pass {format_p(claim.p_pass)}, fail {format_p(claim.p_fail)}"
        rows.append(("p-values", pair + level))
    if claim.random_edges is not None and effect is not None:
        rows.append(("rank", _rank(claim.random_edges, effect, report)))
    for number, part in enumerate(claim.parts):
        rows.append(("" if number else "parts", _part(part)))
    rows.append(("experiments", ", ".join(claim.experiments)))
    return rows


def _part(part: Part) -> str:
    value = format_effect(part.value, part.unit)
    interval = format_interval(part.interval.low, part.interval.high, part.unit)
    pair = f"p pass {format_p(part.p_pass)}, fail {format_p(part.p_fail)}"
    return f"{value} {interval}, {pair}: {part.name}"


def _rank(found: RandomEdges, estimate: Estimate, report: Report) -> str:
    """Empty where there is nothing to say beyond the line that every report has."""
    if found.rank is None or found.largest is None or found.median is None:
        return ""
    largest = format_effect(found.largest, estimate.unit)
    median = format_effect(found.median, estimate.unit)
    every = ", all that there are" if found.drawn < report.settings.random_edges else ""
    rank = f"{found.rank:,} of {found.measured + 1:,} by {found.compared}"
    return f"{rank}; random edges: largest {largest}, median {median}{every}"


def _stratum(stratum: Stratum, effect: Estimate) -> str:
    value = format_effect(stratum.value, effect.unit)
    where = f"template {stratum.template}, {stratum.prompts} prompts"
    return f"{value} ({where}): {stratum.text}"
