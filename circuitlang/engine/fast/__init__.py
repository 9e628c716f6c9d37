"""The fast engine: exact experiments, resumed, cut to the tokens that change, and stacked."""

from circuitlang.engine.fast.anatomy import UnknownArchitectureError
from circuitlang.engine.fast.engine import FastEngine

__all__ = ["FastEngine", "UnknownArchitectureError"]
