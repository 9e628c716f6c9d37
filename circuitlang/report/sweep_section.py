"""The sweeps of a printed report: heatmaps, and their largest cells by name."""

from circuitlang.report.heatmap import MOST_ROWS, as_rows, write_heatmap
from circuitlang.report.numbers import format_effect, format_p
from circuitlang.report.page import INDENT, Page
from circuitlang.report.report import Report
from circuitlang.report.sweep import SweepReport

_NAMED = 5
NO_VERDICT = (
    "Sweeps show where a model does what it does; they claim nothing and have no verdict. What one "
    "finds in them is to be claimed and tested on other prompts."
)


def write_sweeps(report: Report, page: Page) -> None:
    """Every sweep; nothing where there is none."""
    if not report.sweeps:
        return
    page.heading("Sweeps")
    page.line((NO_VERDICT, "dim"), indent=INDENT)
    for sweep in report.sweeps:
        page.blank()
        place = f"{sweep.place.file}:{sweep.place.line}"
        few = f" of {sweep.judged:,}" if sweep.judged > sweep.prompts else ""
        count = f"n = {sweep.prompts:,}{few}"
        page.line((sweep.text, "bold"), (f"  {place}  {count}", "dim"), indent=INDENT)
        if sweep.missing:
            page.line(f"not shown: {sweep.missing}", indent=INDENT)
            continue
        page.line((_scale(sweep), "dim"), indent=INDENT)
        _map(sweep, page)
        page.fields(_named(sweep), indent=INDENT)
        if sweep.warning:
            page.fields([("note", sweep.warning)], indent=INDENT)


def _scale(sweep: SweepReport) -> str:
    unit = "%" if sweep.unit == "fraction" else sweep.unit
    why = "" if sweep.unit == "fraction" or sweep.kind == "logit_lens" else ", as there is no whole"
    return f"{sweep.definition}; in {unit}{why}"


def _map(sweep: SweepReport, page: Page) -> None:
    labels = [_heads(axis.name, axis.labels) for axis in sweep.axes]
    found = as_rows(labels, sweep.values, sweep.unit == "fraction")
    write_heatmap(found, page)
    left = len(found.rows) - len(found.shown_rows())
    if left:
        words = f"{left:,} more rows, all with smaller cells than the {MOST_ROWS} that are shown"
        page.line((words, "dim"), indent=INDENT)
    last = sweep.axes[-1]
    if last.name == "position" and labels[-1] != last.labels and len(sweep.axes) > 1:
        page.line((f"positions: {', '.join(last.labels)}", "dim"), indent=INDENT)


def _heads(name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Tokens are numbered above a map and named below it."""
    if name == "position" and all(label.split(" ")[0].isdigit() for label in labels):
        return tuple(label.split(" ")[0] for label in labels)
    return labels


def _named(sweep: SweepReport) -> list[tuple[str, str]]:
    """The largest cells, largest first; none that would be printed as zero."""
    names = [""]
    for axis in sweep.axes:
        joint = " at " if axis.name == "position" else "."
        names = [f"{name}{joint}{own}" if name else own for name in names for own in axis.labels]
    cells = [(v, number) for number, v in enumerate(sweep.values) if v is not None]
    smallest = 0.0005 if sweep.unit == "fraction" else 0.005
    cells = sorted((c for c in cells if abs(c[0]) >= smallest), key=lambda cell: -abs(cell[0]))
    if not cells:
        return [("largest", "nothing moves the metric visibly")]
    rows: list[tuple[str, str]] = []
    for value, number in cells[:_NAMED]:
        q = sweep.q[number] if sweep.q else None
        shown = "" if q is None else f"  q {format_p(q)}"
        text = f"{format_effect(value, sweep.unit)} {names[number]}{shown}"
        rows.append(("" if rows else "largest", text))
    return rows
