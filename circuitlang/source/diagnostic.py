"""A mistake as a value, and how a reader sees it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitlang.source.codes import WARNINGS, Severity

if TYPE_CHECKING:
    from circuitlang.source.text import SourceText, Span


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: a stable code, where it is, what is wrong, and what to do about it."""

    code: str
    span: Span
    message: str
    hint: str = ""

    @property
    def severity(self) -> Severity:
        """Error or warning; decided by the code alone."""
        return Severity.WARNING if self.code in WARNINGS else Severity.ERROR


def render_diagnostic(diagnostic: Diagnostic, source: SourceText) -> str:
    """Plain text: `file:line:column: error[code]: message`, the line, a caret span and the hint."""
    line, column = source.line_column(diagnostic.span.start)
    head = f"{source.at(diagnostic.span)}: {diagnostic.severity}[{diagnostic.code}]: "
    parts = [head + diagnostic.message]
    if source.text:
        text = source.line(line).rstrip()
        shown = text[:200]
        width = max(1, min(diagnostic.span.end - diagnostic.span.start, len(text) - column + 1, 120))
        gutter = " " * len(str(line))
        # Tabs stay tabs in the padding, so that the caret stands below its text in any editor.
        padding = "".join("\t" if char == "\t" else " " for char in text[: column - 1])
        parts.append(f" {line} | {shown}")
        if column <= 200:
            parts.append(f" {gutter} | {padding}{'^' * width}")
    if diagnostic.hint:
        parts.append(f"   = help: {diagnostic.hint}")
    return "\n".join(parts)


def render_diagnostics(diagnostics: Iterable[Diagnostic], source: SourceText) -> str:
    """All diagnostics in file order, with a closing count."""
    ordered = sorted(diagnostics, key=lambda d: (d.span.start, d.code, d.message))
    blocks = [render_diagnostic(diagnostic, source) for diagnostic in ordered]
    errors = sum(d.severity is Severity.ERROR for d in ordered)
    warnings = len(ordered) - errors
    counts = [
        f"{count} {noun}{'s' if count > 1 else ''}"
        for count, noun in ((errors, "error"), (warnings, "warning"))
        if count
    ]
    return "\n\n".join([*blocks, f"{source.name}: " + ", ".join(counts)]) + "\n"
