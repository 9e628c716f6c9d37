"""Compiling claims into experiments: one function a kind of claim."""

from dataclasses import replace

from circuitlang.circuit import (
    AblationClaim,
    BaselineClaim,
    Circuit,
    CircuitTestClaim,
    Claim,
    Component,
    EdgeClaim,
    FaithfulnessClaim,
    PatchClaim,
    PathClaim,
    ReadingClaim,
    SteerClaim,
)
from circuitlang.plan.circuit_tests import Experiments, circuit_test_experiments, draws_later
from circuitlang.plan.intervention import (
    AblateNodes,
    Hop,
    Intervention,
    PatchActivation,
    PatchEdge,
    PatchPath,
    PatchTogether,
    Steer,
    SteerByTexts,
    experiment_id,
)
from circuitlang.plan.null import Draw, draw_random_edges, parts_of
from circuitlang.plan.plan import Experiment, Need, Plan, Use
from circuitlang.plan.readings import Reading, reading_of


def compile_plan(circuit: Circuit) -> Plan:
    """Every experiment that the circuit's claims need, equal ones once.

    Random edges are drawn once the model's size is known, and come last: what a claim says is
    measured before what it is compared with.
    """
    experiments: dict[str, Experiment] = {}

    def add(intervention: Intervention) -> str:
        name = experiment_id(intervention)
        experiments.setdefault(name, Experiment(name, intervention))
        return name

    readings: dict[str, Reading] = {}

    def read(reading: Reading) -> str:
        readings.setdefault(reading.id, reading)
        return reading.id

    needs = [
        Need(
            index,
            tuple(dict.fromkeys((use, add(made)) for use, made in _interventions(claim, circuit))),
            drawn_later=isinstance(claim, CircuitTestClaim) and draws_later(claim, circuit),
            readings=tuple(map(read, reading_of(claim, circuit))),
        )
        for index, claim in enumerate(circuit.all_claims)
    ]
    parts = parts_of(circuit)
    for index, claim in enumerate(circuit.all_claims):
        draw = _random_edges(claim, parts, circuit)
        names = tuple(add(edge) for edge in draw.edges)
        needs[index] = replace(needs[index], random_edges=names, no_random_edges=draw.missing)
    return Plan(
        circuit,
        tuple(experiments.values()),
        tuple(needs),
        readings=tuple(readings.values()),
    )


def _random_edges(claim: Claim, parts: frozenset[Component], circuit: Circuit) -> Draw:
    """Only an edge that must be there can be told from random ones by a large effect."""
    settings = circuit.settings
    if not isinstance(claim, EdgeClaim | PathClaim) or claim.absent or not settings.random_edges:
        return Draw()
    if circuit.shape is None:
        return Draw(missing="they are drawn once the model is loaded and its size known")
    return draw_random_edges(
        _patched(claim), parts, circuit.shape, settings.random_edges, settings.seed
    )


def _interventions(claim: Claim, circuit: Circuit) -> tuple[tuple[Use, Intervention], ...]:
    match claim:
        case EdgeClaim() | PathClaim():
            return ((Use.EFFECT, _patched(claim)),)
        case AblationClaim():
            return ((Use.EFFECT, _ablate(claim, circuit)),)
        case FaithfulnessClaim():
            tests = Experiments(claim, circuit)
            return ((Use.CIRCUIT, tests.circuit_alone()), (Use.EMPTY, tests.empty()))
        case ReadingClaim() | BaselineClaim():
            return ()
        case CircuitTestClaim():
            return tuple(circuit_test_experiments(claim, circuit))
        case PatchClaim():
            return ((Use.EFFECT, _activations(claim)),)
        case SteerClaim():
            sites, positions = tuple(sorted(claim.sites)), tuple(sorted(claim.positions))
            if claim.texts is not None:
                added = SteerByTexts.ordered(sites, positions, claim.factor, claim.texts)
                return ((Use.EFFECT, added),)
            per_template = circuit.settings.per_template
            return ((Use.EFFECT, Steer(sites, positions, claim.factor, per_template)),)


def _patched(claim: EdgeClaim | PathClaim) -> PatchEdge | PatchPath:
    return _path(claim) if isinstance(claim, PathClaim) else _edge(claim)


def _path(claim: PathClaim) -> PatchPath:
    hops = (
        Hop(tuple(sorted(hop.receivers, key=str)), tuple(sorted(hop.positions)), hop.through_mlps)
        for hop in claim.hops
    )
    return PatchPath(tuple(sorted(claim.senders, key=str)), tuple(hops), claim.direction)


def _edge(claim: EdgeClaim) -> PatchEdge:
    return PatchEdge(
        tuple(sorted(claim.senders, key=str)),
        tuple(sorted(claim.receivers, key=str)),
        tuple(sorted(claim.positions)),
        claim.through_mlps,
        claim.direction,
    )


def _activations(claim: PatchClaim) -> PatchActivation | PatchTogether:
    positions = tuple(sorted(claim.positions))
    if len(claim.sites) > 1:
        return PatchTogether(tuple(sorted(claim.sites)), positions, claim.direction)
    (site,) = claim.sites
    return PatchActivation(site.activation, site.layer, site.head, positions, claim.direction)


def _ablate(claim: AblationClaim, circuit: Circuit) -> AblateNodes:
    components = tuple(sorted(claim.components, key=str))
    positions = tuple(sorted(claim.positions))
    return AblateNodes(components, positions, claim.reference, circuit.settings.per_template)
