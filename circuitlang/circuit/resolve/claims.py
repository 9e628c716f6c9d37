"""The `claims` block."""

from collections.abc import Callable

from circuitlang.circuit.bound import Unit
from circuitlang.circuit.claim import (
    AblationClaim,
    CircuitTest,
    CircuitTestClaim,
    FaithfulnessClaim,
    OtherClaim,
)
from circuitlang.circuit.component import parse_component
from circuitlang.circuit.patching import PatchClaim, SteerClaim
from circuitlang.circuit.reading import BaselineClaim, ReadingClaim, ReadingKind
from circuitlang.circuit.resolve.baseline import resolve_baseline
from circuitlang.circuit.resolve.circuit_tests import needs_nodes, resolve_circuit_test
from circuitlang.circuit.resolve.edges import resolve_end
from circuitlang.circuit.resolve.patching import resolve_patch, resolve_steer
from circuitlang.circuit.resolve.quantities import misses_by, resolve_bound, resolve_by
from circuitlang.circuit.resolve.readings import resolve_reading
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.circuit.resolve.sweeps import SWEEP
from circuitlang.circuit.settings import Ablation
from circuitlang.syntax import tree as syntax
from circuitlang.syntax.grammar import ABOUT, BASELINE


def resolve_claims(section: syntax.Section | None, scope: Scope) -> tuple[OtherClaim, ...]:
    """The claims in file order; sweeps claim nothing."""
    if not isinstance(section, syntax.ClaimsSection):
        return ()
    for line in section.lines:
        if line.subject is None and line.kind in ABOUT:
            message = f"`{line.kind}` needs a name after it"
            what = "resid_pre" if line.kind == SWEEP else "L9.H6"
            scope.error("CL110", line.kind_span, message, f"such as `{line.kind} {what}`")
    lines = (line for line in section.lines if line.kind != SWEEP)
    found = (RESOLVERS.get(line.kind, _unknown)(line, scope) for line in lines)
    return tuple(claim for claim in found if claim is not None)


def _ablate(line: syntax.ClaimLine, scope: Scope) -> AblationClaim | None:
    subject = line.subject
    if subject is None:
        return None
    if subject.slot is not None:
        message = "`ablate` replaces a node's output; it has no slot"
        scope.error("CL213", subject.slot.span, message, f"write `ablate {subject.node.text}`")
        return None
    if subject.node.text == "logits":
        scope.error("CL201", subject.span, "logits cannot be ablated", "name a node")
        return None
    end = resolve_end(subject, scope)
    bound = resolve_bound(line.clauses, line.span, False, scope, of_claim=True)
    by = resolve_by(line.clauses, [*Ablation], scope)
    if end is None or bound is None or not end.components or misses_by(line.clauses, by):
        return None
    reference = Ablation(by) if by else scope.settings.ablation
    return AblationClaim(
        end.components, end.positions, reference, bound, _text(line, scope), line.span
    )


def _faithfulness(line: syntax.ClaimLine, scope: Scope) -> FaithfulnessClaim | None:
    bound = resolve_bound(line.clauses, line.span, False, scope, of_claim=True)
    by = resolve_by(line.clauses, [*Ablation], scope)
    if bound is None or misses_by(line.clauses, by):
        return None
    if bound.is_default:
        hint = "write `faithfulness >= 80%`"
        scope.error("CL221", line.span, "faithfulness needs a bound", hint)
        return None
    if bound.unit is not Unit.FRACTION:
        scope.error("CL223", line.span, "faithfulness is a fraction", "write its bound in %")
        return None
    if needs_nodes(line, "to be faithful", scope):
        return None
    reference = Ablation(by) if by else scope.settings.ablation
    return FaithfulnessClaim(reference, bound, _text(line, scope), line.span)


def _circuit_test(line: syntax.ClaimLine, scope: Scope) -> CircuitTestClaim | None:
    return resolve_circuit_test(line, _text(line, scope), scope)


def _patch(line: syntax.ClaimLine, scope: Scope) -> PatchClaim | None:
    return resolve_patch(line, _text(line, scope), scope)


def _steer(line: syntax.ClaimLine, scope: Scope) -> SteerClaim | None:
    return resolve_steer(line, _text(line, scope), scope)


def _reading(line: syntax.ClaimLine, scope: Scope) -> ReadingClaim | None:
    return resolve_reading(line, _text(line, scope), scope)


def _baseline(line: syntax.ClaimLine, scope: Scope) -> BaselineClaim | None:
    return resolve_baseline(line, _text(line, scope), scope)


def _unknown(line: syntax.ClaimLine, scope: Scope) -> None:
    hint = scope.suggest(line.kind, [*RESOLVERS, SWEEP]) or "such as `ablate SIH >= 50%`"
    if not line.clauses and line.subject and parse_component(line.subject.node.text):
        hint = "a node is defined under `nodes`"
    scope.error("CL220", line.kind_span, f"there is no claim `{line.kind}`", hint)


RESOLVERS: dict[str, Callable[[syntax.ClaimLine, Scope], OtherClaim | None]] = {
    "ablate": _ablate,
    "faithfulness": _faithfulness,
    "patch": _patch,
    "steer": _steer,
    **{test.value: _circuit_test for test in CircuitTest},
    **{kind.value: _reading for kind in ReadingKind},
    BASELINE: _baseline,
}


def _text(line: syntax.ClaimLine, scope: Scope) -> str:
    return " ".join(scope.source.slice(line.span).split())
