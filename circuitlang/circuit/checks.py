"""Checks of resolved claims, each a plain function; they need neither weights nor tokens."""

from collections.abc import Callable

from circuitlang.circuit.activation import Activation, ActivationSite
from circuitlang.circuit.claim import AblationClaim, CircuitTestClaim, Claim, EdgeClaim, PathClaim
from circuitlang.circuit.patching import PatchClaim, SteerClaim
from circuitlang.circuit.reading import BaselineClaim, ReadingClaim, ReadingKind
from circuitlang.circuit.settings import Ablation, Direction
from circuitlang.source import Diagnostic, Span

_OUTPUTS = (Activation.Z, Activation.MLP_OUT, Activation.POST, Activation.RESID_PRE)

LineOf = Callable[[Span], int]
Check = Callable[[tuple[Claim, ...], LineOf], list[Diagnostic]]
"""Claims in file order, and the line in which a span begins."""


def claims_stand_once(claims: tuple[Claim, ...], line_of: LineOf) -> list[Diagnostic]:
    """The same experiment claimed twice would be counted twice in the correction."""
    seen: dict[object, Claim] = {}
    found: dict[Span, Diagnostic] = {}
    for claim in claims:
        earlier = seen.setdefault(_experiment_of(claim), claim)
        # An `each` line that repeats another one repeats every pair; once is enough to say so.
        if earlier is not claim and claim.span not in found:
            said = _said_of(claim, earlier, line_of(earlier.span))
            found[claim.span] = Diagnostic("CL217", claim.span, *said)
    return [*found.values()]


def _said_of(claim: Claim, earlier: Claim, line: int) -> tuple[str, str]:
    """Message and hint about two claims of one experiment, the earlier in this line."""
    if claim.bound.excludes(earlier.bound):
        message = (
            f"`{claim.text}` contradicts `{earlier.text}` (in line {line}): both test the same"
        )
        return message, "no effect meets both bounds: keep the one that you believe"
    message = f"`{claim.text}` tests the same as `{earlier.text}` (in line {line})"
    one_form = isinstance(claim, CircuitTestClaim)
    return message, f"keep one of them{'' if one_form else '; a range is written `in 10%..30%`'}"


def _experiment_of(claim: Claim) -> object:
    if isinstance(claim, EdgeClaim):
        receivers, positions = frozenset(claim.receivers), frozenset(claim.positions)
        senders = frozenset(claim.senders)
        return senders, receivers, positions, claim.through_mlps, claim.direction
    if isinstance(claim, PathClaim):
        hops = tuple(
            (frozenset(hop.receivers), frozenset(hop.positions), hop.through_mlps)
            for hop in claim.hops
        )
        return frozenset(claim.senders), hops, claim.direction
    if isinstance(claim, AblationClaim):
        parts = frozenset(map(str, claim.components))
        return parts, frozenset(claim.positions), claim.reference
    if isinstance(claim, CircuitTestClaim):
        return claim.test, claim.reference
    if isinstance(claim, PatchClaim):
        sites, positions = frozenset(map(_read_from, claim.sites)), frozenset(claim.positions)
        outputs = all(site.activation in _OUTPUTS and site.component for site in claim.sites)
        if outputs and claim.direction is Direction.NOISING:
            parts = frozenset(str(site.component) for site in claim.sites)
            return parts, positions, Ablation.RESAMPLE  # `ablate ... by resample`
        return "patch", sites, positions, claim.direction
    if isinstance(claim, SteerClaim):
        sites, positions = frozenset(map(_read_from, claim.sites)), frozenset(claim.positions)
        if claim.texts is not None:
            # Twice ("a" - "b") is minus twice ("b" - "a").
            weights = frozenset(zip(claim.texts, (claim.factor, -claim.factor), strict=True))
            return "steer", sites, positions, weights
        return "steer", sites, positions, claim.factor
    if isinstance(claim, ReadingClaim):
        route = claim.kind is ReadingKind.ATTENTION
        read_at = claim.positions if route else frozenset(claim.positions)
        return claim.kind, frozenset(claim.components), read_at, claim.negative
    if isinstance(claim, BaselineClaim):
        return "baseline", claim.corrupt
    return "faithfulness", claim.reference


def _read_from(site: ActivationSite) -> ActivationSite:
    """A stream after a layer is the one before the next."""
    if site.activation is Activation.RESID_POST:
        return ActivationSite(Activation.RESID_PRE, site.layer + 1)
    return site


CHECKS: tuple[Check, ...] = (claims_stand_once,)
