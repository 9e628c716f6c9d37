"""What a whole run costs under an engine: worlds, self-checks and experiments on every batch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from circuitlang.circuit import Ablation, Direction, Position, Receiver
from circuitlang.models import ModelSize
from circuitlang.plan.cost.checks import (
    check_passes,
    check_sample,
    few_of,
    passes,
    position_probe,
    probed_work,
    reference_work,
    witness_work,
)
from circuitlang.plan.cost.edges import shared_operations
from circuitlang.plan.cost.fast import resume
from circuitlang.plan.cost.geometry import Geometry
from circuitlang.plan.cost.memory import WORLDS_MEMORY, run_bytes, world_bytes
from circuitlang.plan.cost.readings import reading_check_work, reading_work
from circuitlang.plan.cost.reference import reference_operations
from circuitlang.plan.cost.resumption import Resumption, Sent
from circuitlang.plan.cost.work import Work
from circuitlang.plan.greedy import searches
from circuitlang.plan.intervention import (
    AblateNodes,
    Ablating,
    Intervention,
    PatchActivation,
    PatchEdge,
    PatchPath,
    PatchTogether,
    ReadStream,
    RunCircuitAlone,
    RunWithout,
    Steer,
    neuron_layers,
)
from circuitlang.plan.plan import Experiment, Plan

STACKED_TOKENS = 2048
"""Tokens in a stacked pass: enough for a matrix product's full rate, few enough for the cache."""


class EngineCost(StrEnum):
    """The engines that a cost can be told for."""

    FAST = "fast"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class KindCost:
    """All experiments of one kind, on all prompts."""

    kind: str
    experiments: int
    operations: int


@dataclass(frozen=True, slots=True)
class RunCost:
    """What a run does.

    ``whole`` are the model's own passes, ``stacked`` the fast engine's. ``worlds`` and ``checks``
    are the parts of their operations that no experiment has. ``measured`` counts experiments
    times batches; ``bytes`` is the peak of memory.
    """

    engine: EngineCost
    kinds: tuple[KindCost, ...]
    whole: Work
    stacked: Work
    worlds: int
    checks: int
    measured: int
    bytes: int

    @property
    def operations(self) -> int:
        """Of everything."""
        return self.whole.operations + self.stacked.operations


def operations(
    intervention: Intervention,
    size: ModelSize,
    geometry: Geometry,
    engine: EngineCost = EngineCost.FAST,
    *,
    whole_vocabulary: bool = False,
) -> float:
    """Floating-point operations of one experiment on one batch: how long it takes beside others.

    Under the fast engine everything that experiments could share is counted as its own, and the
    unembedding only where the metric reads the ``whole_vocabulary``.
    """
    if engine is EngineCost.REFERENCE:
        return float(reference_operations(intervention, size, geometry))
    found = resume(intervention, size, geometry)
    total = found.operations(size, geometry)
    if found.sent is not None:
        total += shared_operations(found.sent, found.receivers, size, geometry)
    if whole_vocabulary:
        total += geometry.prompts * (size.unembedding - 2 * 2 * size.d_model)
    return float(total)


def run_cost(
    plan: Plan,
    size: ModelSize,
    batches: Sequence[Geometry],
    engine: EngineCost,
    memory: int = WORLDS_MEMORY,
    *,
    means_given: bool = False,
) -> RunCost:
    """The cost of a run over some batches, whose cached runs may hold ``memory`` bytes.

    Of a plan's own experiments: what a greedy search measures after them is told by
    :func:`circuitlang.plan.cost.search.search_cost`. ``means_given``: an earlier part of the run
    took them.
    """
    worlds = _worlds(plan, size, batches, engine, memory, means_given=means_given)
    whole_vocabulary = plan.circuit.metric.reads_whole_vocabulary
    kinds = Counter(kind_of(experiment.intervention) for experiment in plan.experiments)
    stacked, whole = Work(), worlds
    spent = dict.fromkeys(kinds, 0)
    for geometry, times in Counter(batches).items():
        once: dict[str, int] = {}
        if engine is EngineCost.FAST:
            stacked += _stacked(plan.experiments, size, geometry, once, whole_vocabulary) * times
        else:
            whole += _whole(plan.experiments, size, geometry, once) * times
        for kind, own in once.items():
            spent[kind] += own * times
    checks = check_passes(plan, size, batches[0]) + witness_work(plan, size, batches)
    held, compared = _comparison(plan, size, batches, engine)
    checks += held + reading_check_work(plan, size, batches[0])
    read = reading_work(plan, size, batches)
    return RunCost(
        engine,
        (
            *(KindCost(kind, count, spent[kind]) for kind, count in kinds.items()),
            *([KindCost("readings", len(plan.readings), read.operations)] if plan.readings else []),
        ),
        whole + read + checks,
        stacked + compared,
        worlds.operations,
        (checks + compared).operations,
        len(plan.experiments) * len(batches),
        run_bytes(
            size,
            batches,
            plan.circuit.model.dtype,
            fast=engine is EngineCost.FAST,
            memory=memory,
            whole_vocabulary=whole_vocabulary,
        ),
    )


def kind_of(intervention: Intervention) -> str:
    """The kind of an experiment, for a reader."""
    match intervention:
        case PatchEdge():
            return "edges through MLPs" if intervention.through_mlps else "direct edges"
        case PatchPath():
            return "paths"
        case PatchActivation() | PatchTogether():
            return "activations"
        case Steer():
            return "steering"
        case ReadStream():
            return "logit lens"
        case AblateNodes() | RunWithout():
            return "ablations"
        case RunCircuitAlone():
            return "circuit alone"


def _worlds(
    plan: Plan,
    size: ModelSize,
    batches: Sequence[Geometry],
    engine: EngineCost,
    memory: int,
    *,
    means_given: bool,
) -> Work:
    """Clean and corrupt runs, and means.

    Means come from the corrupt runs when those of all batches are held at once, else from a pass
    of their own, as also where neurons are spoken of, which these runs do not keep, and where the
    run has several parts; directions to steer by always take a pass over either prompts.
    """
    fast = engine is EngineCost.FAST
    held = world_bytes(size, plan.circuit.model.dtype, fast=fast) * sum(g.tokens for g in batches)
    parts = searches(plan) or plan.circuit.settings.looks > 1
    neurons = bool(neuron_layers(e.intervention for e in plan.experiments))
    means = any(map(_uses_means, plan.experiments)) and not means_given
    means = means and (held > memory or neurons or parts)
    steers = any(isinstance(e.intervention, Steer) for e in plan.experiments)
    total = Work()
    for geometry, times in Counter(batches).items():
        total += passes(size, geometry, (2 + means + 2 * steers) * times)
    return total


def _comparison(
    plan: Plan, size: ModelSize, batches: Sequence[Geometry], engine: EngineCost
) -> tuple[Work, Work]:
    """Holding an engine against an edge written out, and the fast one against two more.

    The edge is measured on the first prompts, where it is also written out, and on every batch.

    The model's logits take the model's and the engine's own passes over the clean and the corrupt
    prompts, the reference engine worlds and a sample of experiments by either engine. Returns whole
    and stacked work.
    """
    few = few_of(batches[0])
    edge = position_probe(plan.experiments, size.shape)
    probe = Experiment("", edge)
    whole = probed_work(edge, size, few)
    if engine is EngineCost.REFERENCE:
        for geometry in (few, *batches):
            whole += reference_work(edge, size, geometry)
        return whole, Work()
    layers, sample = size.shape.layers, check_sample(plan.experiments)
    one = (layers - 1) * size.layer(few.length, few.length) + size.layer(few.length, few.length, 1)
    own = Work(1, few.prompts * (one + size.unembedding), layers, layers * size.layer_parameters)
    whole += passes(size, few, 2 + 2)
    whole += _whole(sample, size, few, {})
    read = plan.circuit.metric.reads_whole_vocabulary
    stacked = own * 2 + _stacked(sample, size, few, {}, read)
    for geometry in (few, *batches):
        stacked += _stacked([probe], size, geometry, {}, read)
    return whole, stacked


def _uses_means(experiment: Experiment) -> bool:
    intervention = experiment.intervention
    ablates = isinstance(intervention, Ablating) and intervention.reference is Ablation.MEAN
    return ablates or isinstance(intervention, Steer)


def _whole(
    experiments: Sequence[Experiment], size: ModelSize, geometry: Geometry, spent: dict[str, int]
) -> Work:
    """Experiments under the reference engine; ``spent`` sums operations by kind."""
    total = Work()
    for experiment in experiments:
        own = reference_work(experiment.intervention, size, geometry)
        _add(spent, experiment.intervention, own.operations)
        total += own
    return total


def _stacked(
    experiments: Sequence[Experiment],
    size: ModelSize,
    geometry: Geometry,
    spent: dict[str, int],
    whole_vocabulary: bool,
) -> Work:
    """Experiments under the fast engine; ``spent`` sums operations by kind.

    Only a metric that reads the ``whole_vocabulary`` takes more than two of its rows.
    """
    found = [(e.intervention, resume(e.intervention, size, geometry)) for e in experiments]
    read = geometry.prompts * (size.unembedding - 2 * 2 * size.d_model) * whole_vocabulary
    total = 0
    shared: dict[Sent, tuple[Intervention, dict[Receiver, None]]] = {}
    for intervention, resumption in found:
        own = resumption.operations(size, geometry) + read
        _add(spent, intervention, own)
        total += own
        if resumption.sent is not None:
            senders = shared.setdefault(resumption.sent, (intervention, {}))
            senders[1].update(dict.fromkeys(resumption.receivers))
    for sent, (intervention, receivers) in shared.items():
        own = shared_operations(sent, tuple(receivers), size, geometry)
        _add(spent, intervention, own)
        total += own
    layers = size.shape.layers
    visits = [layers - first for first in _first_layers([r for _, r in found], geometry)]
    visits += _shared_visits({s: tuple(r) for s, (_, r) in shared.items()}, layers, geometry)
    return Work(len(visits), total, sum(visits), sum(visits) * size.layer_parameters)


def _first_layers(found: Sequence[Resumption], geometry: Geometry) -> Iterator[int]:
    """Where each stacked pass begins: experiments of one base and first token share passes."""
    groups: dict[tuple[bool, int], list[int]] = {}
    for one in found:
        groups.setdefault((one.denoising, one.start), []).append(one.enter[0])
    for (_, start), entered in groups.items():
        stack = max(1, STACKED_TOKENS // (geometry.prompts * (geometry.length - start)))
        yield from sorted(entered)[::stack]


def _shared_visits(
    shared: dict[Sent, tuple[object, ...]], layers: int, geometry: Geometry
) -> list[int]:
    """Layers that carrying changes to receivers visits, for each stack of senders."""
    groups: dict[tuple[bool, tuple[Position, ...]], list[Sent]] = {}
    for sent in shared:
        if sent.through_mlps:  # the others visit only layers in which something is read
            key = (sent.direction is Direction.DENOISING, sent.positions)
            groups.setdefault(key, []).append(sent)
    visits = []
    for (_, positions), group in groups.items():
        stack = max(1, STACKED_TOKENS // (geometry.prompts * geometry.count(positions)))
        firsts = sorted(max(0, min(s.layer for s in sent.senders)) for sent in group)
        visits += [layers - first for first in firsts[::stack]]
    return visits


def _add(spent: dict[str, int], intervention: Intervention, own: int) -> None:
    kind = kind_of(intervention)
    spent[kind] = spent.get(kind, 0) + own
