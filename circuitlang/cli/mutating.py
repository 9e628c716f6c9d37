"""`circuitlang mutate`."""

from dataclasses import dataclass, replace
from pathlib import Path

from circuitlang.circuit import Circuit
from circuitlang.cli.preparing import Ready, prepare
from circuitlang.cli.running import save
from circuitlang.cli.session import (
    Session,
    can_write,
    fail,
    has_errors,
    print_err,
    print_out,
    show_diagnostics,
    write_text,
)
from circuitlang.cli.terminal import Looks, progress, status
from circuitlang.mutation import Mutant, judge_mutants, mutants, plan_with, sampled
from circuitlang.mutation.mutants import MOST_EDGES, without_random_edges
from circuitlang.plan import Plan, check_design
from circuitlang.report import ExitCode, exit_code, render_json
from circuitlang.report.mutation import Outcome
from circuitlang.syntax import parse


@dataclass(frozen=True, slots=True)
class MutateOptions:
    """Options of `mutate`; ``limit`` is the most mutants that are measured."""

    json: Path | None
    evidence: Path | None
    limit: int | None
    device: str
    engine: str
    batch: int
    memory: float
    threads: int | None
    verbose: bool
    quiet: bool


def mutate_file(session: Session, options: MutateOptions) -> ExitCode:
    """Make a file's mutants, measure them with it in one run, and show which ones survive."""
    edges = len(session.circuit.edges)
    if edges > MOST_EDGES:
        fail(f"mutants are made of at most {MOST_EDGES} edges, and {session.path} has {edges:,}")
        return ExitCode.USAGE
    problems = check_design(session.circuit)
    if problems:
        show_diagnostics(session.source, problems)
        return ExitCode.USAGE
    if not can_write(session.path, outputs=(options.json, options.evidence)):
        return ExitCode.USAGE
    from circuitlang.engine.errors import RunError

    try:
        return _mutate(session, options)
    except RunError as error:
        fail(str(error))
        return ExitCode.NOT_RUN


def _mutate(session: Session, options: MutateOptions) -> ExitCode:
    ready = prepare(session, options.device, options.threads, quiet=options.quiet)
    document, _ = parse(session.source)
    circuit = without_random_edges(ready.circuit)
    with status("making mutants", quiet=options.quiet):
        found = mutants(document, session.source, circuit)
    made = sampled(found, options.limit, circuit.settings.seed)
    plan = plan_with(circuit, made)
    if not options.quiet:
        print_err(_announced(made, plan))
    from circuitlang.engine.choice import EngineName
    from circuitlang.engine.measurement import measure
    from circuitlang.engine.tokens import tokenize
    from circuitlang.report.mutation_section import render_mutants
    from circuitlang.report.terminal import render_terminal

    # Mutants may speak of positions that the file does not name.
    pairs, tokens, problems = tokenize(_with_positions(ready, made), ready.model.tokenizer)
    if has_errors(problems):
        show_diagnostics(session.source, problems)
        return ExitCode.USAGE
    with progress(quiet=options.quiet) as advance:
        evidence = measure(
            plan,
            ready.model,
            pairs,
            tokens,
            engine=EngineName(options.engine),
            batch_size=options.batch,
            memory=int(options.memory * (1 << 30)),
            progress=advance,
        )
    saved = options.evidence is None or save(evidence, options.evidence)
    with status("judging mutants", quiet=options.quiet):
        report = judge_mutants(plan, made, evidence, session.source)
    # The file first: a terminal that has gone away must not cost the result of a long run.
    written = options.json is None or write_text(options.json, render_json(report))
    render = render_terminal if options.verbose else render_mutants
    looks = Looks.of_stdout()
    print_out(
        render(
            report,
            width=looks.width,
            color=looks.color,
            ascii_only=looks.ascii_only,
            verbose=options.verbose,
        )
    )
    return exit_code(report) if saved and written else ExitCode.NOT_RUN


def _with_positions(ready: Ready, made: tuple[Mutant, ...]) -> Circuit:
    edges = [edge for mutant in made if mutant.circuit for edge in mutant.circuit.edges]
    return replace(ready.circuit, edges=(*ready.circuit.edges, *edges))


def _announced(made: tuple[Mutant, ...], plan: Plan) -> str:
    """What will be done, before it is."""
    judged = sum(mutant.known is None for mutant in made)
    left = sum(mutant.known is Outcome.UNMEASURED for mutant in made)
    of = f" of {judged + left:,}" if left else ""
    return (
        f"{len(made):,} mutants; {judged:,}{of} to be measured, "
        f"{len(plan.experiments):,} experiments with the file's own\n"
    )
