"""A circuit file through all of the product: loading, tokens, plan, measuring."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.comparison import WITHIN
from benchmarks.outcome import Options, Section
from benchmarks.table import number, table
from circuitlang.circuit import Circuit
from circuitlang.engine.batch import batches
from circuitlang.engine.loading import LoadedModel, load_transformer
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.measurement import DEFAULT_BATCH, measure
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.engine.tokens import TokenizedPair, tokenize
from circuitlang.evidence import Evidence
from circuitlang.plan import Plan, compile_plan


@dataclass(frozen=True, slots=True)
class _Run:
    plan: Plan
    model: LoadedModel
    tokens: tuple[TokenizedPair, ...]
    evidence: Evidence
    seconds: dict[str, float]


def time_file(circuit: Circuit, options: Options) -> Section:
    """Load, measure once, and compare some experiments of the first batch with the reference.

    Not repeated: a run is long and includes all that a user waits for.
    """
    run = _run(circuit, options)
    evidence = run.evidence
    difference, limit, compared = _difference(run, options)
    agrees = difference <= limit and not evidence.errors and evidence.complete
    checks = Counter(check.passed for check in evidence.self_checks)
    row: dict[str, Any] = run.seconds | {
        "claims": len(circuit.all_claims),
        "experiments": len(run.plan.experiments),
        "prompts": len(run.tokens),
        "engine": evidence.provenance.engine,
        "forward_passes": evidence.provenance.forward_passes,
        "self_checks": checks.total(),
        "self_checks_failed": checks[False],
        "errors": len(evidence.errors),
        "difference": difference,
    }
    heads = ("engine", "claims", "experiments", "prompts", "load s", "measure s", "ms/experiment",
             "passes", "max diff", "")  # fmt: skip
    cells = [
        str(row["engine"]), str(row["claims"]), str(row["experiments"]), str(row["prompts"]),
        number(row["load"]), number(row["measure"]),
        number(1000 * row["measure"] / max(1, row["experiments"])), str(row["forward_passes"]),
        number(difference, 2), "ok" if agrees else "FAILED",
    ]  # fmt: skip
    text = "\n".join([
        table(heads, [cells]),
        f"self-checks: {checks[True]} of {checks.total()} passed; values: {compared} experiments "
        f"of the reference on the first batch, a difference up to {number(limit, 2)} agrees",
    ])  # fmt: skip
    return Section(circuit.title, [row], text, agrees)


def _run(circuit: Circuit, options: Options) -> _Run:
    started = time.perf_counter()
    model = load_transformer(circuit.model, options.device)
    pairs, tokens, problems = tokenize(circuit, model.tokenizer)
    if problems:
        raise ValueError("; ".join(f"{p.code} {p.message}" for p in problems))
    plan = compile_plan(circuit)
    loaded = time.perf_counter()
    evidence = measure(plan, model, pairs, tokens)
    seconds = {"load": loaded - started, "measure": time.perf_counter() - loaded}
    return _Run(plan, model, tokens, evidence, seconds)


def _difference(run: _Run, options: Options) -> tuple[float, float, int]:
    """Largest difference of the metric from the reference's, what may be, and of how many."""
    transformer = run.model.transformer
    groups = tuple(batches(run.tokens, DEFAULT_BATCH, transformer.device))
    means = MeanOutputs.of(transformer, groups, run.plan.circuit.settings.per_template)
    engine, batch = ReferenceEngine(transformer, means), groups[0]
    worlds = engine.worlds(batch)
    known = [e for e in run.plan.experiments if e.id in run.evidence.patched]
    step = max(1, len(known) // options.samples)
    chosen = known[::step][: options.samples]
    base = worlds.clean.logits.gather(1, batch.answers)
    limit, difference = WITHIN * float(base.abs().max()), 0.0
    for experiment in chosen:
        theirs = batch.metric(engine.logits(experiment.intervention, worlds))
        column = run.evidence.patched[experiment.id]
        # A value that is not finite was stored as None, and must not pass for agreement.
        ours = torch.tensor(
            [float("nan") if (v := column[r]) is None else v for r in batch.rows],
            dtype=theirs.dtype, device=theirs.device,
        )  # fmt: skip
        gap = float((ours - theirs).abs().max())
        difference = max(difference, gap if gap == gap else float("inf"))
    return difference, limit, len(chosen)
