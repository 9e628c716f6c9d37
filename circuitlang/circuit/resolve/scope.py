"""What resolution knows so far, and the mistakes it has found."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from circuitlang.circuit.claim import Role
from circuitlang.circuit.metric import Metric
from circuitlang.circuit.prompts import Prompts
from circuitlang.circuit.resolve.places import Places
from circuitlang.circuit.settings import TestSettings
from circuitlang.models import ModelShape
from circuitlang.source import Diagnostic, SourceText, Span, clip, did_you_mean
from circuitlang.syntax.tree import Skipped

MAX_MISTAKES = 200
_MAX_SUGGESTIONS = 50


@dataclass
class Scope:
    """Shared by the resolvers of one file; filled section by section.

    ``metric_names`` and ``position_names`` are those that the file writes anywhere: of what prompts
    have, only they are needed. ``metric_is_joined``: the metric's words follow without a space.
    """

    source: SourceText
    folder: Path
    skipped: tuple[Skipped, ...] = ()
    shape: ModelShape | None = None
    prompts: Prompts | None = None
    metric: Metric | None = None
    settings: TestSettings = field(default_factory=TestSettings)
    roles: dict[str, Role] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    places: Places | None = None
    broken: set[str] = field(default_factory=set)
    meant: set[str] = field(default_factory=set)
    pairs: int = 0
    metric_names: frozenset[str] = frozenset()
    position_names: frozenset[str] = frozenset()
    metric_is_joined: bool = False

    def error(self, code: str, span: Span, message: str, hint: str = "") -> None:
        """Note a mistake; resolution goes on. After `MAX_MISTAKES` only the last note is added."""
        if len(self.diagnostics) < MAX_MISTAKES:
            self.diagnostics.append(Diagnostic(code, span, clip(message), clip(hint)))
        elif len(self.diagnostics) == MAX_MISTAKES:
            message = f"{MAX_MISTAKES} mistakes are shown; the file has more"
            self.diagnostics.append(Diagnostic("CL113", span, message))

    def suggest(self, word: str, known: Iterable[str]) -> str:
        """`did you mean`, for the first mistakes of a file: comparing words takes long."""
        return did_you_mean(word, known) if len(self.diagnostics) < _MAX_SUGGESTIONS else ""

    def lacks(self, section: str, word: str | None = None) -> bool:
        """Whether the section lost a statement (one that begins with ``word``) to an error.

        What such a statement would have defined is not missing: the error has been reported. A
        section that lost its own first line has lost everything.
        """
        if section in self.broken:
            return True
        return any(
            lost.section == ""
            or (lost.section == section and lost.word in (word or lost.word, section))
            for lost in self.skipped
        )

    def line_of(self, span: Span) -> int:
        """One-based line in which a span begins."""
        return self.source.line_column(span.start)[0]
