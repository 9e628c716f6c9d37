"""Claims that read the model: what each needs, and what it does not take."""

from collections.abc import Iterator

from circuitlang.circuit.bound import Bound, Unit
from circuitlang.circuit.coincidence import canonical
from circuitlang.circuit.component import Head
from circuitlang.circuit.position import AT_END, Position, show_positions
from circuitlang.circuit.reading import ReadingClaim, ReadingKind
from circuitlang.circuit.resolve.ends import End, resolve_end
from circuitlang.circuit.resolve.nodes import resolve_positions
from circuitlang.circuit.resolve.places import Places
from circuitlang.circuit.resolve.quantities import choice, resolve_bound
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.source import Span
from circuitlang.syntax import tree as syntax

_LINEAR = "logit_diff"
"""The metric that is a sum of what the parts write, but for the final norm's scale."""

_EXAMPLES = {
    ReadingKind.ATTENTION: "attention {} END -> IO >= 0.5",
    ReadingKind.COPYING: "copying {} >= 90%",
    ReadingKind.DIRECT_EFFECT: "direct_effect {} >= 20%",
    ReadingKind.INDUCTION: "induction {} >= 0.4",
    ReadingKind.PREVIOUS_TOKEN: "previous_token {} >= 0.4",
    ReadingKind.DUPLICATE_TOKEN: "duplicate_token {} >= 0.4",
}


def resolve_reading(line: syntax.ClaimLine, text: str, scope: Scope) -> ReadingClaim | None:
    """The claim of a line, or None with a diagnostic."""
    kind, subject = ReadingKind(line.kind), line.subject
    if subject is None:
        return None
    example = f"write `{_EXAMPLES[kind].format(subject.node.text)}`"
    end = _end(kind, subject, scope)
    bound = _bound(kind, line, example, scope)
    negative = _negative(kind, line, example, scope)
    positions = _positions(kind, line, example, scope)
    if kind is ReadingKind.DIRECT_EFFECT and not _has_a_direct_effect(end, line, scope):
        return None
    if end is None or bound is None or negative is None or positions is None:
        return None
    return ReadingClaim(kind, end.components, positions, negative, bound, text, line.span)


def _end(kind: ReadingKind, subject: syntax.Endpoint, scope: Scope) -> End | None:
    """What is read, if it is something that has what is read."""
    if subject.slot is not None:
        message = f"`{kind}` reads a node and none of its slots"
        hint = f"write `{kind} {subject.node.text}`"
        scope.error("CL213", subject.slot.span, message, hint)
        return None
    if subject.node.text == "logits":
        scope.error("CL201", subject.span, f"logits have no {kind}", "name a node")
        return None
    end = resolve_end(subject, scope)
    if end is None or not end.components:
        return None
    others = [part for part in end.components if not isinstance(part, Head)]
    if kind.of_heads and others:
        message = f"{others[0]} is no attention head, and `{kind}` is read off heads"
        scope.error("CL230", subject.span, message, "name heads alone")
        return None
    return end


def _bound(kind: ReadingKind, line: syntax.ClaimLine, example: str, scope: Scope) -> Bound | None:
    clauses = [c for c in line.clauses if isinstance(c, syntax.BoundClause)]
    if not clauses and kind.is_share:
        scope.error("CL221", line.span, f"`{kind}` needs a bound", example)
        return None
    bound = resolve_bound(line.clauses, line.span, False, scope, of_claim=True)
    if bound is None or not kind.is_share:
        return bound
    if bound.unit is not Unit.FRACTION:
        message = f"`{kind}` lies between 0 and 1 and has no unit"
        scope.error("CL223", clauses[0].span, message, example)
        return None
    found = bound.inside(0, 1)
    if found is None:
        message = f"`{kind}` lies between 0 and 1, so a bound of it must lie strictly between"
        scope.error("CL222", clauses[0].span, message, example)
    return found


def _negative(kind: ReadingKind, line: syntax.ClaimLine, example: str, scope: Scope) -> bool | None:
    """Whether `by negative` stands there; None where another `by` does."""
    found = [c for c in line.clauses if not isinstance(c, syntax.BoundClause)]
    for clause in found:
        if not isinstance(clause, syntax.ByClause) or kind is not ReadingKind.COPYING:
            scope.error("CL226", clause.span, f"`{kind}` takes no such `by`", example)
            return None
    for extra in found[1:]:
        scope.error("CL225", extra.span, "`by` stands twice", "delete one of them")
    words = [clause.word for clause in found if isinstance(clause, syntax.ByClause)]
    if not words:
        return False
    return True if choice(words[0], ["negative"], scope) else None


def _positions(
    kind: ReadingKind, line: syntax.ClaimLine, example: str, scope: Scope
) -> tuple[Position, ...] | None:
    """Where it is read; None where a position is wrong or missing."""
    if line.route and kind is not ReadingKind.ATTENTION:
        message = f"`{kind}` has no way from one position to another"
        scope.error("CL226", line.route[0].span, message, example)
        return None
    if line.positions and kind is not ReadingKind.COPYING:
        message = f"`{kind}` does not take `at`"
        scope.error("CL226", line.positions[0].span, message, example)
        return None
    if kind is ReadingKind.ATTENTION:
        return _route(line, example, scope)
    if kind is not ReadingKind.COPYING:
        return ()
    if line.positions:
        return resolve_positions(line.positions, scope) or None
    return _compared_words(line, scope)


def _route(line: syntax.ClaimLine, example: str, scope: Scope) -> tuple[Position, Position] | None:
    """Query and key."""
    if not line.route:
        message = "`attention` goes from one position to another"
        scope.error("CL226", line.span, message, example)
        return None
    ends = [resolve_positions([reference], scope) for reference in line.route]
    if not all(ends):
        return None
    (query,), (key,) = ends
    # With offsets from different slots only the tokens can tell; what lies ahead gets no attention.
    number = scope.places.blind((query,), (key,)) if scope.places else None
    if number is None or scope.places is None:
        return query, key
    span = Span(line.route[0].span.start, line.route[-1].span.end)
    where, hint = scope.places.forward(number)
    scope.error("CL218", span, f"{query} comes before {key}{where}", hint)
    return None


def _compared_words(line: syntax.ClaimLine, scope: Scope) -> tuple[Position, ...] | None:
    """Every place of the slots that the metric compares, of those that all templates have."""
    if scope.places is None or scope.metric is None:
        return None
    compared = (scope.metric.answer, scope.metric.distractor)
    slots = [slot for slot in compared if isinstance(slot, str) and slot in scope.places.slots]
    places = (place for slot in slots for place in _places_of(slot, scope.places))
    if scope.prompts is not None:
        places = (canonical(place, scope.prompts) for place in places)
    found = tuple(dict.fromkeys(places))
    if not found:
        message = "the metric compares no word that stands in every prompt"
        hint = f"say where the words are that are copied: `{line.kind} ... at IO`"
        if scope.prompts is not None and scope.prompts.data is not None:
            hint = f"name a column with the word that is copied: `{line.kind} ... at COLUMN`"
        scope.error("CL304", line.span, message, hint)
        return None
    return found


def _places_of(slot: str, places: Places) -> Iterator[Position]:
    alone = places.most[slot] == 1
    for number in range(1, places.fewest[slot] + 1):
        yield Position(slot, number, 0, "" if alone else f"{slot}{number}")


def _has_a_direct_effect(end: End | None, line: syntax.ClaimLine, scope: Scope) -> bool:
    """Whether the metric is one that parts add up to, and the node writes where it is read."""
    if scope.metric is not None and not scope.metric.is_linear:
        message = f"`{scope.metric.name}` is no sum of what the parts write"
        if scope.metric.name == _LINEAR:
            message = "the largest logit of a set is no sum of what the parts write"
        hint = "`direct_effect` needs `metric logit_diff(a, b)`"
        scope.error("CL222", line.kind_span, message, hint)
        return False
    if end is not None and end.positions and AT_END not in end.positions:
        message = (
            f"{end.name} writes at {show_positions(end.positions)}, and logits are read at END"
        )
        hint = "name heads or MLPs at END"
        scope.error("CL216", line.span, message, hint)
        return False
    return True
