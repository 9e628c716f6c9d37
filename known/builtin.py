"""The known models that ship with the package, in the flavour without noise."""

import sys
from pathlib import Path

from circuitlang.models import BUILTIN_FOLDER
from known.gates import Gate, gate
from known.induction import induction
from known.ioi import ioi
from known.mlp_path import mlp_path
from known.model import KnownModel

STORED = "bfloat16"
"""Weights are small powers of two and their sums, so that half the bytes hold them; only the
queries of a head whose width is no square are rounded, by less than one in 200."""


def builtin_models() -> tuple[KnownModel, ...]:
    """Every known model that `model builtin NAME` names."""
    return (induction(), ioi(), gate(Gate.OR), gate(Gate.AND), mlp_path())


def builtin_path(model: KnownModel, parent: Path = BUILTIN_FOLDER) -> Path:
    """Where its folder lies; hyphens stand for underscores."""
    return parent / model.name.replace("_", "-")


def write_builtin_models(parent: Path = BUILTIN_FOLDER) -> None:
    """Write every folder, each with a page that says what its parts do."""
    for model in builtin_models():
        folder = builtin_path(model, parent)
        model.build(folder, STORED)
        page = f"# {folder.name}\n\n{_about(model)}\n\n{_MADE}"
        (folder / "README.md").write_text(page, encoding="utf-8")


_MADE = """## How it was made

Its weights were set by hand, not trained: `python -m known` in a checkout writes them. Every effect
of every edge is therefore known exactly; `circuits/known` claims them, and
`tests/test_known_models.py` holds the engines against them.
"""


def _about(model: KnownModel) -> str:
    """The documentation of the module that defines the model."""
    module = sys.modules[model.program.parts[0].writes.__module__]
    return (module.__doc__ or "").strip()
