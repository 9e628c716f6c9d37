"""What the self-checks measure, and what that costs: passes of a few prompts."""

from collections.abc import Sequence

from circuitlang.circuit import AT_END, Direction, Head, Logits, Receiver, Slot
from circuitlang.models import ModelShape, ModelSize
from circuitlang.plan.cost.geometry import Geometry
from circuitlang.plan.cost.reference import reference_operations
from circuitlang.plan.cost.work import Work
from circuitlang.plan.intervention import Intervention, PatchEdge
from circuitlang.plan.plan import Experiment, Plan

CHECKED_PROMPTS = 4
"""Prompts of the first batch that the laws are held against."""

_LAW_PASSES = 7
"""On the few prompts: 2 with every site that a law reads, 2 worlds, 1 each to patch nothing, to
patch everything and for frozen heads."""


def check_passes(plan: Plan, size: ModelSize, batch: Geometry) -> Work:
    """The laws, held against the first prompts of a run's first batch.

    Operations beside the passes are the writes of every head, twice, and the slots and MLPs of up
    to three layers.
    """
    few = few_of(batch)
    shape = size.shape
    edges = (e.intervention for e in plan.experiments)
    probe = next((e for e in edges if isinstance(e, PatchEdge)), _any_edge(shape))
    checked = len({0, (shape.layers - 1) // 2, shape.layers - 1})
    aside = few.tokens * (
        2 * shape.layers * size.output + checked * (size.queries + size.keys_values + size.mlp)
    )
    aside += few.prompts * size.unembedding
    # The probe twice: from the same world, and from the corrupt one.
    return (
        passes(size, few, _LAW_PASSES)
        + passes(size, Geometry(1, few.length), 1)
        + Work(0, aside)
        + reference_work(probe, size, few) * 2
    )


def position_work(plan: Plan, size: ModelSize, batch: Geometry) -> Work:
    """The edge that is written out token by token on the first prompts, without the engine's own.

    The clean run and the corrupt one, what the senders write and, but for logits, the receivers'
    values and the pass with them.
    """
    few, shape = few_of(batch), size.shape
    probe = position_probe(plan.experiments, shape)
    into_logits = isinstance(probe.receivers[0].component, Logits)
    read = few.prompts * size.unembedding if into_logits else few.tokens * size.keys_values // 2
    return passes(size, few, 2 if into_logits else 3) + Work(0, few.tokens * size.output + read)


def witness_work(plan: Plan, size: ModelSize, batches: Sequence[Geometry]) -> Work:
    """One prompt of every batch alone, and the first prompts' clean run after all."""
    total = passes(size, few_of(batches[0]), 1)
    for number, batch in enumerate(batches):
        single = Geometry(1, batch.length, batch.places)
        total += passes(size, single, 2)
        for experiment in dealt(plan.experiments, len(batches), number):
            total += reference_work(experiment.intervention, size, single)
    return total


def few_of(batch: Geometry) -> Geometry:
    """The first prompts of a batch, on which the checks are made."""
    return Geometry(min(CHECKED_PROMPTS, batch.prompts), batch.length, batch.places)


def position_probe(experiments: Sequence[Experiment], shape: ModelShape) -> PatchEdge:
    """An edge that shows where an engine patches: at END and at positions that the plan names.

    Every head of the first layer sends: at END each of them has seen all tokens that differ. All
    values of the second layer receive, so that every later layer can carry what entered; a model of
    one layer has only its logits.
    """
    senders = tuple(Head(0, head) for head in range(shape.heads))
    if shape.layers == 1:
        return PatchEdge(senders, (Receiver(Logits()),), (AT_END,), False, Direction.NOISING)
    named = (e.intervention.positions for e in experiments if isinstance(e.intervention, PatchEdge))
    found = next((p for p in named if set(p) - {AT_END}), ())
    positions = tuple(dict.fromkeys((*found, AT_END)))
    first_of_group = shape.heads // shape.kv_heads
    receivers = tuple(
        Receiver(Head(1, number * first_of_group), Slot.V) for number in range(shape.kv_heads)
    )
    return PatchEdge(senders, receivers, positions, False, Direction.NOISING)


def check_sample(experiments: Sequence[Experiment]) -> tuple[Experiment, ...]:
    """Experiments on which the two engines are compared: two of every kind, spread over a plan."""
    some = _kinds(experiments)
    return tuple(e for kind in some for e in kind[:: max(1, len(kind) // 2)][:2])


def dealt(experiments: Sequence[Experiment], batches: int, number: int) -> tuple[Experiment, ...]:
    """The experiments that are made again for one prompt of batch ``number`` of so many.

    Every batch gets one experiment at least and every kind comes up in one batch at least; which
    experiment of a kind it is changes from batch to batch.
    """
    kinds = _kinds(experiments)
    if not kinds:
        return ()
    own = kinds[number::batches] or [kinds[number % len(kinds)]]
    return tuple(kind[number * len(kind) // batches] for kind in own)


def witnessed_prompt(number: int, prompts: int) -> int:
    """The prompt of batch ``number`` that is measured alone.

    Never the first of several: what all prompts of a batch got from the first one must show.
    """
    return 1 + number % (prompts - 1) if prompts > 1 else 0


def passes(size: ModelSize, geometry: Geometry, count: int) -> Work:
    """Whole forward passes."""
    layers = size.shape.layers
    weights = layers * size.layer_parameters + size.d_model * size.vocabulary
    operations = size.forward(geometry.prompts, geometry.length)
    return Work(count, count * operations, count * layers, count * weights)


def reference_work(intervention: Intervention, size: ModelSize, geometry: Geometry) -> Work:
    """An experiment under the reference engine."""
    experiment = Experiment("", intervention)
    count = experiment.forward_passes
    one = passes(size, geometry, count)
    found = reference_operations(experiment.intervention, size, geometry)
    return Work(count, found, one.visits, one.weights)


def _kinds(experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    """Experiments by their kind; edges through MLPs and direct ones are two."""
    kinds: dict[tuple[type, bool], list[Experiment]] = {}
    for experiment in experiments:
        each = experiment.intervention
        through = isinstance(each, PatchEdge) and each.through_mlps
        kinds.setdefault((type(each), through), []).append(experiment)
    return list(kinds.values())


def _any_edge(shape: ModelShape) -> PatchEdge:
    heads = tuple(Head(0, head) for head in range(shape.heads))
    return PatchEdge(heads, (Receiver(Logits()),), (), False, Direction.NOISING)
