"""Running experiments on a transformer: the only package that imports torch, and only when used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuitlang.engine.loading import load_transformer
    from circuitlang.engine.measurement import measure

__all__ = ["load_transformer", "measure"]

_PLACES = {"load_transformer": "loading", "measure": "measurement"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module-level lazy export
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
