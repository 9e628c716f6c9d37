"""`circuitlang plan --pilot`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from circuitlang.circuit import PromptPair
from circuitlang.cli.measuring import measured
from circuitlang.cli.opening import Measuring, attempt, sound_design
from circuitlang.cli.preparing import Ready, prepare
from circuitlang.cli.session import (
    Session,
    can_write,
    fail,
    has_errors,
    show_diagnostics,
    write_text,
)
from circuitlang.cli.terminal import show
from circuitlang.evidence import distrust
from circuitlang.plan import compile_plan
from circuitlang.plan.reach import Design
from circuitlang.report.outcome import ExitCode

PILOT_SEED = 2**32
"""Added to the seed of a file's prompts: its own seeds are smaller, so whatever `sample` and `seed`
become after the pilot, the file never draws as the pilot did."""


@dataclass(frozen=True, slots=True)
class PilotOptions:
    """Options of `plan --pilot`."""

    prompts: int
    json: Path | None
    how: Measuring


def pilot_file(session: Session, options: PilotOptions) -> ExitCode:
    """Measure a file's claims on a few further prompts, and say what the test needs."""
    templates = len(session.circuit.prompts.templates)
    if options.prompts < 2 * templates:
        fail(f"a pilot needs two prompts of each template: `--pilot {2 * templates}` or more")
        return ExitCode.USAGE
    if not can_write(session.path, outputs=(options.json,)):
        return ExitCode.USAGE
    sound = sound_design(session)
    code = attempt(lambda: _pilot(session, options))
    # Told what it needs, and still refused: a design that cannot pass is no valid one.
    return ExitCode.USAGE if code is ExitCode.PASSED and not sound else code


def _pilot(session: Session, options: PilotOptions) -> ExitCode:
    ready = prepare(session, options.how.device, options.how.threads, quiet=options.how.quiet)
    from circuitlang.engine.tokens import align

    circuit = ready.circuit
    prompts = circuit.prompts
    drawn = replace(
        prompts, sample=prompts.sample + options.prompts, seed=prompts.seed + PILOT_SEED
    )
    aligned = align(replace(circuit, prompts=drawn), ready.model.tokenizer)
    if has_errors(aligned.diagnostics):
        show_diagnostics(session.source, aligned.diagnostics)
        return ExitCode.USAGE
    pairs, tokens = aligned.pairs, aligned.tokens
    rows = further(pairs, ready.pairs, options.prompts)
    counts = Counter(pairs[row].template for row in rows)
    if min(counts[number] for number in range(len(prompts.templates))) < 2:
        fail(
            f"the words make too few prompts beyond the file's {prompts.sample}: {len(rows)} of "
            f"{options.prompts} differ from them, and a pilot needs two of each template"
        )
        return ExitCode.USAGE
    # Random edges decide nothing, so nothing needs to be known about them.
    plan = compile_plan(replace(circuit, settings=replace(circuit.settings, random_edges=0)))
    evidence = measured(
        plan,
        Ready(ready.model, circuit, [pairs[row] for row in rows], [tokens[row] for row in rows]),
        options.how,
    )
    if not evidence.complete:
        fail("interrupted")
        return ExitCode.INTERRUPTED
    if reason := distrust(evidence):
        fail(reason)
        return ExitCode.NOT_RUN
    from circuitlang.report.json import render_json
    from circuitlang.report.pilot_page import render_pilot
    from circuitlang.verdict.pilot import pilot_report

    design = Design.of(circuit)
    report = pilot_report(plan, evidence, design, options.prompts, session.source)
    written = options.json is None or write_text(options.json, render_json(report))
    show(render_pilot, report)
    return ExitCode.PASSED if written else ExitCode.NOT_RUN


def further(pairs: Sequence[PromptPair], own: Sequence[PromptPair], count: int) -> tuple[int, ...]:
    """Rows of at most ``count`` pairs that differ from the file's own and from each other.

    Templates take turns in ``pairs``; each gives its share of ``count``, the first ones a pair more
    where it cannot be divided, and fewer where its words are used up.
    """
    templates = 1 + max(pair.template for pair in pairs)
    left = Counter(number % templates for number in range(count))
    seen = set(own)
    rows = []
    for row, pair in enumerate(pairs):
        if left[pair.template] and pair not in seen:
            seen.add(pair)
            left[pair.template] -= 1
            rows.append(row)
    return tuple(rows)
