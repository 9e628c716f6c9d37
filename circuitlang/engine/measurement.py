"""Measuring a plan: every experiment on every prompt batch."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from circuitlang.circuit import Ablation, Head, PromptPair, Receiver, Slot
from circuitlang.engine.batch import Batch, batches
from circuitlang.engine.errors import HookError, RunError
from circuitlang.engine.loading import LoadedModel
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.reference import ReferenceEngine, Worlds
from circuitlang.engine.self_checks import all_fired, self_checks, unchanged
from circuitlang.engine.tokens import TokenizedPair
from circuitlang.engine.transformer import Transformer
from circuitlang.evidence import Evidence, PromptRecord, Provenance, SelfCheck
from circuitlang.models import ModelShape
from circuitlang.plan import AblateNodes, Experiment, PatchEdge, Plan, RunCircuitAlone

DEFAULT_BATCH = 32
_CHECKED_PROMPTS = 4

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all and what is being done."""


@dataclass
class _Record:
    """Values per prompt, filled batch by batch; NaN until measured."""

    count: int
    values: dict[str, list[float]] = field(default_factory=dict)
    answered: list[bool] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, rows: Sequence[int], values: Tensor) -> None:
        column = self.values.setdefault(name, [math.nan] * self.count)
        for row, value in zip(rows, values.tolist(), strict=True):
            column[row] = value

    def column(self, name: str) -> tuple[float | None, ...]:
        values = self.values.get(name, [math.nan] * self.count)
        return tuple(value if math.isfinite(value) else None for value in values)


def measure(
    plan: Plan,
    model: LoadedModel,
    pairs: Sequence[PromptPair],
    tokens: Sequence[TokenizedPair],
    *,
    batch_size: int = DEFAULT_BATCH,
    progress: Progress | None = None,
) -> Evidence:
    """Run every experiment of a plan with the reference engine.

    Args:
        plan: what to measure.
        model: a loaded transformer.
        pairs: prompt pairs in text, in the order of ``tokens``.
        tokens: the same pairs in tokens; see :func:`circuitlang.engine.tokens.tokenize`.
        batch_size: most prompts in one forward pass.
        progress: told of every step.

    A keyboard interrupt ends the run early and keeps what was measured: ``complete`` is false then.

    Raises:
        RunError: a prompt is longer than the model's context, or memory ran out even with one
            prompt at a time.
    """
    started = time.perf_counter()
    transformer = model.transformer
    check_context(transformer, tokens)
    before = transformer.fingerprint()
    record = _Record(len(tokens), answered=[False] * len(tokens))
    checks: tuple[SelfCheck, ...] = ()
    complete, size = True, batch_size
    while True:
        try:
            run = _Run(plan, model, tuple(batches(tokens, size, transformer.device)), progress)
            checks = run.all_batches(record)
        except KeyboardInterrupt:
            complete = False
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if size == 1:
                raise RunError("out of memory, even with one prompt at a time") from error
            size //= 2
            continue
        break
    after = transformer.fingerprint()
    checks = (
        *checks,
        all_fired(transformer),
        unchanged(before, after, transformer.attached_hooks()),
    )
    return Evidence(
        circuit=plan.circuit.name,
        plan_id=plan.id,
        prompts=tuple(map(_prompt_record, pairs, tokens)),
        clean=record.column("clean"),
        corrupt=record.column("corrupt"),
        answered=tuple(record.answered),
        patched={e.id: record.column(e.id) for e in plan.experiments if e.id in record.values},
        errors=record.errors,
        self_checks=checks,
        notes=notes(plan, model),
        provenance=provenance(model, ReferenceEngine.name, size, time.perf_counter() - started),
        complete=complete,
    )


def check_context(transformer: Transformer, tokens: Sequence[TokenizedPair]) -> None:
    """Whether the model can read the longest prompt.

    Raises:
        RunError: it cannot.
    """
    longest = max(len(pair.clean) for pair in tokens)
    if longest > transformer.context:
        raise RunError(
            f"a prompt has {longest} tokens, and the model reads at most {transformer.context}"
        )


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is a lack of memory; on a CPU torch raises a plain RuntimeError for it."""
    named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return named or "allocate memory" in str(error)


class _Run:
    """One pass over the batches with a fixed batch size."""

    def __init__(
        self,
        plan: Plan,
        model: LoadedModel,
        batches: tuple[Batch, ...],
        progress: Progress | None,
    ) -> None:
        self.plan, self.model, self.batches = plan, model, batches
        self.progress = progress
        self.done = 0
        self.total = len(batches) * (len(plan.experiments) + 1) + 1

    def _step(self, what: str) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total, what)

    def all_batches(self, record: _Record) -> tuple[SelfCheck, ...]:
        transformer = self.model.transformer
        means = self._means()
        engine = ReferenceEngine(transformer, means)
        checks: tuple[SelfCheck, ...] = ()
        for number, batch in enumerate(self.batches):
            worlds = engine.worlds(batch)
            record.put("clean", batch.rows, batch.metric(worlds.clean.logits))
            record.put("corrupt", batch.rows, batch.metric(worlds.corrupt.logits))
            for row, hit in zip(batch.rows, batch.answered(worlds.clean.logits), strict=True):
                record.answered[row] = bool(hit)
            if number == 0:
                checks = self._self_checks(engine, batch, worlds)
                if not all(check.passed for check in checks):
                    return checks  # no number of this model means anything
            self._step("clean and corrupt runs")
            for experiment in self.plan.experiments:
                self._one(engine, experiment, worlds, record)
        return checks

    def _means(self) -> MeanOutputs | None:
        per_template = {
            e.intervention.per_template
            for e in self.plan.experiments
            if isinstance(e.intervention, AblateNodes | RunCircuitAlone)
            and e.intervention.reference is Ablation.MEAN
        }
        self._step("means over the corrupt prompts")
        if not per_template:
            return None
        return MeanOutputs(self.model.transformer, self.batches, per_template.pop())

    def _self_checks(
        self, engine: ReferenceEngine, batch: Batch, worlds: Worlds
    ) -> tuple[SelfCheck, ...]:
        few = next(iter(batches(batch.pairs[:_CHECKED_PROMPTS], _CHECKED_PROMPTS,
                                self.model.transformer.device)))  # fmt: skip
        edges = (e.intervention for e in self.plan.experiments)
        edge = next((e for e in edges if isinstance(e, PatchEdge)), None)
        return self_checks(engine, engine.worlds(few), edge, worlds.clean.logits)

    def _one(
        self, engine: ReferenceEngine, experiment: Experiment, worlds: Worlds, record: _Record
    ) -> None:
        try:
            logits = engine.logits(experiment.intervention, worlds)
            record.put(experiment.id, worlds.batch.rows, worlds.batch.metric(logits))
        except HookError as error:
            record.errors[experiment.id] = f"while patching: {error}"
        except (RuntimeError, ValueError, IndexError) as error:
            if out_of_memory(error):
                raise
            reason = " ".join(str(error).split())[:200]
            record.errors[experiment.id] = f"while patching: {type(error).__name__}: {reason}"
        self._step("experiments")


def notes(plan: Plan, model: LoadedModel) -> tuple[str, ...]:
    """What a reader must know about how the experiments were defined for this model."""
    edges = (e.intervention for e in plan.experiments)
    receivers = [r for edge in edges if isinstance(edge, PatchEdge) for r in edge.receivers]
    return (*precision_note(model), *group_note(receivers, model.transformer.shape))


def precision_note(model: LoadedModel) -> tuple[str, ...]:
    """What weights in half precision do to small effects."""
    dtype = str(model.transformer.dtype).removeprefix("torch.")
    if dtype in ("float32", "float64"):
        return ()
    return (
        f"The weights are in {dtype}: rounding alone can move the metric by as much as the "
        "self-checks show, and small effects mean nothing; use float32 for a verdict that matters",
    )


def group_note(receivers: Sequence[Receiver], shape: ModelShape) -> tuple[str, ...]:
    """Which heads a K or V edge enters under grouped-query attention."""
    if shape.kv_heads == shape.heads:
        return ()
    groups = dict.fromkeys(filter(None, (_group(r, shape) for r in receivers)))
    if not groups:
        return ()
    return (
        "Grouped-query attention shares keys and values between heads, so a K or V edge enters the "
        f"whole group: {', '.join(groups)}",
    )


def _group(receiver: Receiver, shape: ModelShape) -> str:
    """`L17.H3-H5` for a K or V receiver; nothing for others."""
    head = receiver.component
    if receiver.slot not in (Slot.K, Slot.V) or not isinstance(head, Head):
        return ""
    group = shape.group_of(head.head)
    return f"L{head.layer}.H{group[0]}-H{group[-1]}"


def _prompt_record(pair: PromptPair, tokens: TokenizedPair) -> PromptRecord:
    return PromptRecord(
        template=pair.template,
        clean=pair.clean.text,
        corrupt=pair.corrupt.text,
        answer=pair.answer,
        distractor=pair.distractor,
        tokens=tokens.shown,
    )


def provenance(model: LoadedModel, engine: str, batch_size: int, seconds: float) -> Provenance:
    """By what numbers were made, after they were made."""
    transformer = model.transformer
    return Provenance(
        model=model.name,
        architecture=model.architecture,
        layers=transformer.shape.layers,
        heads=transformer.shape.heads,
        kv_heads=transformer.shape.kv_heads,
        revision=model.revision,
        weights=model.weights,
        weights_sha256=model.weights_sha256,
        dtype=str(transformer.dtype).removeprefix("torch."),
        device=str(transformer.device),
        threads=torch.get_num_threads(),
        engine=engine,
        batch_size=batch_size,
        forward_passes=transformer.passes,
        seconds=round(seconds, 3),
        versions=model.versions,
    )


def use_threads(count: int | None) -> None:
    """Set the number of CPU threads; None leaves torch's choice."""
    if count is not None:
        torch.set_num_threads(count)
