"""`circuitlang run` and `circuitlang judge`."""

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.circuit import expand
from circuitlang.cli.measuring import measured, with_pairs
from circuitlang.cli.mutating import can_mutate, with_mutants
from circuitlang.cli.opening import Measuring, attempt, sound_design
from circuitlang.cli.preparing import Ready, prepare
from circuitlang.cli.searching import search
from circuitlang.cli.session import (
    Session,
    can_write,
    fail,
    print_err,
    write_evidence,
    write_text,
)
from circuitlang.cli.sweeping import sweep
from circuitlang.cli.terminal import show
from circuitlang.evidence import DrawnPair, Evidence, joined, load_evidence
from circuitlang.models import ModelShape
from circuitlang.mutation import Mutant, judge_mutants
from circuitlang.plan import Plan, compile_plan, few_swept, in_parts, with_sweeps
from circuitlang.plan.greedy import searches
from circuitlang.plan.looks import look_with, looks_of
from circuitlang.report import (
    ExitCode,
    exit_code,
    render_json,
    render_terminal,
)
from circuitlang.source import counted

if TYPE_CHECKING:
    from circuitlang.engine.means import MeanOutputs


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of `run`."""

    json: Path | None
    evidence: Path | None
    mutate: bool
    verbose: bool
    how: Measuring


def run_file(session: Session, options: RunOptions) -> ExitCode:
    """Load the model, measure, judge and report."""
    if options.mutate and session.circuit.settings.looks > 1:
        fail("`--mutate` judges mutants on all prompts at once: leave `looks` out, or use `mutate`")
        return ExitCode.USAGE
    if options.mutate and not can_mutate(session):
        return ExitCode.USAGE
    if not sound_design(session):
        return ExitCode.USAGE
    if not can_write(session.path, outputs=(options.json, options.evidence)):
        return ExitCode.USAGE
    return attempt(lambda: _run(session, options))


def judge_file(session: Session, path: Path, json: Path | None, verbose: bool) -> ExitCode:
    """Judge saved evidence with the file's present bounds."""
    if not can_write(session.path, path, outputs=(json,)):
        return ExitCode.USAGE
    try:
        evidence = load_evidence(path)
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}")
        return ExitCode.USAGE
    except ValueError:
        fail(f"{path} is not evidence that `circuitlang run --evidence` saved")
        return ExitCode.USAGE
    if not sound_design(session):
        return ExitCode.USAGE
    # Random edges depend on the size that the model turned out to have.
    made = evidence.provenance
    shape = ModelShape(made.layers, made.heads, made.kv_heads, made.parallel, neurons=made.neurons)
    circuit = replace(session.circuit, shape=shape, layout=evidence.layout)
    plan = with_sweeps(compile_plan(circuit))
    if problem := _mismatch(plan, evidence):
        fail(f"{path} belongs to another hypothesis: {problem}")
        return ExitCode.USAGE
    return _report(session, plan, evidence, json, verbose)


def _mismatch(plan: Plan, evidence: Evidence) -> str | None:
    """Why evidence says nothing about a plan; bounds and settings of the test may differ."""
    circuit = plan.circuit
    if evidence.circuit != circuit.name:
        return f"it is about the circuit `{evidence.circuit}`, this file about `{circuit.name}`"
    made, model = evidence.provenance, circuit.model
    # A folder is written relative to where one stands, so only its name is compared.
    if Path(made.model).name != Path(str(model)).name:
        return f"it is about the model `{made.model}`"
    if (made.dtype, made.weights) != (model.dtype, model.weights):
        return f"its model had {made.weights} weights in {made.dtype}"
    if made.key_values != model.key_values:
        return f"its model was run with `key_values {made.key_values}`"
    # Evidence from before pairs were numbered holds all of them, in order.
    rows = chain[tuple[int, DrawnPair]](enumerate(evidence.prompts, 1), enumerate(evidence.skipped))
    drawn = [
        (p.number or row, p.template, p.clean, p.corrupt, p.answer, p.distractor) for row, p in rows
    ]
    wanted = [
        (number, p.template, p.clean.text, p.corrupt.text, p.answer, p.distractor)
        for number, p in enumerate(expand(circuit.prompts, circuit.metric), 1)
    ]
    # A run with several looks may have stopped before the last prompt.
    if circuit.settings.looks > 1 and evidence.prompts:
        wanted = wanted[: len(drawn)]
    if circuit.prompts.generator is not None:
        # Which tokens were drawn depends on a vocabulary; the plan says how, and of which model.
        drawn, wanted = (
            [(number, template, "", "", "", "") for number, template, *_ in pairs]
            for pairs in (drawn, wanted)
        )
    if sorted(drawn) != wanted:
        return "it was measured on other prompts"
    looks = circuit.settings.looks
    if evidence.looks not in (1, looks):
        return f"it was planned with `looks {evidence.looks}`, and this file with `looks {looks}`"
    if evidence.plan_id != plan.id:
        return "its model, prompts or metric are not this file's"
    # Random edges may be missing: they decide nothing, and the report says how many there are.
    if circuit.settings.looks > 1 and look_with(circuit, evidence.drawn) is None:
        return "it ends between two of this file's looks"
    needed = {name for need in plan.needs for _, name in need.experiments}
    missing = needed - evidence.patched.keys() - evidence.errors.keys()
    unread = {reading.id for reading in plan.readings} - evidence.errors.keys()
    unread -= evidence.readings.keys() | evidence.scores.keys()
    if unread and evidence.complete:
        return f"it lacks {len(unread)} of {len(plan.readings)} things that are read of the model"
    if missing and evidence.complete:
        return f"it has no measurement for {len(missing)} of {len(needed)} experiments"
    return None


def _run(session: Session, options: RunOptions) -> ExitCode:
    ready = prepare(session, options.how.device, options.how.threads, quiet=options.how.quiet)
    plan = compile_plan(ready.circuit)
    made: tuple[Mutant, ...] | None = None
    if options.mutate:
        quiet = options.how.quiet
        ready, plan, made = with_mutants(session, ready, ready.circuit, None, quiet=quiet)
    whole, (plan, cells) = with_sweeps(plan), in_parts(plan)
    if plan.circuit.settings.looks > 1:
        evidence = _in_looks(session, plan, ready, options.how)
    else:
        means = _means_of_all(plan, ready, options.how) if searches(plan) else None
        evidence = measured(plan, ready, options.how, means)
        _, evidence = _searched(plan, ready, evidence, options.how, means)
    if cells is not None:
        evidence = _swept(cells, ready, evidence, options.how)
    saved = options.evidence is None or write_evidence(evidence, options.evidence)
    code = _report(session, whole, evidence, options.json, options.verbose, made)
    return code if saved else ExitCode.NOT_RUN


def _means_of_all(plan: Plan, ready: Ready, how: Measuring) -> "MeanOutputs | None":
    """Means of all corrupt prompts, so that every stage ablates alike."""
    from circuitlang.engine.measurement import means_of

    return means_of(plan, ready.model, ready.tokens, how.batch)


def _stage(ready: Ready, start: int, end: int) -> Ready:
    """What is measured between two looks: the drawn pairs after ``start``, up to ``end``."""
    return with_pairs(ready, range(start + 1, end + 1))


def _searched(
    plan: Plan, ready: Ready, evidence: Evidence, how: Measuring, means: "MeanOutputs | None"
) -> tuple[Plan, Evidence]:
    """A plan whose own experiments were measured, with its greedy searches."""

    def measure(part: Plan, numbers: tuple[int, ...], what: str) -> Evidence:
        if not how.quiet:
            experiments = counted(len(part.experiments), "experiment")
            print_err(f"greedy search, {what}: {experiments}\n")
        return measured(part, with_pairs(ready, set(numbers)), replace(how, quiet=True), means)

    return search(plan, evidence, measure)


def _swept(cells: Plan, ready: Ready, evidence: Evidence, how: Measuring) -> Evidence:
    """What was measured, with the sweeps of the first pairs."""

    def measure(part: Plan, numbers: tuple[int, ...], what: str) -> Evidence:
        if not how.quiet:
            experiments = counted(len(part.experiments), "experiment")
            print_err(f"{what}: {experiments} on {counted(len(numbers), 'pair')}\n")
        return measured(part, with_pairs(ready, set(numbers)), how)

    return sweep(cells, few_swept(cells.circuit) or 0, evidence, measure)


def _in_looks(session: Session, plan: Plan, ready: Ready, how: Measuring) -> Evidence:
    """A plan measured look by look, until every claim is decided.

    The greedy searches are made at the first look; later looks only add to what is judged.
    """
    from circuitlang.verdict import is_over, judge_look

    means = _means_of_all(plan, ready, how)
    done, *later = looks_of(plan.circuit)
    evidence = measured(plan, _stage(ready, 0, done.prompts), how, means)
    measured_plan, evidence = _searched(plan, ready, evidence, how, means)
    of_prompts = tuple(r for r in plan.readings if not r.kind.of_sequences)
    measured_plan = replace(measured_plan, readings=of_prompts)  # random tokens are read once
    for look in later:
        if is_over(judge_look(plan, evidence, session.source)):
            break
        part = measured(measured_plan, _stage(ready, done.prompts, look.prompts), how, means)
        evidence, done = joined(evidence, part), look
    # Evidence that is judged again, perhaps by another file, tells how it came about.
    note = f"the run ended after look {done.number} of {plan.circuit.settings.looks}"
    return evidence.model_copy(
        update={"notes": (*evidence.notes, note), "looks": plan.circuit.settings.looks}
    )


def _report(
    session: Session,
    plan: Plan,
    evidence: Evidence,
    json: Path | None,
    verbose: bool,
    made: tuple[Mutant, ...] | None = None,
) -> ExitCode:
    from circuitlang.verdict import judge_look

    if made is None:
        report = judge_look(plan, evidence, session.source)
    else:
        report = judge_mutants(plan, made, evidence, session.source)
    # The file first: a terminal that has gone away must not cost the result of a long run.
    written = json is None or write_text(json, render_json(report))
    show(render_terminal, report, verbose=verbose)
    return exit_code(report) if written else ExitCode.NOT_RUN
