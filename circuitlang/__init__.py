"""circuitlang: write a hypothesis about a transformer's circuit as text, and test it.

A file flows one way through the packages, each step one public function on frozen values::

    text -> Document -> Circuit -> Plan -> Evidence -> Report -> terminal | JSON | drawing
            parse       resolve   compile_plan  measure  judge    render_*

Nothing here imports torch until :func:`measure` runs an experiment.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "SourceText": "circuitlang.source",
    "Diagnostic": "circuitlang.source",
    "parse": "circuitlang.syntax",
    "format_document": "circuitlang.syntax",
    "resolve": "circuitlang.circuit",
    "to_graph": "circuitlang.circuit",
    "compile_plan": "circuitlang.plan",
    "measure": "circuitlang.engine",
    "judge": "circuitlang.verdict",
    "render_terminal": "circuitlang.report",
    "render_json": "circuitlang.report",
    "render_dot": "circuitlang.draw",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module-level lazy export has no narrower type
    """Import a public name on first use, so that `import circuitlang` costs nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)
