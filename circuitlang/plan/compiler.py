"""Compiling claims into experiments: one function a kind of claim."""

from circuitlang.circuit import (
    AblationClaim,
    Circuit,
    Claim,
    EdgeClaim,
    FaithfulnessClaim,
)
from circuitlang.plan.intervention import (
    AblateNodes,
    Intervention,
    Kept,
    PatchEdge,
    RunCircuitAlone,
    experiment_id,
)
from circuitlang.plan.plan import Experiment, Need, Plan, Use


def compile_plan(circuit: Circuit) -> Plan:
    """Every experiment that the circuit's claims need, equal ones once."""
    experiments: dict[str, Experiment] = {}
    needs = []
    for index, claim in enumerate(circuit.all_claims):
        uses = []
        for use, intervention in _interventions(claim, circuit):
            name = experiment_id(intervention)
            experiments.setdefault(name, Experiment(name, intervention))
            uses.append((use, name))
        needs.append(Need(index, tuple(uses)))
    return Plan(circuit, tuple(experiments.values()), tuple(needs))


def _interventions(claim: Claim, circuit: Circuit) -> tuple[tuple[Use, Intervention], ...]:
    match claim:
        case EdgeClaim():
            return ((Use.EFFECT, _patch(claim)),)
        case AblationClaim():
            return ((Use.EFFECT, _ablate(claim, circuit)),)
        case FaithfulnessClaim():
            return _circuit_alone(claim, circuit)


def _patch(claim: EdgeClaim) -> PatchEdge:
    return PatchEdge(
        tuple(sorted(claim.senders, key=str)),
        tuple(sorted(claim.receivers, key=str)),
        tuple(sorted(claim.positions)),
        claim.through_mlps,
        claim.direction,
    )


def _ablate(claim: AblationClaim, circuit: Circuit) -> AblateNodes:
    components = tuple(sorted(claim.components, key=str))
    positions = tuple(sorted(claim.positions))
    return AblateNodes(components, positions, claim.reference, circuit.settings.per_template)


def _circuit_alone(
    claim: FaithfulnessClaim, circuit: Circuit
) -> tuple[tuple[Use, Intervention], ...]:
    listed = (
        Kept(component, tuple(sorted(role.positions)))
        for role in circuit.roles
        for component in role.components
    )
    # Sorted, so that the order in which a file lists its heads does not change the experiment.
    kept = tuple(sorted(listed, key=lambda k: (str(k.component), k.positions)))
    keep_mlps = not circuit.names_mlps
    per_template = circuit.settings.per_template
    return (
        (Use.CIRCUIT, RunCircuitAlone(kept, keep_mlps, claim.reference, per_template)),
        (Use.EMPTY, RunCircuitAlone((), keep_mlps, claim.reference, per_template)),
    )
