"""`circuitlang fmt`."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from circuitlang.cli.session import fail, print_out, show_diagnostics, write_text
from circuitlang.report.outcome import ExitCode
from circuitlang.source import load_source
from circuitlang.syntax import format_source, parse


def format_files(paths: Sequence[Path], *, check: bool, diff: bool) -> ExitCode:
    """Rewrite files in place, or say which would change; files with errors are left alone."""
    worst = ExitCode.PASSED
    for path in paths:
        source, problems = load_source(path)
        errors = problems or parse(source)[1]
        if errors:
            show_diagnostics(source, errors)
            worst = ExitCode.USAGE
            continue
        text = format_source(source)
        # Compared as bytes: a byte-order mark or foreign line ends are a difference, too.
        if text.encode() == path.read_bytes():
            continue
        if diff:
            lines = difflib.unified_diff(
                source.text.splitlines(keepends=True),
                text.splitlines(keepends=True),
                str(path),
                f"{path} (formatted)",
            )
            print_out("".join(lines))
        if check or diff:
            fail(f"{path} is not formatted")
            worst = max(worst, ExitCode.FAILED)
            continue
        if not write_text(path, text):
            worst = ExitCode.NOT_RUN
    return worst
