"""`circuitlang mutate`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from circuitlang.circuit import Circuit, Position, edges_of
from circuitlang.cli.measuring import measured
from circuitlang.cli.opening import Measuring, attempt, sound_design
from circuitlang.cli.preparing import Ready, prepare
from circuitlang.cli.session import (
    Session,
    can_write,
    fail,
    print_err,
    write_evidence,
    write_text,
)
from circuitlang.cli.terminal import show, status
from circuitlang.mutation import Mutant, judge_mutants, mutants, plan_with, sampled
from circuitlang.mutation.mutants import MOST_EDGES, without_random_edges
from circuitlang.plan import Plan
from circuitlang.report import ExitCode, exit_code, render_json
from circuitlang.report.mutation import Outcome
from circuitlang.syntax import parse

if TYPE_CHECKING:
    from circuitlang.engine.tokens import TokenizedPair


@dataclass(frozen=True, slots=True)
class MutateOptions:
    """Options of `mutate`; ``limit`` is the most mutants that are measured."""

    json: Path | None
    evidence: Path | None
    limit: int | None
    verbose: bool
    how: Measuring


def mutate_file(session: Session, options: MutateOptions) -> ExitCode:
    """Make a file's mutants, measure them with it in one run, and show which ones survive."""
    if not can_mutate(session):
        return ExitCode.USAGE
    if not sound_design(session):
        return ExitCode.USAGE
    if not can_write(session.path, outputs=(options.json, options.evidence)):
        return ExitCode.USAGE
    return attempt(lambda: _mutate(session, options))


def can_mutate(session: Session) -> bool:
    """Whether a file has so few edges that mutants can be made of it; says so if not."""
    edges = len(session.circuit.edges)
    if edges > MOST_EDGES:
        fail(f"mutants are made of at most {MOST_EDGES} edges, and {session.path} has {edges:,}")
    return edges <= MOST_EDGES


def with_mutants(
    session: Session, ready: Ready, circuit: Circuit, limit: int | None, *, quiet: bool
) -> tuple[Ready, Plan, tuple[Mutant, ...]]:
    """What to measure for a circuit and at most ``limit`` of its mutants, and the mutants.

    The prompts come back with the positions of mutants. Random edges are the circuit's own only.
    """
    document, _ = parse(session.source)
    with status("making mutants", quiet=quiet):
        found = mutants(document, session.source, without_random_edges(circuit))
    made = sampled(found, limit, circuit.settings.seed)
    plan = plan_with(circuit, made)
    if not quiet:
        print_err(_announced(made, plan))
    return replace(ready, tokens=_with_positions(ready, made)), plan, made


def _mutate(session: Session, options: MutateOptions) -> ExitCode:
    ready = prepare(session, options.how.device, options.how.threads, quiet=options.how.quiet)
    circuit = without_random_edges(ready.circuit)
    ready, plan, made = with_mutants(
        session, ready, circuit, options.limit, quiet=options.how.quiet
    )
    from circuitlang.report.mutation_section import render_mutants
    from circuitlang.report.terminal import render_terminal

    evidence = measured(plan, ready, options.how)
    saved = options.evidence is None or write_evidence(evidence, options.evidence)
    with status("judging mutants", quiet=options.how.quiet):
        report = judge_mutants(plan, made, evidence, session.source)
    # The file first: a terminal that has gone away must not cost the result of a long run.
    written = options.json is None or write_text(options.json, render_json(report))
    render = render_terminal if options.verbose else render_mutants
    show(render, report, verbose=options.verbose)
    return exit_code(report) if saved and written else ExitCode.NOT_RUN


def _with_positions(ready: Ready, made: Sequence[Mutant]) -> "list[TokenizedPair]":
    """The prompts with the positions of mutants, some at slots the file never names."""
    edges = [edge for mutant in made if mutant.circuit for edge in mutant.circuit.edges]
    wanted = dict.fromkeys(p for claim in edges for e in edges_of(claim) for p in e.positions)
    found = []
    for pair, tokens in zip(ready.pairs, ready.tokens, strict=True):
        # A slot stands for the last of its tokens; first and last of each slot are known.
        lasts = zip(pair.clean.places, tokens.slots[1::2], strict=True)
        slots = {Position(place[0], place[1]): last for place, last in lasts}
        more = {position: slots[position] for position in wanted if position in slots}
        found.append(replace(tokens, positions={**more, **tokens.positions}))
    return found


def _announced(made: tuple[Mutant, ...], plan: Plan) -> str:
    """What will be done, before it is."""
    judged = sum(mutant.known is None for mutant in made)
    left = sum(mutant.known is Outcome.UNMEASURED for mutant in made)
    of = f" of {judged + left:,}" if left else ""
    return (
        f"{len(made):,} mutants; {judged:,}{of} to be measured, "
        f"{len(plan.experiments):,} experiments with the file's own\n"
    )
