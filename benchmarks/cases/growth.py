"""How time and peak memory grow with edges, prompts, length and layers, one at a time."""

from dataclasses import asdict

from benchmarks.cases.memory import job
from benchmarks.machine import Environment
from benchmarks.method import FAST, NOT_THERE, fast_is_there
from benchmarks.outcome import Options, Outcome, Section
from benchmarks.probe import Job, measure_apart
from benchmarks.table import number, table

_AXES: dict[str, tuple[int, ...]] = {
    "edges": (16, 64, 256, 1024),
    "prompts": (8, 32, 128),
    "length": (16, 32, 64),
    "layers": (6, 12, 24),
}
_QUICK: dict[str, tuple[int, ...]] = {"edges": (4,)}
_WITHOUT_FAST: dict[str, tuple[int, ...]] = {
    "edges": (2, 8),
    "prompts": (8, 32),
    "length": (16, 32),
    "layers": (6, 12),
}


def run(options: Options, here: Environment) -> Outcome:
    """The fast engine, or while there is none the reference on fewer edges."""
    axes = _AXES if fast_is_there() else _WITHOUT_FAST
    start = job(options, edges=64 if fast_is_there() else 4)
    outcome = Outcome("growth")
    for axis, values in (_QUICK if options.quick else axes).items():
        rows, lines = [], []
        for value in values:
            peak = measure_apart(Job(**asdict(start) | {axis: value}))
            rows.append({"axis": axis, "value": value} | asdict(peak))
            each = 1000 * peak.seconds / (value if axis == "edges" else start.edges)
            lines.append([str(value), number(peak.seconds), number(each), number(peak.mebibytes)])
        if not fast_is_there():
            lines.append([f"{FAST}: {NOT_THERE}", "-", "-", "-"])
        others = {k: getattr(start, k) for k in _AXES if k != axis}
        title = f"{start.engine} by {axis}; " + ", ".join(f"{v} {k}" for k, v in others.items())
        text = table((axis, "seconds", "ms an edge", "MiB"), lines)
        outcome.sections.append(Section(title, rows, text))
    return outcome
