"""What a run costs, as `plan` shows it."""

from collections.abc import Sequence

from circuitlang.cli.estimate import Estimate
from circuitlang.plan import Plan, few_swept, in_parts
from circuitlang.plan.greedy import searches
from circuitlang.source import counted


def no_estimate(plan: Plan) -> list[str]:
    """Why nothing can be said about time, and what can be said without it.

    ``plan`` is without the circuit's sweeps, which are counted here.
    """
    model = plan.circuit.model
    why = (
        "a GGUF file's sizes are known once it has been run"
        if model.kind == "gguf"
        else "its sizes are not known: there is no config.json of a known family on this machine"
    )
    plan, cells = in_parts(plan)
    passes = f"{plan.forward_passes} forward passes over every prompt with the reference engine"
    if cells is not None:
        few = counted(few_swept(plan.circuit) or 0, "pair")
        passes += f", {cells.forward_passes} over the first {few}"
    return [f"model {model}; {passes}", f"no estimate of the cost: {why}", ""]


def cost_lines(plan: Plan, found: Estimate) -> list[str]:
    """The model, a table of operations with a column an engine, and a line on each run."""
    lengths = sorted({g.length for g in found.batches})
    tokens = f"{lengths[0]}-{lengths[-1]}" if lengths[1:] else f"{lengths[0]}"
    batches = counted(len(found.batches), "batch")
    about = "" if found.exact else "about "
    lines = [
        f"model {plan.circuit.model}: {_si(found.size.parameters)} parameters, "
        f"{found.size.shape.layers} layers; {batches} of prompts of {about}{tokens} tokens",
        "",
    ]
    costs = [cost for cost, _ in found.costs]
    most = ", at most" if searches(plan) else ""
    rows = [("", "count", *(f"{cost.engine} engine" for cost in costs))]
    for kinds in zip(*(cost.kinds for cost in costs), strict=True):
        spent = (_si(kind.operations) for kind in kinds)
        rows.append((kinds[0].kind, str(kinds[0].experiments), *spent))
    rows += [
        ("clean and corrupt runs", "", *(_si(cost.worlds) for cost in costs)),
        ("self-checks", "", *(_si(cost.checks) for cost in costs)),
        ("operations", "", *(_si(cost.operations) for cost in costs)),
        (f"forward passes{most}", "", *(f"{cost.whole.passes:,}" for cost in costs)),
        ("memory", "", *(_bytes(cost.bytes) for cost in costs)),
        ("time", "", *("about " + _duration(time) for _, time in found.costs)),
    ]
    lines += _table(rows)
    kind = "float64" if plan.circuit.model.dtype == "float64" else "float32"
    rate = f"{found.machine.rate / 1e9:,.0f} G operations a second in {kind}"
    return [*lines, f"  on this processor, which makes {rate}", ""]


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows with the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    shown = []
    for first, *rest in rows:
        cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        shown.append("  " + "   ".join((first.ljust(widths[0]), *cells)).rstrip())
    return shown


def _si(number: float) -> str:
    """Three digits and a unit: `134 M`, `12.3 G`."""
    units = ["", " k", " M", " G", " T", " P"]
    unit = units.pop(0)
    while number >= 999.5 and units:
        number, unit = number / 1000, units.pop(0)
    digits = 0 if not unit or number >= 99.95 else 1 if number >= 9.995 else 2
    return f"{number:.{digits}f}{unit}"


def _bytes(number: int) -> str:
    gib = number / (1 << 30)
    return f"{gib:.1f} GiB" if gib < 10 else f"{gib:.0f} GiB"


def _duration(time: float) -> str:
    """Two digits: more is not known."""
    if time < 99.5:
        return f"{float(f'{time:.2g}'):.0f} s"
    minutes = time / 60
    return f"{minutes:.0f} min" if minutes < 99.5 else f"{minutes / 60:.1f} h"
