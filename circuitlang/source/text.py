"""A file's text with line numbers, read strictly."""

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from circuitlang.source.diagnostic import Diagnostic

MAX_BYTES = 1_048_576
"""Files above this size are refused (CL103): a circuit is written by hand."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open range of character offsets in a source text."""

    start: int
    end: int

    def to(self, other: "Span") -> "Span":
        """The span from the start of this one to the end of ``other``."""
        return Span(self.start, max(self.end, other.end))


@dataclass(frozen=True)
class SourceText:
    """Text of one `.circuit` file; line ends are `\\n` and there is no byte-order mark."""

    name: str
    text: str = field(repr=False)

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(i + 1 for i, char in enumerate(self.text) if char == "\n")]

    def line_column(self, offset: int) -> tuple[int, int]:
        """One-based line and column (in characters) of an offset."""
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Text of a one-based line, without its line end."""
        start = self._starts[number - 1]
        end = self._starts[number] - 1 if number < len(self._starts) else len(self.text)
        return self.text[start:end]

    def at(self, span: Span) -> str:
        """`name:line:column` of a span's start."""
        line, column = self.line_column(span.start)
        return f"{self.name}:{line}:{column}"

    def slice(self, span: Span) -> str:
        """The text that a span covers."""
        return self.text[span.start : span.end]


def load_source(path: Path, name: str | None = None) -> tuple[SourceText, tuple[Diagnostic, ...]]:
    """Read a file strictly.

    Returns the text (empty when it cannot be used) and the reason why it cannot be: unreadable,
    too large or not UTF-8.
    """
    name = name or str(path)
    try:
        if path.is_dir():
            raise IsADirectoryError("is a directory")
        if not path.is_file():
            raise FileNotFoundError("not a file" if path.exists() else "no such file")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        return SourceText(name, ""), (Diagnostic("CL101", Span(0, 0), f"cannot read it: {reason}"),)
    if len(data) > MAX_BYTES:
        message = f"larger than {MAX_BYTES:,} bytes, the most a circuit file may have"
        return SourceText(name, ""), (Diagnostic("CL103", Span(0, 0), message),)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        message = f"not UTF-8 text: byte 0x{data[error.start]:02x} in line {line}"
        return SourceText(name, ""), (Diagnostic("CL102", Span(0, 0), message, "save it as UTF-8"),)
    return SourceText(name, text.replace("\r\n", "\n").replace("\r", "\n")), ()
