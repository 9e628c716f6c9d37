"""What resolution knows so far, and the mistakes it has found."""

from dataclasses import dataclass, field
from pathlib import Path

from circuitlang.circuit.claim import Role
from circuitlang.circuit.prompts import Prompts
from circuitlang.circuit.settings import TestSettings
from circuitlang.models import ModelShape
from circuitlang.source import Diagnostic, SourceText, Span


@dataclass
class Scope:
    """Shared by the resolvers of one file; filled section by section."""

    source: SourceText
    folder: Path
    shape: ModelShape | None = None
    prompts: Prompts | None = None
    settings: TestSettings = field(default_factory=TestSettings)
    roles: dict[str, Role] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def error(self, code: str, span: Span, message: str, hint: str = "") -> None:
        """Note a mistake; resolution goes on."""
        self.diagnostics.append(Diagnostic(code, span, message, hint))
