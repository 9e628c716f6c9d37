"""When two claims are one: the same experiments held against the same bound."""

from circuitlang.circuit import (
    BaselineClaim,
    Circuit,
    Claim,
    Component,
    Head,
    Receiver,
    Slot,
    can_feed,
)
from circuitlang.models import ModelShape
from circuitlang.plan import Experiment, Need, PatchEdge, Plan, compile_plan

Meaning = tuple[object, ...]


def meanings(circuit: Circuit) -> tuple[Meaning, ...]:
    """What each claim of ``all_claims`` measures and asks for; equal for claims that are one."""
    plan = compile_plan(circuit)
    experiments = {experiment.id: experiment for experiment in plan.experiments}
    return tuple(
        _meaning(claim, need, experiments, plan)
        for claim, need in zip(circuit.all_claims, plan.needs, strict=True)
    )


def _meaning(claim: Claim, need: Need, experiments: dict[str, Experiment], plan: Plan) -> Meaning:
    shape = plan.circuit.shape
    measured = tuple((str(use), _done(experiments[name], shape)) for use, name in need.experiments)
    bound = claim.bound
    world = isinstance(claim, BaselineClaim) and claim.corrupt
    kind = type(claim).__name__
    return kind, world, measured, need.readings, bound.low, bound.high, bound.unit


def _done(experiment: Experiment, shape: ModelShape | None) -> object:
    """What an experiment does to the model.

    Edges may be written in several ways: pairs that run backwards carry nothing, and a K or V edge
    into one head of a key/value group enters all of it.
    """
    edge = experiment.intervention
    if not isinstance(edge, PatchEdge):
        return experiment.id
    parallel = shape is not None and shape.parallel
    pairs = frozenset(
        (sender, _entered(receiver, shape))
        for sender in edge.senders
        for receiver in edge.receivers
        if can_feed(sender, receiver, parallel=parallel)
    )
    return pairs, frozenset(edge.positions), edge.through_mlps, edge.direction


def _entered(receiver: Receiver, shape: ModelShape | None) -> tuple[Component | str, Slot | None]:
    head = receiver.component
    if shape is None or not isinstance(head, Head) or receiver.slot not in (Slot.K, Slot.V):
        return (head if isinstance(head, Head) else str(head)), receiver.slot
    return Head(head.layer, shape.group_of(head.head)[0]), receiver.slot
