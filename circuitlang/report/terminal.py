"""The report as text for a terminal."""

from circuitlang.report.report import Report

NARROWEST = 40


def render_terminal(
    report: Report,
    *,
    width: int = 100,
    color: bool = True,
    ascii_only: bool = False,
    verbose: bool = False,
) -> str:
    """The whole report, no line wider than ``width`` (at least 40), with a trailing newline.

    ANSI escapes appear only with ``color``; text that came from files or models is printed
    literally, without its control characters. ``verbose`` adds definition, change, p-values and
    templates to every claim.
    """
    # rich takes 50 ms to import, which those who only want JSON or a drawing should not pay.
    from circuitlang.report.page import Page
    from circuitlang.report.sections import write_report

    page = Page(max(width, NARROWEST), color=color, ascii_only=ascii_only)
    write_report(report, page, verbose=verbose)
    return page.text()
