"""The fast engine: exact experiments, resumed, cut to the tokens that change, and stacked."""

from circuitlang.engine.fast.anatomy import UnknownArchitectureError
from circuitlang.engine.fast.engine import FastEngine
from circuitlang.engine.fast.worlds import FastWorlds

__all__ = ["FastEngine", "FastWorlds", "UnknownArchitectureError"]
