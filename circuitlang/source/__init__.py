"""Source text, spans and diagnostics: what every later stage points back to."""

from circuitlang.source.characters import (
    ASCII_BLANK,
    BLANK,
    clip,
    hidden_characters,
    in_a_row,
    visible,
)
from circuitlang.source.codes import CODES, Severity
from circuitlang.source.diagnostic import Diagnostic, render_diagnostic, render_diagnostics
from circuitlang.source.explanation import Explanation, explain
from circuitlang.source.lookalikes import plain, written_component
from circuitlang.source.spelling import closest, counted, did_you_mean
from circuitlang.source.text import MAX_BYTES, SourceText, Span, load_source

__all__ = [
    "ASCII_BLANK",
    "BLANK",
    "CODES",
    "MAX_BYTES",
    "Diagnostic",
    "Explanation",
    "Severity",
    "SourceText",
    "Span",
    "clip",
    "closest",
    "counted",
    "did_you_mean",
    "explain",
    "hidden_characters",
    "in_a_row",
    "load_source",
    "plain",
    "render_diagnostic",
    "render_diagnostics",
    "visible",
    "written_component",
]
