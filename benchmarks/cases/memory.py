"""Peak memory above the loaded model, each engine in a process of its own."""

from dataclasses import asdict, replace
from typing import Any

from benchmarks.machine import Environment
from benchmarks.method import FAST, NOT_THERE, REFERENCE, fast_is_there
from benchmarks.outcome import Options, Outcome, Section
from benchmarks.probe import Job, measure_apart
from benchmarks.table import number, table
from benchmarks.workload import SMOKE


def job(options: Options, *, edges: int) -> Job:
    """The job that memory and growth start from: GPT-2 small, 32 prompts of 16 tokens."""
    engine = FAST if fast_is_there() else REFERENCE
    whole = Job(engine, edges, 32, 16, device=options.device, threads=options.threads)
    if not options.quick:
        return whole
    return replace(
        whole, edges=min(edges, 4), prompts=4, length=8, width=SMOKE.width,
        vocabulary=SMOKE.vocabulary,
    )  # fmt: skip


def run(options: Options, here: Environment) -> Outcome:
    """The fast engine on 128 edges; the reference on 8, whose peak does not depend on how many."""
    rows: list[dict[str, Any]] = []
    if fast_is_there():
        jobs = [job(options, edges=128), replace(job(options, edges=8), engine=REFERENCE)]
    else:
        jobs = [job(options, edges=8)]
    for one in jobs:
        rows.append({"engine": one.engine, "edges": one.edges} | asdict(measure_apart(one)))
    lines = [
        [str(r["engine"]), str(r["edges"]), number(r["seconds"]), number(r["mebibytes"])]
        for r in rows
    ]
    if not fast_is_there():
        lines.append([FAST, "-", "-", NOT_THERE])
    first = jobs[0]
    return Outcome("memory", [
        Section(
            f"{first.prompts} prompts of {first.length} tokens, {first.layers} layers of width "
            f"{first.width}; peak above the loaded model",
            rows,
            table(("engine", "edges", "seconds", "MiB"), lines),
        )
    ])  # fmt: skip
