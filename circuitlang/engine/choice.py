"""Which engine measures: the fast one where it knows the model, the reference engine elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from torch import Tensor

from circuitlang.engine.batch import Batch
from circuitlang.engine.fast import FastEngine, FastWorlds, UnknownArchitectureError
from circuitlang.engine.interface import Engine
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.reference import ReferenceEngine, Worlds
from circuitlang.engine.self_checks import Found, engine_tolerance, engines_agree, guarded
from circuitlang.engine.transformer import Transformer
from circuitlang.engine.world import World
from circuitlang.evidence import SelfCheck
from circuitlang.plan import Intervention


class EngineName(StrEnum):
    """What a user may ask for."""

    FAST = "fast"
    REFERENCE = "reference"
    BOTH = "both"


@dataclass(frozen=True, slots=True, eq=False)
class BothWorlds:
    """The same batch run by either engine."""

    fast: FastWorlds
    reference: Worlds

    @property
    def batch(self) -> Batch:
        """The prompt pairs."""
        return self.reference.batch

    @property
    def clean(self) -> World:
        """The run over the clean prompts."""
        return self.reference.clean

    @property
    def corrupt(self) -> World:
        """The run over the corrupt prompts."""
        return self.reference.corrupt

    @property
    def bytes(self) -> int:
        """Memory that they hold."""
        return self.fast.bytes + self.reference.bytes

    def held(self) -> dict[str, Tensor]:
        """Every cached tensor by name."""
        engines = (("fast", self.fast.held()), ("reference", self.reference.held()))
        return {f"{own} {name}": x for own, held in engines for name, x in held.items()}

    def derived(self) -> list[tuple[Tensor, Tensor]]:
        """What was computed from cached tensors and kept, each with a new computation."""
        return self.fast.derived()


class BothEngines:
    """Measures everything twice; the reference engine's numbers count, the gap is kept."""

    name = "both"

    def __init__(self, fast: FastEngine, reference: ReferenceEngine) -> None:
        self.fast, self.reference = fast, reference
        self.gap = 0.0
        self.compared = 0
        self._largest = 0
        self._logits: Tensor | None = None

    @property
    def means(self) -> MeanOutputs | None:
        """Of the corrupt prompts."""
        return self.reference.means

    @means.setter
    def means(self, means: MeanOutputs | None) -> None:
        self.fast.means = self.reference.means = means

    def worlds(self, batch: Batch) -> BothWorlds:
        """The runs of either engine."""
        worlds = BothWorlds(self.fast.worlds(batch), self.reference.worlds(batch))
        self._largest = max(self._largest, len(batch.rows))
        if self._logits is None:
            self._logits = worlds.clean.logits
        return worlds

    def answers(self, interventions: Sequence[Intervention], worlds: BothWorlds) -> Tensor:
        """The reference engine's readings, ``[experiment, prompt, k]``."""
        exact = self.reference.answers(interventions, worlds.reference)
        fast = self.fast.answers(interventions, worlds.fast)
        steady = worlds.batch.readout.steady
        self.gap = max(self.gap, _gap(steady(fast), steady(exact)))
        self.compared += len(interventions)
        return exact

    def agreement(self) -> SelfCheck:
        """The gap over everything that was measured twice.

        Raises:
            ValueError: nothing was measured.
        """
        if self._logits is None:
            raise ValueError("nothing was measured, so nothing was compared")
        where = f"batches of up to {self._largest} prompts"
        return engines_agree(self.reference.model, self.gap, self.compared, self._logits, where)


def choose_engine(
    name: EngineName, model: Transformer, batch: Batch, *, denoises: bool = False
) -> tuple[Engine, tuple[str, ...]]:
    """The engine to measure with, and notes on why it is not the one asked for.

    The fast engine's blocks are its own code, so they are first held against the bridge's logits
    on a few prompts, ``batch``. ``denoises``: some experiments start from the corrupt world.
    """
    reference = ReferenceEngine(model)
    if name is EngineName.REFERENCE:
        return reference, ()
    try:
        fast = FastEngine(model)
    except UnknownArchitectureError as error:
        return reference, (_fallback(f"it does not know {error}"),)
    fast.denoises = denoises
    gap, logits = fast.deviation(batch)
    if not gap <= engine_tolerance(model, logits):
        return reference, (_fallback(f"its logits and the model's differ by {gap:.2g}"),)
    return (BothEngines(fast, reference) if name is EngineName.BOTH else fast), ()


def agreement(
    fast: FastEngine,
    reference: ReferenceEngine,
    sample: Sequence[Intervention],
    own: FastWorlds,
    few: Worlds,
) -> SelfCheck:
    """Whether either engine measures the same in some experiments on a few prompts.

    What both refuse, such as texts that add nothing, is left out: it will be its claim's own error.
    ``own`` and ``few`` are the worlds of these prompts by the one and by the other.
    """
    steady = few.batch.readout.steady

    def compared(some: Sequence[Intervention]) -> Found:
        fast_answers, exact = fast.answers(some, own), reference.answers(some, few)
        return Found(_gap(steady(fast_answers), steady(exact)))

    found, kept = guarded(lambda: compared(sample)), sample
    where = f"{len(few.batch.pairs)} prompts"
    if found.reason:
        kept = [e for e in sample if not _both_refuse(fast, reference, e, own, few)]
        found = guarded(lambda: compared(kept)) if kept else Found(0.0)
        if refused := len(sample) - len(kept):
            where += f"; {refused} more refused by both engines"
        if found.reason:
            where += f"; not measured: {found.reason}"
    return engines_agree(reference.model, found.value, len(kept), few.clean.logits, where)


def _both_refuse(
    fast: FastEngine,
    reference: ReferenceEngine,
    experiment: Intervention,
    own: FastWorlds,
    few: Worlds,
) -> bool:
    """Whether neither engine can measure an experiment: an error of its claim, not of an engine."""
    return bool(
        guarded(lambda: Found(float(len(fast.answers([experiment], own))))).reason
        and guarded(lambda: Found(float(len(reference.answers([experiment], few))))).reason
    )


def _gap(fast: Tensor, exact: Tensor) -> float:
    return float((fast - exact).abs().nan_to_num(nan=float("inf")).max())


def _fallback(reason: str) -> str:
    return f"The reference engine measured, not the fast one: {reason}"
