"""What a law is, and how much of a deviation float noise explains."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from circuitlang.engine.errors import MEASURING_ERRORS, one_line
from circuitlang.engine.memory import out_of_memory
from circuitlang.engine.transformer import Transformer
from circuitlang.evidence import SelfCheck
from circuitlang.evidence.trust import ENGINE_NOISE, FLOAT_NOISE

_RELATIVE = {getattr(torch, dtype): noise for dtype, noise in FLOAT_NOISE.items()}

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Found:
    """The largest deviation from a law, and the ``size`` that it would have under a fault.

    A law that holds where a fault would show nothing says nothing, so ``size`` is printed; None
    where a fault has no natural size. ``of`` says what the size is of, ``reason`` why nothing could
    be measured.
    """

    value: float
    size: float | None = None
    of: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Law(Generic[S]):
    """One law: how far a subject is from it, and how far float noise may take it.

    ``like`` gives the tensor whose size the tolerance scales with.
    """

    name: str
    unit: str
    deviation: Callable[[S], Found]
    like: Callable[[S], Tensor]
    detail: str

    def check(self, model: Transformer, subject: S) -> SelfCheck:
        """Hold a subject against the law."""
        found, limit = (
            guarded(lambda: self.deviation(subject)),
            tolerance(model, self.like(subject)),
        )
        return self_check(self.name, self.unit, found, limit, self.detail)


@dataclass(slots=True)
class Worst:
    """The worst of many deviations, each beside the tolerance of its own size."""

    value: float = 0.0
    limit: float = 0.0
    compared: int = 0
    size: float = 0.0

    def add(self, value: float, limit: float, size: float = 0.0) -> None:
        """Take a deviation in; what is not a number is worse than anything."""
        value = value if math.isfinite(value) else math.inf
        if not self.compared or value * self.limit > self.value * limit:
            self.value, self.limit = value, limit
        if self.value == 0.0:
            self.limit = max(self.limit, limit)
        self.compared += 1
        self.size = max(self.size, size)


def guarded(deviation: Callable[[], Found]) -> Found:
    """A deviation; one that cannot be measured is larger than any.

    Raises:
        MemoryError: memory ran out (RuntimeError where torch says so).
    """
    try:
        return deviation()
    except MEASURING_ERRORS as error:
        if out_of_memory(error):
            raise
        return Found(math.inf, reason=one_line(error, 160))


def self_check(name: str, unit: str, found: Found, limit: float, detail: str) -> SelfCheck:
    """A check that holds when the deviation is a number and within its limit."""
    finite = math.isfinite(found.value)
    if found.reason:
        detail += f"; not measured: {found.reason}"
    if found.size is not None:
        detail += f"; {found.of} {found.size:.2g}"
        if not found.size > limit:
            detail += ", too little to tell a fault here"
    return SelfCheck(
        name=name,
        passed=finite and found.value <= limit,
        value=found.value if finite else None,
        tolerance=limit,
        unit=unit,
        detail=detail,
    )


def tolerance(model: Transformer, like: Tensor) -> float:
    """The largest gap that float noise explains; it scales with the size of what is compared."""
    return _RELATIVE[model.dtype] * max(1.0, float(like.abs().max()))


def engine_tolerance(model: Transformer, like: Tensor) -> float:
    """The largest gap between engines that float noise explains.

    Transformers computes norms, rotary angles and attention patterns of many families in float32
    even where the weights are float64.
    """
    return max(tolerance(model, like), ENGINE_NOISE * max(1.0, float(like.abs().max())))


def bridging_tolerance(model: Transformer, like: Tensor) -> float:
    """The largest gap between a model and its bridge that float noise explains.

    Even where the weights are float64, TransformerLens folds in float32, and some families turn
    queries and keys in float32. Every experiment then runs on the same bridge, so this is no noise
    of what is measured.
    """
    noise = max(_RELATIVE[model.dtype], _RELATIVE[torch.float32])
    return noise * max(1.0, float(like.abs().max()))


def gap(one: Tensor, other: Tensor) -> float:
    """The largest difference; infinite where one has a number that is none."""
    return float((one - other).abs().nan_to_num(nan=math.inf).max())
