"""What the command tells the shell."""

from enum import IntEnum

from circuitlang.report.report import Report, Verdict


class ExitCode(IntEnum):
    """Documented exit codes of the command line; `no claim was run` is never PASSED."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    NOT_RUN = 3
    INCONCLUSIVE = 4
    INTERRUPTED = 130


def exit_code(report: Report) -> ExitCode:
    """The code that a report's verdicts amount to."""
    verdicts = {claim.verdict for claim in report.claims}
    if not report.complete:
        return ExitCode.INTERRUPTED
    if not verdicts or Verdict.ERROR in verdicts:
        return ExitCode.NOT_RUN
    if Verdict.FAIL in verdicts:
        return ExitCode.FAILED
    return ExitCode.INCONCLUSIVE if Verdict.INCONCLUSIVE in verdicts else ExitCode.PASSED
