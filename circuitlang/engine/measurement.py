"""Measuring a plan: every experiment on every prompt batch."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from circuitlang.circuit import Ablation, Direction, PromptPair
from circuitlang.engine.batch import Batch, batches
from circuitlang.engine.choice import BothEngines, EngineName, agreement, choose_engine
from circuitlang.engine.errors import MEASURING_ERRORS, HookError, RunError
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.interface import AnyWorlds, Engine
from circuitlang.engine.loading import LoadedModel
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.memory import out_of_memory, with_batches_that_fit
from circuitlang.engine.notes import notes
from circuitlang.engine.progress import Costs, Progress
from circuitlang.engine.provenance import provenance
from circuitlang.engine.readings import Readings
from circuitlang.engine.record import Record
from circuitlang.engine.reference import ReferenceEngine, Worlds
from circuitlang.engine.self_checks import (
    Witness,
    acts_at_positions,
    all_fired,
    check_neurons,
    neurons_add_up,
    same_again,
    self_checks,
    tokens_are_the_prompts,
    unchanged,
)
from circuitlang.engine.tokens import TokenizedPair
from circuitlang.engine.transformer import Transformer
from circuitlang.evidence import Evidence, PromptRecord, SkippedPair
from circuitlang.plan import (
    Ablating,
    Experiment,
    Intervention,
    PatchActivation,
    PatchEdge,
    PatchTogether,
    Plan,
    Steer,
    neuron_layers,
    texts_of,
)
from circuitlang.plan.cost import (
    CHECKED_PROMPTS,
    WORLDS_MEMORY,
    EngineCost,
    check_sample,
    position_probe,
)

DEFAULT_BATCH = 32
_SMALLEST_GROUP, _LARGEST_GROUP = 4, 128
"""Experiments measured together: a few at first, so that claims complete early, then more."""


def measure(
    plan: Plan,
    model: LoadedModel,
    pairs: Sequence[PromptPair],
    tokens: Sequence[TokenizedPair],
    *,
    skipped: Sequence[SkippedPair] = (),
    engine: EngineName = EngineName.FAST,
    batch_size: int = DEFAULT_BATCH,
    memory: int = WORLDS_MEMORY,
    progress: Progress | None = None,
    means: MeanOutputs | None = None,
) -> Evidence:
    """Run every experiment of a plan.

    Args:
        plan: what to measure.
        model: a loaded transformer.
        pairs: prompt pairs in text, in the order of ``tokens``.
        tokens: the same pairs in tokens; see :func:`circuitlang.engine.tokens.align`.
        skipped: pairs that were drawn and left out, for the record.
        engine: which engine measures; the fast one falls back to the reference engine, with a
            note, on a model that it does not know.
        batch_size: most prompts in one forward pass.
        memory: bytes that cached runs may hold besides the weights; with less, prompts are worked
            through in blocks.
        progress: told of every step.
        means: those of mean ablation, where they are not of these prompts; see :func:`means_of`.

    A keyboard interrupt ends the run early and keeps what was measured: ``complete`` is false then.

    Raises:
        RunError: a prompt is longer than the model's context, the model has no single neurons where
            a claim names some, or memory ran out even with one prompt at a time.
    """
    started = time.perf_counter()
    transformer = model.transformer
    check_context(transformer, tokens)
    check_neurons(transformer, neuron_layers(e.intervention for e in plan.experiments))
    before = transformer.fingerprint()
    record = Record(len(tokens))
    allowed = False

    def completed(size: int) -> tuple[_Run, bool]:
        nonlocal allowed
        shares = tuple(batches(tokens, size, transformer.device))
        run = _Run(plan, model, pairs, tokens, shares, progress)
        try:
            return run, run.completed(engine, record, memory, means)
        except _TooLargeError:
            allowed = True
            raise

    (run, complete), size = with_batches_that_fit(completed, batch_size)
    after = transformer.fingerprint()
    own_notes = run.notes
    if size < batch_size:
        why = "The memory allowed is too little for" if allowed else "Memory ran out with"
        own_notes.append(f"{why} {batch_size} prompts at a time; {size} fitted")
    if isinstance(run.engine, BothEngines) and run.engine.compared:
        run.checks.append(run.engine.agreement())
    hooks = max(run.witness.hooks, transformer.attached_hooks())
    checks = (*run.checks, all_fired(transformer), unchanged(before, after, hooks))
    return Evidence(
        circuit=plan.circuit.name,
        plan_id=plan.id,
        prompts=tuple(map(_prompt_record, pairs, tokens)),
        skipped=tuple(skipped),
        clean=record.column("clean"),
        corrupt=record.column("corrupt"),
        answered=tuple(record.answered),
        patched={e.id: record.column(e.id) for e in plan.experiments if e.id in record.values},
        readings={r.id: record.column(r.id) for r in plan.readings if r.id in record.values},
        scores=record.scores,
        errors=record.errors,
        self_checks=checks,
        notes=(*notes(plan, model), *own_notes),
        provenance=provenance(model, run.engine.name, size, time.perf_counter() - started),
        complete=complete,
        layout=plan.circuit.layout or (),
    )


def means_per_template(plan: Plan) -> bool | None:
    """Whether means are taken within templates; None when no experiment needs means."""
    found = {
        e.intervention.per_template
        for e in plan.experiments
        if isinstance(e.intervention, Steer)
        or (isinstance(e.intervention, Ablating) and e.intervention.reference is Ablation.MEAN)
    }
    return found.pop() if found else None


def means_of(
    plan: Plan, model: LoadedModel, tokens: Sequence[TokenizedPair], batch_size: int
) -> MeanOutputs | None:
    """Mean outputs over all corrupt prompts, for a plan measured in stages; None if it needs none.

    Raises:
        RunError: memory ran out even with one prompt at a time.
    """
    per_template = means_per_template(plan)
    if per_template is None:
        return None
    neurons = neuron_layers(e.intervention for e in plan.experiments)
    check_neurons(model.transformer, neurons)

    def means(size: int) -> MeanOutputs:
        every = tuple(batches(tokens, size, model.transformer.device))
        found = MeanOutputs.of(model.transformer, every, per_template, neurons)
        interventions = [*map(_intervention, plan.experiments)]
        found.add_contrast(model.transformer, every, interventions)
        found.add_texts(model.transformer, model.tokenizer, interventions)
        return found

    return with_batches_that_fit(means, batch_size)[0]


def _intervention(experiment: Experiment) -> Intervention:
    return experiment.intervention


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


class _TooLargeError(MemoryError):
    """What the user allows is too little; the machine may have more."""


class _Run:
    """All experiments on all prompts with a fixed batch size."""

    def __init__(
        self,
        plan: Plan,
        model: LoadedModel,
        pairs: Sequence[PromptPair],
        tokens: Sequence[TokenizedPair],
        batches: tuple[Batch, ...],
        progress: Progress | None,
    ) -> None:
        self.plan, self.transformer, self.batches = plan, model.transformer, batches
        self.tokenizer = model.tokenizer
        self.progress = progress
        self.engine: Engine = ReferenceEngine(self.transformer)
        self.checks = [tokens_are_the_prompts(pairs, batches, model.tokenizer)]
        self.witness = Witness(self.transformer, plan, tokens, batches)
        self.neurons = neuron_layers(e.intervention for e in plan.experiments)
        self.readings = Readings(plan.readings, self.transformer, model.tokenizer, tokens)
        self.few: Worlds | None = None
        self.notes: list[str] = []
        self.costs = Costs(model.size)
        self.done = 0
        self.total = 1

    def completed(
        self, engine: EngineName, record: Record, memory: int, means: MeanOutputs | None
    ) -> bool:
        """Measure; false when the user interrupted it, which keeps what was measured."""
        whole = True
        try:
            self.start(engine)
            self.all(record, memory, means)
        except KeyboardInterrupt:
            whole = False
            self._close(record)  # what was measured is checked all the same
        if self.few is not None:
            self.checks += self.readings.looked()
            self.checks += self.witness.checks()
            self.checks.append(same_again(self.transformer, self.few.clean))
        return whole

    def start(self, name: EngineName) -> None:
        """Choose the engine."""
        few = self.batches[0].first(CHECKED_PROMPTS)
        denoises = any(
            isinstance(e.intervention, PatchActivation | PatchTogether | Steer)
            or getattr(e.intervention, "direction", None) is Direction.DENOISING
            for e in self.plan.experiments
        )
        # What neurons do is computed from the streams, which a world has where it can be a base.
        denoises = denoises or bool(self.neurons)
        self.engine, reasons = choose_engine(name, self.transformer, few, denoises=denoises)
        self.notes += reasons
        if isinstance(self.engine, ReferenceEngine | BothEngines):
            self.costs.engine = EngineCost.REFERENCE
        self.total = sum(
            self.costs.worlds(batch)
            + self.costs.readings(self.plan, batch)
            + self.costs.of(self.plan.experiments, batch)
            for batch in self.batches
        )

    def all(self, record: Record, memory: int, means: MeanOutputs | None) -> None:
        """Measure everything, claims' own experiments first, in blocks of prompts that fit."""
        self._step("clean and corrupt runs", 0)
        needs_means = means_per_template(self.plan) if means is None else None
        if means is not None:
            self.engine.means = means
        elif needs_means is None and texts_of(map(_intervention, self.plan.experiments)):
            self._set_means(MeanOutputs((), per_template=True))  # texts need no prompts
        first = self.engine.worlds(self.batches[0])
        per_token = first.bytes / first.batch.clean.numel()
        largest = max(batch.clean.numel() for batch in self.batches)
        if largest * per_token > memory and max(len(b.rows) for b in self.batches) > 1:
            raise _TooLargeError("one batch's runs are larger than the memory they may hold")
        blocks = _blocks(self.batches, per_token, memory)
        apart = len(blocks) > 1 or bool(self.neurons)  # worlds do not keep what neurons do
        if needs_means is not None and apart:
            self._set_means(
                MeanOutputs.of(self.transformer, self.batches, needs_means, self.neurons)
            )
        for block in blocks:
            worlds = [
                self._worlds(batch, first if batch is self.batches[0] else None, record)
                for batch in block
            ]
            if needs_means is not None and not apart:
                runs = ((world.batch, world.corrupt.outputs) for world in worlds)
                self._set_means(MeanOutputs(runs, needs_means))
            if block is blocks[0]:
                self._self_checks(worlds[0])
                if not all(check.passed for check in self.checks):
                    return  # no number of this model means anything
                self.notes += self.readings.scores(record)
            self._read(block, record)
            self.witness.seal(worlds)
            for group in _groups(self.plan.experiments):
                for world in worlds:
                    self._measure(group, world, record)
            self._close(record)

    def _set_means(self, means: MeanOutputs) -> None:
        interventions = [*map(_intervention, self.plan.experiments)]
        means.add_contrast(self.transformer, self.batches, interventions)
        means.add_texts(self.transformer, self.tokenizer, interventions)
        self.engine.means = means

    def _read(self, batches: Sequence[Batch], record: Record) -> None:
        for batch in batches:
            self.readings.read(batch, record)
            self._step("readings", self.costs.readings(self.plan, batch))

    def _close(self, record: Record) -> None:
        """Check the batches whose last experiment is done."""
        self.witness.close(record, self.engine)

    def _worlds(self, batch: Batch, made: AnyWorlds | None, record: Record) -> AnyWorlds:
        """The two runs of a batch, and what they say by themselves."""
        worlds: AnyWorlds = self.engine.worlds(batch) if made is None else made
        clean = worlds.clean.logits
        record.put("clean", batch.rows, batch.metric(clean, clean))
        record.put("corrupt", batch.rows, batch.metric(worlds.corrupt.logits, clean))
        for row, hit in zip(batch.rows, batch.answered(clean), strict=True):
            record.answered[row] = bool(hit)
        self._step("clean and corrupt runs", self.costs.worlds(batch))
        return worlds

    def _self_checks(self, worlds: AnyWorlds) -> None:
        reference = ReferenceEngine(self.transformer, self.engine.means)
        self.few = few = reference.worlds(worlds.batch.first(CHECKED_PROMPTS))
        edges = (e.intervention for e in self.plan.experiments)
        edge = next((e for e in edges if isinstance(e, PatchEdge)), None)
        self.checks += self_checks(reference, few, edge, worlds.clean.logits)
        if self.neurons:
            self.checks.append(neurons_add_up(self.transformer, few, self.neurons))
        self.checks += self.readings.checks(few.batch)
        sample = [e.intervention for e in check_sample(self.plan.experiments)]
        if not all(check.passed for check in self.checks):
            return
        own: Any = (
            few if isinstance(self.engine, ReferenceEngine) else self.engine.worlds(few.batch)
        )
        probe = position_probe(self.plan.experiments, self.transformer.shape)
        self.checks.append(acts_at_positions(self.engine, self.transformer, own, few, probe))
        if isinstance(self.engine, FastEngine) and sample:
            self.checks.append(agreement(self.engine, reference, sample, own, few))

    def _measure(
        self, experiments: Sequence[Experiment], worlds: AnyWorlds, record: Record
    ) -> None:
        """A group of experiments on one batch; one by one if the group fails, to name the cause."""
        batch = worlds.batch
        try:
            answers = self.engine.answers([e.intervention for e in experiments], worlds)
        except MEASURING_ERRORS as error:
            if out_of_memory(error):
                raise
            if len(experiments) > 1:
                for experiment in experiments:
                    self._measure([experiment], worlds, record)
                return
            record.errors[experiments[0].id] = f"while patching: {_reason(error)}"
        else:
            for experiment, values in zip(experiments, batch.metric_of(answers), strict=True):
                record.put(experiment.id, batch.rows, values)
        self._step("experiments", self.costs.of(experiments, batch))

    def _step(self, what: str, steps: int) -> None:
        self.done += steps
        if self.progress is not None:
            self.progress(self.done, self.total, what)


def _blocks(batches: Sequence[Batch], per_token: float, memory: int) -> list[tuple[Batch, ...]]:
    """Batches whose runs, of some bytes a token, fit into memory together."""
    blocks: list[list[Batch]] = []
    left = 0.0
    for batch in batches:
        size = per_token * batch.clean.numel()
        if not blocks or size > left:
            blocks.append([])
            left = memory
        blocks[-1].append(batch)
        left -= size
    return [tuple(block) for block in blocks]


def _groups(experiments: Sequence[Experiment]) -> Iterator[Sequence[Experiment]]:
    """Experiments that are measured together, so that an interrupted run has whole claims."""
    start, size = 0, _SMALLEST_GROUP
    while start < len(experiments):
        yield experiments[start : start + size]
        start, size = start + size, min(2 * size, _LARGEST_GROUP)


def _reason(error: Exception) -> str:
    if isinstance(error, HookError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _prompt_record(pair: PromptPair, tokens: TokenizedPair) -> PromptRecord:
    return PromptRecord(
        number=tokens.number,
        template=pair.template,
        clean=pair.clean.text,
        corrupt=pair.corrupt.text,
        answer=pair.answer,
        distractor=pair.distractor,
        tokens=tokens.shown,
    )


def use_threads(count: int | None) -> None:
    """Set the number of CPU threads; None leaves torch's choice."""
    if count is not None:
        torch.set_num_threads(count)
