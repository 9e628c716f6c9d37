"""The claims `patch` and `steer`: what is replaced or added to, and where."""

import re

from circuitlang.circuit.activation import STREAMS, Activation, ActivationSite
from circuitlang.circuit.component import MLP, Component, Embed, Head, Neuron, problem_with
from circuitlang.circuit.patching import PatchClaim, SteerClaim
from circuitlang.circuit.position import Position
from circuitlang.circuit.resolve.ends import resolve_end
from circuitlang.circuit.resolve.limits import MAX_TEMPLATE_LENGTH
from circuitlang.circuit.resolve.nodes import resolve_positions
from circuitlang.circuit.resolve.quantities import refuses_exponent, resolve_bound, resolve_by
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.circuit.settings import Direction
from circuitlang.syntax import tree as syntax

_LAYER = re.compile(r"[Ll]([0-9]{1,4})")
_SLOTS = {
    "Q": Activation.Q,
    "K": Activation.K,
    "V": Activation.V,
    "pattern": Activation.PATTERN,
}
_LARGEST_FACTOR = 1e6

Texts = tuple[str, str]
Where = tuple[tuple[ActivationSite, ...], tuple[Position, ...]]
"""What is patched, and at which positions."""


def resolve_patch(line: syntax.ClaimLine, text: str, scope: Scope) -> PatchClaim | None:
    """The claim of a line, or None with a diagnostic."""
    where = _where(line, scope)
    bound = resolve_bound(line.clauses, line.span, False, scope, of_claim=True)
    by = resolve_by(line.clauses, [*Direction], scope)
    written = [c for c in line.clauses if not isinstance(c, syntax.BoundClause)]
    if where is None or bound is None or (written and by is None):
        return None
    direction = Direction(by) if by else scope.settings.direction
    return PatchClaim(*where, direction, bound, text, line.span)


def resolve_steer(line: syntax.ClaimLine, text: str, scope: Scope) -> SteerClaim | None:
    """The claim of a line, or None with a diagnostic."""
    where = _where(line, scope)
    bound = resolve_bound(line.clauses, line.span, False, scope, of_claim=True)
    added = _added(line, scope)
    if where is None or bound is None or added is None:
        return None
    slots = [s for s in where[0] if s.activation in _SLOTS.values()]
    if slots and line.subject is not None and line.subject.slot is not None:
        message = "`steer` adds to an output; it has no slot"
        hint = f"write `steer {line.subject.node.text}`"
        scope.error("CL213", line.subject.slot.span, message, hint)
        return None
    factor, texts = added
    return SteerClaim(*where, factor, bound, text, line.span, texts)


def _where(line: syntax.ClaimLine, scope: Scope) -> Where | None:
    """What a claim speaks of; positions that it writes itself win over its node's."""
    if line.route:
        message = f"`{line.kind}` has positions, and no way from one to another"
        scope.error("CL226", line.route[0].span, message, f"write `{line.kind} NODE at END`")
        return None
    own = resolve_positions(line.positions, scope)
    subject = line.subject
    if subject is None or (line.positions and not own):
        return None
    if _LAYER.fullmatch(subject.node.text) and subject.node.text not in scope.roles:
        site = _stream(subject, scope)
        return ((site,), own) if site else None
    if subject.slot is not None and subject.slot.text in STREAMS:
        site = _stream(subject, scope)
        return ((site,), own) if site else None
    if subject.node.text == "logits":
        message = f"there is nothing to `{line.kind}` in logits"
        scope.error(
            "CL201", subject.span, message, "name a node, or a stream such as `L5.resid_pre`"
        )
        return None
    end = resolve_end(subject, scope)
    if end is None or not end.components:
        return None
    sites = _sites(line.kind, subject, end.components, scope)
    return (sites, own or end.positions) if sites else None


def _stream(subject: syntax.Endpoint, scope: Scope) -> ActivationSite | None:
    """`L5.resid_pre`: a whole stream or write of a layer."""
    names = [*STREAMS]
    match = _LAYER.fullmatch(subject.node.text)
    if subject.slot is None or subject.slot.text not in names:
        layer = subject.node.text
        if subject.slot is None:
            message = f"`{layer}` is a layer and no node: say what of it"
            hint = f"write `{layer}.resid_pre`, or define a node `{layer}`"
            scope.error("CL211", subject.node.span, message, hint)
        else:
            hint = scope.suggest(subject.slot.text, names)
            message = f"a layer has no `{subject.slot.text}`"
            scope.error("CL211", subject.slot.span, message, hint or f"write `{layer}.resid_pre`")
        return None
    if match is None:
        message = f"`{subject.slot.text}` belongs to a layer and not to a node"
        scope.error("CL211", subject.slot.span, message, f"write `L5.{subject.slot.text}`")
        return None
    site = ActivationSite(Activation(subject.slot.text), int(match[1]))
    # Asked of the layer's MLP, because a layer alone is no component.
    if problem := problem_with(MLP(site.layer), scope.shape):
        code, message, hint = problem
        scope.error(code, subject.node.span, message.replace(".MLP", ""), hint)
        return None
    if problem_text := _missing_in(site, scope):
        scope.error("CL211", subject.slot.span, problem_text)
        return None
    return site


def _missing_in(site: ActivationSite, scope: Scope) -> str:
    """Why a model's blocks have no such stream; empty where they have."""
    shape = scope.shape
    if shape is None:
        return ""
    if site.activation is Activation.RESID_MID and (shape.parallel or not shape.mlps):
        return "these blocks have no residual stream between attention and MLP"
    if site.activation is Activation.MLP_OUT and not shape.mlps:
        return "this model has no MLPs"
    return ""


def _sites(
    kind: str, subject: syntax.Endpoint, components: tuple[Component, ...], scope: Scope
) -> tuple[ActivationSite, ...]:
    """The activations of a node's components that a slot names; their outputs without one."""
    slot = subject.slot
    found: list[ActivationSite] = []
    if slot is not None and slot.text not in _SLOTS:
        hint = scope.suggest(slot.text, [*_SLOTS])
        message = f"a head has no `{slot.text}` to patch"
        scope.error("CL211", slot.span, message, hint or "write `.Q`, `.K`, `.V` or `.pattern`")
        return ()
    for component in components:
        match component:
            case Head(layer, head):
                activation = _SLOTS[slot.text] if slot else Activation.Z
                found.append(ActivationSite(activation, layer, head))
            case MLP(layer) if slot is None:
                found.append(ActivationSite(Activation.MLP_OUT, layer))
            case Neuron(layer, index) if slot is None:
                found.append(ActivationSite(Activation.POST, layer, index))
            case Embed() if slot is None:
                found.append(ActivationSite(Activation.RESID_PRE, 0, written=str(component)))
            case _ if slot is not None:
                message = f"{component} has an output and no `{slot.text}`"
                hint = f"write `{kind} {component}`"
                if len(components) > 1:
                    hint = "put heads and other parts into nodes of their own"
                scope.error("CL211", slot.span, message, hint)
                return ()
    return tuple(found)


def _has_difference(line: syntax.ClaimLine) -> bool:
    return any(isinstance(clause, syntax.DifferenceClause) for clause in line.clauses)


def _added(line: syntax.ClaimLine, scope: Scope) -> tuple[float, Texts | None] | None:
    """What is added: a factor, and the texts whose difference it multiplies.

    Without texts that is clean minus corrupt.
    """
    example = "write `by 2 * (clean - corrupt)`"
    for clause in line.clauses:
        if isinstance(clause, syntax.ByClause):
            hint = "delete it" if _has_difference(line) else example
            scope.error("CL226", clause.word.span, "`steer` adds a difference", hint)
            return None
    found = [clause for clause in line.clauses if isinstance(clause, syntax.DifferenceClause)]
    for extra in found[1:]:
        scope.error("CL225", extra.span, "`by` stands twice", "delete one of them")
    if not found:
        scope.error("CL226", line.span, "`steer` needs what is added", example)
        return None
    clause, factor = found[0], found[0].factor
    if refuses_exponent(factor, _LARGEST_FACTOR, scope):
        return None
    if factor.unit:
        scope.error("CL223", factor.span, "a factor has no unit", example)
        return None
    if not 0 < abs(factor.value) <= _LARGEST_FACTOR:
        message = f"a factor lies between 0 and {_LARGEST_FACTOR:,.0f}, of either sign"
        scope.error("CL224", factor.span, message)
        return None
    if clause.sign != "-":
        scope.error("CL226", clause.span, "what is added is a difference", example)
        return None
    terms = clause.first.word.text, clause.second.word.text
    if clause.first.literal and clause.second.literal:
        return (factor.value, terms) if _can_be_added(clause, scope) else None
    if terms == ("clean", "corrupt") and not clause.first.literal:
        return factor.value, None
    if terms == ("corrupt", "clean") and not clause.first.literal:
        return -factor.value, None
    if clause.first.literal or clause.second.literal:
        message = "a difference is between two quoted texts, or between `clean` and `corrupt`"
        scope.error("CL226", clause.span, message, f"{example}, or two texts in quotes")
        return None
    wrong = clause.first if terms[0] not in ("clean", "corrupt") else clause.second
    message = f"the difference is between `clean` and `corrupt`, not `{wrong.word.text}`"
    scope.error("CL226", wrong.word.span, message, f"{example}, or two texts in quotes")
    return None


def _can_be_added(clause: syntax.DifferenceClause, scope: Scope) -> bool:
    """Whether two texts make a difference."""
    words = clause.first.word, clause.second.word
    if words[0].text == words[1].text:
        message = "both texts are the same, so nothing is added"
        scope.error("CL249", words[1].span, message, "write texts that differ")
        return False
    for word in words:
        if not word.text:
            message = "an empty text has nothing to read"
            scope.error("CL249", word.span, message, 'write `" "` to compare with nothing')
            return False
        if len(word.text) > MAX_TEMPLATE_LENGTH:
            message = f"a text has at most {MAX_TEMPLATE_LENGTH:,} characters"
            scope.error("CL228", word.span, message)
            return False
    return True
