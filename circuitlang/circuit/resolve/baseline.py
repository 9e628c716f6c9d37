"""The claim `baseline`: a bound on the metric itself, in the metric's own unit."""

from dataclasses import replace
from math import isfinite

from circuitlang.circuit.bound import Bound, Unit
from circuitlang.circuit.metric import Metric
from circuitlang.circuit.reading import BaselineClaim
from circuitlang.circuit.resolve.quantities import resolve_bound, with_one_unit
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.syntax import tree as syntax

_IN_PERCENT = (Unit.PROB, Unit.ACCURACY)
"""Units of which 1 is the whole."""


def resolve_baseline(line: syntax.ClaimLine, text: str, scope: Scope) -> BaselineClaim | None:
    """The claim of a line, or None with a diagnostic."""
    metric = scope.metric
    if line.subject is not None:
        message = "`baseline` is about the whole model and names no node"
        hint = "write `baseline >= ...`, or `baseline corrupt >= ...` for the corrupt prompts"
        scope.error("CL226", line.subject.span, message, hint)
        return None
    for clause in line.clauses:
        if not isinstance(clause, syntax.BoundClause):
            message = "`baseline` replaces nothing and takes no `by`"
            scope.error("CL226", clause.span, message, "delete it")
            return None
    if metric is None:
        return None
    if metric.name == "kl" and not line.corrupt:
        message = "`kl` is zero on the clean prompts by definition"
        scope.error("CL222", line.span, message, "claim `baseline corrupt`")
        return None
    bounds = [clause for clause in line.clauses if isinstance(clause, syntax.BoundClause)]
    if not bounds:
        message = "`baseline` needs a bound"
        scope.error("CL221", line.span, message, f"such as `{line.kind} >= {_example(metric)}`")
        return None
    read = [_in_own_unit(clause, metric, scope) for clause in bounds]
    own = [clause for clause in read if clause is not None]
    if len(own) < len(read):
        return None
    bound = resolve_bound(own, line.span, False, scope, of_effect=False)
    if bound is not None:
        bound = _that_can_be_met(bound, metric, bounds[0], scope)
    if bound is None:
        return None
    return BaselineClaim(line.corrupt, bound, text, line.span)


def _example(metric: Metric) -> str:
    return "50%" if metric.unit in _IN_PERCENT else f"3 {metric.unit}"


def _in_own_unit(
    clause: syntax.BoundClause, metric: Metric, scope: Scope
) -> syntax.BoundClause | None:
    """A bound in the metric's unit.

    None where it has no unit or another one, with a diagnostic.
    """
    if clause.kind == "within":
        message = "`within` is about what is nearly zero"
        hint = f"a range is written `in 2..{_example(metric)}`"
        if metric.unit in _IN_PERCENT:
            hint = "a range is written `in 40..60%`"
        scope.error("CL226", clause.span, message, hint)
        return None
    united = with_one_unit(clause, scope)
    if united is None:
        return None
    found: list[syntax.Quantity] = []
    for each in united.quantities:
        quantity = _read(each, each.unit, metric, scope)
        if quantity is None:
            return None
        found.append(quantity)
    return replace(clause, quantities=tuple(found))


def _read(
    quantity: syntax.Quantity, unit: str, metric: Metric, scope: Scope
) -> syntax.Quantity | None:
    own, number = str(metric.unit), quantity.text.split("%")[0].split()[0]
    percent = metric.unit in _IN_PERCENT
    if unit == own:
        return replace(quantity, text=f"{number} {own}", unit=own)
    if unit == "%" and percent:
        return replace(quantity, text=f"{number}%", value=quantity.value / 100, unit=own)
    message = f"`{metric.name}` is in {own}, and `baseline` is no share of anything"
    hint = f"such as `{_example(metric)}`"
    if unit not in ("", "%"):
        message = f"`{metric.name}` is in {own}, not in {unit}"
    elif unit == "" and percent:
        message = f"this bound has no unit, and `{metric.name}` is in {own}"
        if quantity.value > 1:
            hint = f"write `{number}%`"
        elif quantity.value < 1:
            hint = f"write `{100 * quantity.value:g}%` or `{number} {own}`"
    elif unit == "":
        message = f"this bound has no unit, and `{metric.name}` is in {own}"
        hint = f"write `{number} {own}`"
    scope.error("CL223", quantity.span, message, hint)
    return None


def _that_can_be_met(
    bound: Bound, metric: Metric, clause: syntax.BoundClause, scope: Scope
) -> Bound | None:
    """The bound, if some values that the metric can have meet it and others do not."""
    low, high = metric.kind.lowest, metric.kind.highest
    if found := bound.inside(low, high):
        return found
    if isfinite(low) and isfinite(high):
        message = f"lies between {low:g} and {high:g}, so a bound must lie strictly between"
    elif isfinite(low):
        message = f"is never below {low:g}, so a bound must lie above"
    else:
        message = f"is never above {high:g}, so a bound must lie below"
    # With few prompts all of them may hit, and yet no test shows that no prompt would miss.
    hint = "such as `>= 99%`" if metric.unit is Unit.ACCURACY else ""
    scope.error("CL222", clause.span, f"`{metric.name}` {message}", hint)
    return None
