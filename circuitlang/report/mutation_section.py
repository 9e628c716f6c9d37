"""What became of a hypothesis's mutants, as a section of a printed report."""

from circuitlang.report.claim_lines import STYLES
from circuitlang.report.mutation import Kind, MutantReport, MutatedClaim, Mutation, Outcome
from circuitlang.report.numbers import format_effect, format_share
from circuitlang.report.outcome import ExitCode, exit_code
from circuitlang.report.page import INDENT, Page
from circuitlang.report.report import Report, Verdict
from circuitlang.report.terminal import NARROWEST

_HEADINGS = {
    Outcome.SURVIVED: "Mutants that survive",
    Outcome.UNDECIDED: "Mutants that are not decided",
    Outcome.KILLED: "Mutants that are killed",
    Outcome.REFUSED: "Mutants that the check refuses",
    Outcome.EQUIVALENT: "Mutants that say the same as the file",
}
_ALWAYS = (Outcome.SURVIVED, Outcome.UNDECIDED)


def render_mutants(
    report: Report,
    *,
    width: int = 100,
    color: bool = True,
    ascii_only: bool = False,
    verbose: bool = False,
) -> str:
    """What became of the mutants alone; see `render_terminal` for the whole report."""
    page = Page(max(width, NARROWEST), color=color, ascii_only=ascii_only)
    title = f"  {report.title}" if report.title else ""
    page.line((report.circuit, "bold cyan"), (title, "bold"))
    verdicts = ", ".join(f"{report.count(verdict)} {verdict}" for verdict in Verdict)
    page.line(f"the file itself: {verdicts}", indent=INDENT)
    if report.count(Verdict.PASS) < len(report.claims):
        page.line("Not every claim passes: mutants say little about such a file.", indent=INDENT)
    for check in report.self_checks:
        if not check.holds:
            page.line((f"self-check failed: {check.name}", "bold red"), indent=INDENT)
    write_mutation(report, page, verbose=verbose)
    page.blank()
    code = exit_code(report)
    meaning = meaning_of_mutants(report) or "see `circuitlang run` on the file itself"
    page.line(f"exit code {code.value}: {meaning}")
    return page.text()


def write_mutation(report: Report, page: Page, *, verbose: bool) -> None:
    """Survivors first, then the undecided, the counts by kind and the score.

    With ``verbose`` every mutant is shown.
    """
    mutation = report.mutation
    if mutation is None:
        return
    for outcome, heading in _HEADINGS.items():
        found = mutation.of(outcome)
        if outcome is Outcome.SURVIVED or (found and (verbose or outcome in _ALWAYS)):
            page.heading(heading)
            if not found:
                page.line("None.", indent=INDENT)
            for mutant in found:
                _mutant(mutant, page)
    page.heading("Mutants by kind")
    _counts(mutation, page)
    page.fields([("score", _score(mutation))])


def meaning_of_mutants(report: Report) -> str:
    """Why the exit code is what it is, where the mutants decide; else empty."""
    mutation, code = report.mutation, exit_code(report)
    if mutation is None or not report.complete:
        return ""
    if code is ExitCode.FAILED and not report.count(Verdict.FAIL):
        return "a mutant survives"
    if code is ExitCode.INCONCLUSIVE and not report.count(Verdict.INCONCLUSIVE):
        if mutation.score is None:
            return "no mutant was judged"
        return "no mutant survives, but not all are decided"
    return "every claim passed, and no mutant survives" if code is ExitCode.PASSED else ""


def _mutant(mutant: MutantReport, page: Page) -> None:
    page.blank()
    page.line((f"{mutant.kind}", "bold"), f" in line {mutant.line}", indent=INDENT)
    rows = [("", mutant.before), ("becomes", mutant.after), ("because", mutant.reason)]
    cells = [[page.styled((name, "dim")), page.styled(value)] for name, value in rows if value]
    for claim in mutant.claims:
        text = f"  {claim.text}" + _effect(claim)
        style = STYLES[Verdict(claim.verdict)]
        cells.append([page.styled(""), page.styled((claim.verdict, style), text)])
        if claim.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR):
            cells.append([page.styled(""), page.styled((f"  {claim.reason}", "dim"))])
    page.table(cells, (7, None), indent=2 * INDENT)


def _effect(claim: MutatedClaim) -> str:
    if claim.value is None or claim.unit is None:
        return ""
    return f": {format_effect(claim.value, claim.unit)}"


def _counts(mutation: Mutation, page: Page) -> None:
    shown = [o for o in Outcome if o is not Outcome.UNMEASURED or mutation.count(o)]
    rows = [["", *map(str, shown)]]
    for kind in Kind:
        counts = [mutation.count(outcome, kind) for outcome in shown]
        if any(counts):
            rows.append([str(kind), *map(str, counts)])
    rows.append(["all", *(str(mutation.count(outcome)) for outcome in shown)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    cells = [
        [page.styled((cell, "" if n else "dim")) for cell in row] for n, row in enumerate(rows)
    ]
    page.table(cells, widths, right=range(1, len(widths)))


def _score(mutation: Mutation) -> str:
    if mutation.score is None:
        return "none: no mutant was judged"
    killed, refused = mutation.count(Outcome.KILLED), mutation.count(Outcome.REFUSED)
    judged = killed + mutation.count(Outcome.SURVIVED) + mutation.count(Outcome.UNDECIDED)
    text = f"{format_share(mutation.score)}: {killed:,} of {judged:,} mutants are killed"
    if refused and mutation.score_with_refused is not None:
        share = format_share(mutation.score_with_refused)
        text += f"; {share} when the {refused:,} that the check refuses count, too"
    left = mutation.count(Outcome.UNMEASURED)
    return text + (f"; {left:,} others were left out by the limit" if left else "")
