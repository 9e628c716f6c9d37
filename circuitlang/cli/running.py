"""`circuitlang run` and `circuitlang judge`."""

from dataclasses import dataclass, replace
from pathlib import Path

from circuitlang.circuit import expand
from circuitlang.cli.preparing import prepare
from circuitlang.cli.session import (
    Session,
    can_write,
    fail,
    print_out,
    show_diagnostics,
    write_text,
)
from circuitlang.cli.terminal import Looks, progress
from circuitlang.evidence import Evidence, load_evidence, save_evidence
from circuitlang.models import ModelShape
from circuitlang.plan import Plan, check_design, compile_plan
from circuitlang.report import ExitCode, Report, exit_code, render_json, render_terminal


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of `run`."""

    json: Path | None
    evidence: Path | None
    device: str
    engine: str
    batch: int
    memory: float
    threads: int | None
    verbose: bool
    quiet: bool


def run_file(session: Session, options: RunOptions) -> ExitCode:
    """Load the model, measure, judge and report."""
    problems = check_design(session.circuit)
    if problems:
        show_diagnostics(session.source, problems)
        return ExitCode.USAGE
    if not can_write(session.path, outputs=(options.json, options.evidence)):
        return ExitCode.USAGE
    from circuitlang.engine.errors import RunError

    try:
        return _run(session, options)
    except RunError as error:
        fail(str(error))
        return ExitCode.NOT_RUN


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
    if problems := check_design(session.circuit):
        show_diagnostics(session.source, problems)
        return ExitCode.USAGE
    # Random edges depend on the size that the model turned out to have.
    made = evidence.provenance
    shape = ModelShape(made.layers, made.heads, made.kv_heads, made.parallel)
    plan = compile_plan(replace(session.circuit, shape=shape))
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
    measured = [(p.clean, p.corrupt, p.answer, p.distractor) for p in evidence.prompts]
    wanted = [
        (p.clean.text, p.corrupt.text, p.answer, p.distractor)
        for p in expand(circuit.prompts, circuit.metric)
    ]
    if measured != wanted:
        return "it was measured on other prompts"
    if evidence.plan_id != plan.id:
        return "its model, prompts or metric are not this file's"
    # Random edges may be missing: they decide nothing, and the report says how many there are.
    needed = {name for need in plan.needs for _, name in need.experiments}
    missing = needed - evidence.patched.keys() - evidence.errors.keys()
    if missing and evidence.complete:
        return f"it has no measurement for {len(missing)} of {len(needed)} experiments"
    return None


def _run(session: Session, options: RunOptions) -> ExitCode:
    ready = prepare(session, options.device, options.threads, quiet=options.quiet)
    from circuitlang.engine.choice import EngineName
    from circuitlang.engine.measurement import measure

    plan = compile_plan(ready.circuit)
    with progress(quiet=options.quiet) as advance:
        evidence = measure(
            plan,
            ready.model,
            ready.pairs,
            ready.tokens,
            engine=EngineName(options.engine),
            batch_size=options.batch,
            memory=int(options.memory * (1 << 30)),
            progress=advance,
        )
    saved = options.evidence is None or _saved(evidence, options.evidence)
    code = _report(session, plan, evidence, options.json, options.verbose)
    return code if saved else ExitCode.NOT_RUN


def _saved(evidence: Evidence, path: Path) -> bool:
    try:
        save_evidence(evidence, path)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}")
        return False
    return True


def _report(
    session: Session, plan: Plan, evidence: Evidence, json: Path | None, verbose: bool
) -> ExitCode:
    from circuitlang.verdict import judge

    report = judge(plan, evidence, session.source)
    # The file first: a terminal that has gone away must not cost the result of a long run.
    written = json is None or write_text(json, render_json(report))
    print_out(_rendered(report, verbose))
    return exit_code(report) if written else ExitCode.NOT_RUN


def _rendered(report: Report, verbose: bool) -> str:
    looks = Looks.of_stdout()
    return render_terminal(
        report,
        width=looks.width,
        color=looks.color,
        ascii_only=looks.ascii_only,
        verbose=verbose,
    )
