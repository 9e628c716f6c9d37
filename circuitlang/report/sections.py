"""The sections of a printed report around its claims."""

from circuitlang.report.claim_lines import STYLES, write_claims
from circuitlang.report.mutation_section import meaning_of_mutants, write_mutation
from circuitlang.report.numbers import format_effect, format_share
from circuitlang.report.outcome import ExitCode, exit_code
from circuitlang.report.page import INDENT, Page
from circuitlang.report.pair_lines import pair_fields
from circuitlang.report.report import Baseline, Report, Settings, Verdict
from circuitlang.report.sweep_section import write_sweeps
from circuitlang.source import ASCII_BLANK, BLANK, counted, in_a_row

_INCOMPLETE = "INCOMPLETE: the run was interrupted; this is not the whole evidence."
_MEANINGS = {
    ExitCode.PASSED: "every claim passed",
    ExitCode.FAILED: "a claim failed",
    ExitCode.USAGE: "the file cannot be run",
    ExitCode.NOT_RUN: "something could not be measured",
    ExitCode.INCONCLUSIVE: "nothing failed, but not every claim is decided",
    ExitCode.INTERRUPTED: "the run was interrupted",
}
_SHORT = 12
_UNASKED = ("sweep_pairs", "random_circuits", "random_subsets", "greedy_searches")
"""Settings that are 0 where nothing asked for them."""


def write_report(report: Report, page: Page, *, verbose: bool) -> None:
    """The whole report, from the circuit's name to the exit code."""
    _header(report, page)
    _baseline(report, page, verbose=verbose)
    write_claims(report, page, verbose=verbose)
    write_sweeps(report, page)
    write_mutation(report, page, verbose=verbose)
    _self_checks(report, page, verbose=verbose)
    _notes(report, page)
    _settings(report, page)
    _looks(report, page)
    _closing(report, page)


def _header(report: Report, page: Page) -> None:
    if not report.complete:
        page.line((_INCOMPLETE, "bold red"))
        page.blank()
    title = f"  {report.title}" if report.title else ""
    page.line((report.circuit, "bold cyan"), (title, "bold"))
    facts = report.provenance
    heads = f"{facts.layers} layers x {facts.heads} heads"
    if facts.kv_heads != facts.heads:
        heads += f" ({facts.kv_heads} key/value heads)"
    if facts.key_values != "shared":
        heads += f", keys and values {facts.key_values}"
    sources = [f"revision {facts.revision[:_SHORT]}"] if facts.revision else ["no revision"]
    if facts.weights_sha256:
        sources.append(f"weights sha256 {facts.weights_sha256[:_SHORT]}")
    engines = "both engines" if facts.engine == "both" else f"{facts.engine} engine"
    run = f"{engines}, batches of {facts.batch_size}, {facts.forward_passes:,} forward "
    run += f"passes in {facts.seconds:.1f} s on {facts.device} ({counted(facts.threads, 'thread')})"
    versions = {"circuitlang": report.circuitlang, **facts.versions}
    page.fields(
        [
            ("file", f"{report.file}  sha256 {report.file_sha256[:_SHORT]}"),
            ("model", f"{facts.model}, {facts.architecture}, {heads}"),
            ("weights", ", ".join([facts.weights, facts.dtype, *sources])),
            ("run", run),
            ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ]
    )


def _baseline(report: Report, page: Page, *, verbose: bool) -> None:
    page.heading("The model on the task")
    base = report.baseline
    templates = max((len(c.estimate.strata) for c in report.claims if c.estimate), default=0)
    prompts = counted(base.prompts, "prompt")
    prompts += f" from {counted(templates, 'template')}" if templates else ""
    of = f"of {base.measured or base.prompts:,} clean prompts"
    answers = base.answered is not None
    pairs = pair_fields(report.pairs, verbose=verbose, answers=answers) if report.pairs else []
    page.fields(
        [
            ("prompts", prompts),
            *pairs,
            (
                "metric",
                f"{base.metric}: {_means(base)}; "
                f"{'lower' if base.lower_is_better else 'higher'} is better",
            ),
            ("preferred", _share(base.preferred, f"{of} have a metric above 0")),
            ("answered", _share(base.answered, f"{of} have the answer as their likeliest token")),
            ("example", base.example),
            ("tokens", _tokens(base.example_tokens, page)),
        ]
    )


def _means(base: Baseline) -> str:
    if not base.prompts:
        return "no pair left to take a mean of"
    means = ((base.clean, "clean"), (base.corrupt, "corrupt"))
    shown = (("no number" if m is None else format_effect(m, base.unit), w) for m, w in means)
    return ", ".join(f"{mean} on {world} prompts" for mean, world in shown)


def _share(value: float | None, of_what: str) -> str:
    """Nothing where the metric has no such share."""
    return "" if value is None else f"{format_share(value)} {of_what}"


def _tokens(tokens: tuple[str, ...], page: Page) -> str:
    """Tokens with their white space visible, which decides what a token is."""
    return in_a_row(tokens, ASCII_BLANK if page.ascii_only else BLANK)


def _self_checks(report: Report, page: Page, *, verbose: bool) -> None:
    page.heading("Self-checks")
    if not report.self_checks:
        page.line("None was made.", indent=INDENT)
        return
    rows = []
    for check in report.self_checks:
        status = ("ok", "green") if check.holds else ("FAILED", "bold red")
        value = "not finite" if check.value is None else f"{check.value:.2g}"
        limit = f"tolerance {check.tolerance:.2g} {check.unit}"
        rows.append([page.styled(cell) for cell in (status, check.name, value, limit)])
        if check.detail and (verbose or not check.holds):
            detail = page.styled((check.detail, "dim"))
            rows.append([page.styled(""), detail, page.styled(""), page.styled("")])
    limits = max(len(row[3]) for row in rows)
    rest = page.width // 3
    page.table(rows, (6, None, 10, min(limits, rest)), right=(2,))


def _notes(report: Report, page: Page) -> None:
    if report.notes:
        page.heading("Notes")
        for note in report.notes:
            shown = note.replace(BLANK, ASCII_BLANK) if page.ascii_only else note
            page.line(f"- {shown}", indent=INDENT)


def _settings(report: Report, page: Page) -> None:
    page.heading("Settings, defaults included")
    values = report.settings
    names = Settings.model_fields
    page.fields([(name.replace("_", " "), _setting(values, name)) for name in names])


def _setting(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if name in _UNASKED and not value:
        return ""  # nothing asked for any
    if name == "family":
        return counted(value, "claim")
    if isinstance(value, float):
        return f"{100 * value:.6g}%"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _looks(report: Report, page: Page) -> None:
    looks = report.looks
    if looks is None:
        return
    page.heading("Looks")
    saved = looks.planned_prompts - looks.prompts
    decided = report.count(Verdict.PASS) + report.count(Verdict.FAIL) == len(report.claims)
    page.fields(
        [
            ("done", f"{looks.done} of {looks.planned}"),
            ("prompts", f"{looks.prompts:,} of {looks.planned_prompts:,}"),
            (
                "level",
                f"{100 * looks.level:.4g}% for this look, {100 * looks.spent:.4g}% with those "
                f"before, of {100 * report.settings.significance:.4g}%",
            ),
            ("stopped", "every claim was decided" if saved and decided else ""),
        ]
    )


def _claimless(report: Report) -> str:
    shown = sum(not sweep.missing for sweep in report.sweeps)
    return f"no claim was run; {counted(shown, 'sweep')} shown" if shown else "no claim was run"


def _closing(report: Report, page: Page) -> None:
    page.blank()
    code = exit_code(report)
    parts: list[str | tuple[str, str]] = [f"{counted(len(report.claims), 'claim')}: "]
    for number, verdict in enumerate(Verdict):
        count = report.count(verdict)
        style = STYLES[verdict] if count else "dim"
        parts += [", " if number else "", (f"{count} {verdict}", style)]
    meaning = _MEANINGS[code] if report.claims or not report.complete else _claimless(report)
    meaning = meaning_of_mutants(report) or meaning
    parts.append(f"; exit code {code.value}: {meaning}")
    page.line(*parts)
    if not report.complete:
        page.line((_INCOMPLETE, "bold red"))
