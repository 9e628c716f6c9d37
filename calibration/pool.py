"""Prompts measured once by the ordinary engine, from which many samples are judged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from calibration.case import Case
from circuitlang.circuit import Circuit, Correction, expand, resolve
from circuitlang.engine.loading import load_transformer
from circuitlang.engine.measurement import measure
from circuitlang.engine.tokens import tokenize
from circuitlang.evidence import Evidence
from circuitlang.plan import Plan, compile_plan
from circuitlang.source import SourceText, render_diagnostics
from circuitlang.syntax import parse
from known import KnownModel, Pairs


@dataclass(frozen=True, slots=True, eq=False)
class Hypothesis:
    """A file of one kind of claims, planned."""

    case: Case
    source: SourceText
    plan: Plan

    def at(self, significance: float, correction: Correction) -> Plan:
        """The plan with another `significance` line."""
        changed = replace(
            self.plan.circuit.settings, significance=significance, correction=correction
        )
        return replace(self.plan, circuit=replace(self.plan.circuit, settings=changed))


def hypothesis(model: KnownModel, folder: Path, case: Case, sample: int, test: str) -> Hypothesis:
    """The circuit file of a case.

    Raises:
        ValueError: the file has a mistake.
    """
    edges = [(claim.edge, claim.bound) for claim in case.claims]
    text = model.circuit_text(f'"{folder}" dtype float64', edges, sample, test=test)
    source = SourceText(f"{model.name}.circuit", text)
    return Hypothesis(case, source, compile_plan(_resolved(source)))


def drawn_pairs(model: KnownModel, count: int, seed: int) -> Pairs:
    """So many prompts, drawn by the front end and read by the construction.

    Raises:
        ValueError: the file has a mistake.
    """
    text = model.circuit_text('"gpt2"', [(model.true_edges[0], ">= 1%")], count, seed=seed)
    circuit = _resolved(SourceText(f"{model.name}.circuit", text))
    pairs = expand(circuit.prompts, circuit.metric)
    return model.read([(pair.clean.text, pair.corrupt.text) for pair in pairs])


def _resolved(source: SourceText) -> Circuit:
    document, mistakes = parse(source)
    circuit, more = resolve(document, source)
    if circuit is None or mistakes:
        raise ValueError(render_diagnostics((*mistakes, *more), source))
    return circuit


def measured(hypotheses: Sequence[Hypothesis], batch: int) -> Evidence:
    """Every experiment of every file on every prompt, in one run.

    Raises:
        ValueError: the prompts cannot be tokenised.
    """
    first = hypotheses[0].plan
    experiments = {e.id: e for found in hypotheses for e in found.plan.experiments}
    plan = replace(first, experiments=tuple(experiments.values()))
    model = load_transformer(first.circuit.model, "cpu")
    # All files share their prompts; together they name every position that is patched.
    edges = tuple(edge for found in hypotheses for edge in found.plan.circuit.edges)
    circuit = replace(first.circuit, edges=edges)
    pairs, tokens, problems = tokenize(circuit, model.tokenizer)
    if problems:
        raise ValueError(render_diagnostics(problems, hypotheses[0].source))
    return measure(plan, model, pairs, tokens, batch_size=batch)


def sample_of(pool: Evidence, first: int, prompts: int) -> Evidence:
    """Consecutive prompts of the pool: they were drawn one after the other, so any are a sample."""
    part = slice(first, first + prompts)
    return pool.model_copy(
        update={
            "prompts": pool.prompts[part],
            "clean": pool.clean[part],
            "corrupt": pool.corrupt[part],
            "answered": pool.answered[part],
            "patched": {name: values[part] for name, values in pool.patched.items()},
        }
    )
