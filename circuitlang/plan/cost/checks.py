"""What the self-checks measure, and what that costs: passes of a few prompts."""

from collections.abc import Sequence

from circuitlang.circuit import (
    AT_END,
    TOKEN,
    Direction,
    Embed,
    Head,
    Logits,
    Neuron,
    Position,
    Receiver,
    Slot,
)
from circuitlang.models import ModelShape, ModelSize
from circuitlang.plan.cost.geometry import Geometry
from circuitlang.plan.cost.reference import reference_operations
from circuitlang.plan.cost.work import Work
from circuitlang.plan.intervention import (
    Intervention,
    PatchEdge,
    PatchPath,
    RunCircuitAlone,
    RunWithout,
    components_of,
    neuron_layers,
)
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
    # Where neurons are spoken of, what they all write is held against their MLPs in either world.
    neurons = 2 * bool(neuron_layers(e.intervention for e in plan.experiments))
    # The probe twice: from the same world, and from the corrupt one.
    return (
        passes(size, few, _LAW_PASSES + neurons)
        + passes(size, Geometry(1, few.length), 1)
        + Work(0, aside)
        + reference_work(probe, size, few) * 2
    )


def probed_work(probe: PatchEdge, size: ModelSize, geometry: Geometry) -> Work:
    """The probe of positions written out token by token, from worlds that are there.

    The pass that reads the receivers' stream, what the senders write, the receivers' values and the
    pass with them; of logits, only what is read out.
    """
    into_logits = isinstance(probe.receivers[0].component, Logits)
    read = geometry.prompts * size.unembedding
    if not into_logits:
        read = geometry.tokens * (size.queries + size.keys_values)
    made = passes(size, geometry, 0 if into_logits else 2)
    return made + Work(0, geometry.tokens * size.output + read)


def witness_work(plan: Plan, size: ModelSize, batches: Sequence[Geometry]) -> Work:
    """One prompt of every batch alone, and the first prompts' clean run after all.

    What the engine itself measures for it is not counted.
    """
    total = passes(size, few_of(batches[0]), 1)
    probe, experiments = position_probe(plan.experiments, size.shape), claimed(plan)
    for number, batch in enumerate(batches):
        single = Geometry(1, batch.length, batch.places)
        total += passes(size, single, 2) + probed_work(probe, size, single)
        for experiment in dealt(experiments, len(batches), number):
            total += reference_work(experiment.intervention, size, single)
    return total


def few_of(batch: Geometry) -> Geometry:
    """The first prompts of a batch, on which the checks are made."""
    return Geometry(min(CHECKED_PROMPTS, batch.prompts), batch.length, batch.places)


def position_probe(experiments: Sequence[Experiment], shape: ModelShape) -> PatchEdge:
    """An edge that shows where an engine patches: at END and every position that the plan names.

    Of tokens that are counted, one stands for all. Every head of the first layer sends: at END each
    of them has seen all tokens that differ. All queries, keys and values of the second layer
    receive, so that every later layer can carry what entered; a model of one layer has only its
    logits.
    """
    senders = tuple(Head(0, head) for head in range(shape.heads))
    if shape.layers == 1:
        return PatchEdge(senders, (Receiver(Logits()),), (AT_END,), False, Direction.NOISING)
    named = dict.fromkeys(p for e in experiments for p in _positions(e.intervention))
    counted = sorted(p for p in named if p.slot == TOKEN)
    # A sweep counts every token, and patching every one would show nothing: one of them is enough.
    one = counted[len(counted) // 2 :][:1]
    written = (p for p in named if p.slot != TOKEN)
    positions = tuple(dict.fromkeys((*written, *one, AT_END)))
    first_of_groups = range(0, shape.heads, shape.heads // shape.kv_heads)
    receivers = [Receiver(Head(1, head), Slot.Q) for head in range(shape.heads)]
    receivers += [Receiver(Head(1, head), s) for s in (Slot.K, Slot.V) for head in first_of_groups]
    return PatchEdge(senders, tuple(receivers), positions, False, Direction.NOISING)


def check_sample(experiments: Sequence[Experiment]) -> tuple[Experiment, ...]:
    """Experiments on which the two engines are compared: two of every kind, spread over a plan."""
    some = _kinds(experiments)
    return tuple(e for kind in some for e in kind[:: max(1, len(kind) // 2)][:2])


def claimed(plan: Plan) -> tuple[Experiment, ...]:
    """The claims' own experiments, without the random edges that they are set against."""
    needed = {name for need in plan.needs for _, name in need.experiments}
    return tuple(e for e in plan.experiments if e.id in needed) or plan.experiments


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
    """Experiments by their kind; edges and paths through MLPs and direct ones are two.

    So are those that speak of single neurons, or of the embedding, and those that do not.
    """
    kinds: dict[tuple[type, bool, bool, bool], list[Experiment]] = {}
    for experiment in experiments:
        each = experiment.intervention
        hops = each.hops if isinstance(each, PatchPath) else (each,)
        through = any(getattr(hop, "through_mlps", False) for hop in hops)
        parts = components_of(each)
        neurons = any(isinstance(part, Neuron) for part in parts)
        kind = (type(each), through, neurons, Embed() in parts)
        kinds.setdefault(kind, []).append(experiment)
    return list(kinds.values())


def _positions(intervention: Intervention) -> tuple[Position, ...]:
    match intervention:
        case PatchPath(hops=hops):
            return tuple(position for hop in hops for position in hop.positions)
        case RunCircuitAlone(kept=kept):
            return tuple(position for each in kept for position in each.positions)
        case RunWithout(removed=removed, spared=spared):
            listed = (*removed, *spared)
            return tuple(position for each in listed for position in each.positions)
        case _:
            return intervention.positions


def _any_edge(shape: ModelShape) -> PatchEdge:
    heads = tuple(Head(0, head) for head in range(shape.heads))
    return PatchEdge(heads, (Receiver(Logits()),), (), False, Direction.NOISING)
