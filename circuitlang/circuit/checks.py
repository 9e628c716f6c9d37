"""Checks of a whole circuit, each a plain function; they need neither weights nor tokens."""

from collections.abc import Callable

from circuitlang.circuit.circuit import Circuit
from circuitlang.circuit.claim import AblationClaim, Claim, EdgeClaim, FaithfulnessClaim
from circuitlang.circuit.component import Logits, problem_with
from circuitlang.models import ModelShape
from circuitlang.source import Diagnostic, Span

Check = Callable[[Circuit], list[Diagnostic]]


def something_is_claimed(circuit: Circuit) -> list[Diagnostic]:
    """A file with neither edge nor claim can never pass or fail."""
    if circuit.all_claims:
        return []
    hint = "add an `edges` or a `claims` block"
    return [Diagnostic("CL227", Span(0, 0), "the file claims nothing", hint)]


def nodes_are_used(circuit: Circuit) -> list[Diagnostic]:
    """A node that no edge and no claim speaks of is probably a slip."""
    if any(isinstance(claim, FaithfulnessClaim) for claim in circuit.claims):
        return []
    used = {name for edge in circuit.edges for name in _nodes_of(edge, circuit)}
    used |= {c.node_name for c in circuit.claims if isinstance(c, AblationClaim)}
    return [
        Diagnostic("CL203", role.span, f"the node `{role.name}` is never used")
        for role in circuit.roles
        if role.name not in used
    ]


def _nodes_of(edge: EdgeClaim, circuit: Circuit) -> set[str]:
    members = {*edge.senders, *(r.component for r in edge.receivers)}
    names = {edge.sender_name, edge.receiver_name.split(".")[0]}
    # Under `each` an edge names components, which belong to the roles they were written with.
    return names | {role.name for role in circuit.roles if members & {*role.components}}


def claims_stand_once(circuit: Circuit) -> list[Diagnostic]:
    """The same experiment claimed twice would be counted twice in the correction."""
    seen: dict[object, Claim] = {}
    found = []
    for claim in circuit.all_claims:
        key = _experiment_of(claim)
        if key in seen:
            message = f"`{claim.text}` tests the same as `{seen[key].text}`"
            hint = "keep one of them; a range is written `in 10%..30%`"
            found.append(Diagnostic("CL217", claim.span, message, hint))
        else:
            seen[key] = claim
    return found


def _experiment_of(claim: Claim) -> object:
    if isinstance(claim, EdgeClaim):
        receivers, positions = frozenset(claim.receivers), frozenset(claim.positions)
        senders = frozenset(claim.senders)
        return senders, receivers, positions, claim.through_mlps, claim.direction
    if isinstance(claim, AblationClaim):
        return frozenset(claim.components), frozenset(claim.positions), claim.reference
    return "faithfulness", claim.reference


CHECKS: tuple[Check, ...] = (something_is_claimed, nodes_are_used, claims_stand_once)


def check_components(circuit: Circuit, shape: ModelShape) -> tuple[Diagnostic, ...]:
    """Components that a model, now that its size is known, does not have."""
    found = []
    for role in circuit.roles:
        for component in role.components:
            if problem := problem_with(component, shape):
                found.append(Diagnostic(problem[0], role.span, *problem[1:]))
    for claim in circuit.all_claims:
        parts = claim.senders if isinstance(claim, EdgeClaim) else ()
        if isinstance(claim, EdgeClaim):
            inputs = (r.component for r in claim.receivers)
            parts = (*parts, *(part for part in inputs if not isinstance(part, Logits)))
        elif isinstance(claim, AblationClaim):
            parts = claim.components
        for component in parts:
            if problem := problem_with(component, shape):
                found.append(Diagnostic(problem[0], claim.span, *problem[1:]))
    return tuple(dict.fromkeys(found))
