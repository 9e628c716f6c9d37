"""Numbers with units: bounds, levels, counts."""

import re
from collections.abc import Sequence
from dataclasses import replace

from circuitlang.circuit.bound import RAW_UNITS, Bound, Unit
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.source import Span
from circuitlang.syntax.tree import (
    BoundClause,
    ByClause,
    Clause,
    DifferenceClause,
    Quantity,
    Word,
)

_UNITS = {"%": Unit.FRACTION, "": Unit.FRACTION, **{str(unit): unit for unit in RAW_UNITS}}
_LARGEST_BARE = 2.0
_LARGEST_EFFECTS = {"prob": 1, "accuracy": 1, "prob_diff": 2}
"""Differences of two values of a metric, in its unit: of two numbers from 0, or from -1, to 1."""
_LARGEST = 1e6
_EXPONENT = re.compile(r"[eE][0-9]{1,9}")


def resolve_bound(
    clauses: Sequence[Clause],
    span: Span,
    absent: bool,
    scope: Scope,
    *,
    one_form: bool = False,
    of_claim: bool = False,
    of_effect: bool = True,
) -> Bound | None:
    """The one bound among an edge's or claim's clauses; the smallest effect when there is none.

    ``one_form``: the claim has only one kind of bound, and that is no range. ``of_claim``: it is
    no edge's. ``of_effect``: it is about a difference that an intervention makes.
    Returns None, with a diagnostic, when the bound makes no sense.
    """
    bounds = [clause for clause in clauses if isinstance(clause, BoundClause)]
    for extra in bounds[1:]:
        # What is claimed with one sign only has no range to write.
        hint = "keep one of them" if one_form or absent else "a range is written `in 10%..30%`"
        scope.error("CL221", extra.span, "a claim has one bound", hint)
    smallest = scope.settings.minimum_effect
    if not bounds:
        return (
            Bound(-smallest, smallest, is_default=True, is_margin=True)
            if absent
            else Bound(smallest, None, is_default=True)
        )
    clause = bounds[0]
    if absent != (clause.kind == "within"):
        scope.error("CL226", clause.span, *_no_such_bound(clause, absent, of_claim))
        return None
    united = with_one_unit(clause, scope)
    if united is None:
        return None
    if united is not clause and _bound_value(united.quantities[-1], scope) is None:
        return None  # what is wrong with a unit of both is told once
    values = [_bound_value(quantity, scope) for quantity in united.quantities]
    units = {unit for _, unit in filter(None, values)}
    if None in values or len(units) != 1:
        if len(units) > 1:
            low, high = (quantity.text for quantity in clause.quantities)
            hint = f"write `in {low}..{high}{_suffix(united.quantities[0])}`"
            hint = "" if united.quantities[1].unit else hint
            message = "the two ends of a range need the same unit"
            scope.error("CL223", clause.span, message, hint)
        return None
    numbers = [value[0] for value in values if value]
    bound = _interval(united, numbers, units.pop(), scope)
    if bound is None or (of_effect and _says_nothing(bound, clause, scope)):
        return None
    # Tests of the circuit have margins of their own, which no single edge is held to.
    if absent and not one_form and bound.unit is Unit.FRACTION and numbers[0] >= 1:
        message = f"an effect of {100 * numbers[0]:g}% is all of it, so absence within that says"
        scope.error("CL222", clause.span, f"{message} nothing", "such as `within 2%`")
        return None
    return bound


def with_one_unit(clause: BoundClause, scope: Scope) -> BoundClause | None:
    """A bound in which the unit behind a range is that of both its ends: `in 10..30%`.

    None, with a diagnostic, where a share may have been meant: `in 0.1..30%`.
    """
    first, last = clause.quantities[0], clause.quantities[-1]
    if first.unit or not last.unit:
        return clause
    if last.unit == "%" and 0 < abs(first.value) < 1 and 100 * first.value < last.value:
        message = f"`{first.text}` of this range may be {first.text}% or {100 * first.value:g}%"
        hint = f"write `in {first.text}%..{last.text}` or `in {100 * first.value:g}%..{last.text}`"
        scope.error("CL223", clause.span, message, hint)
        return None
    united = replace(first, text=first.text + _suffix(last), unit=last.unit)
    return replace(clause, quantities=(united, last))


def _suffix(quantity: Quantity) -> str:
    """The unit as it stands behind a number."""
    return quantity.unit if quantity.unit in ("", "%") else f" {quantity.unit}"


def _says_nothing(bound: Bound, clause: BoundClause, scope: Scope) -> bool:
    """Whether no effect can meet a bound, or none can miss it, with a diagnostic.

    Shares may be of any size: an intervention can do more than the corruption does.
    """
    largest = _LARGEST_EFFECTS.get(scope.metric.name) if scope.metric else None
    if largest is None or bound.unit is Unit.FRACTION:
        return False
    low, high = bound.low, bound.high
    never_missed = (low is None or low <= -largest) and (high is None or high >= largest)
    never_met = (low is not None and low >= largest) or (high is not None and high <= -largest)
    if not never_missed and not never_met:
        return False
    what = "met" if never_met else "missed"
    message = f"effects lie between {-largest} and {largest} {bound.unit}, so this is never {what}"
    size = max(abs(limit) for limit in (low, high) if limit is not None)
    hint = f"write `{size / 100:g} {bound.unit}` for {size:g}%" if size <= 100 else ""
    scope.error("CL222", clause.span, message, hint)
    return True


def _no_such_bound(clause: BoundClause, absent: bool, of_claim: bool) -> tuple[str, str]:
    """Message and hint for `within` where it means nothing, or for another bound after `no`."""
    if absent:
        return "`no` claims absence, which is shown by an equivalence test", "write `within 2%`"
    around = f"`in -{clause.quantities[0].text}..{clause.quantities[0].text}`"
    if of_claim:
        message = "`within` belongs to edges with `no`, and to `completeness` and `equivalent`"
        return message, f"write {around}, or a bound such as `>= 20%`"
    return "`within` belongs to a `no` edge", f"write `no A -> B.Q within 2%`, or {around}"


def _interval(clause: BoundClause, numbers: list[float], unit: Unit, scope: Scope) -> Bound | None:
    if clause.kind == "at_least":
        return Bound(numbers[0], None, unit)
    if clause.kind == "at_most":
        return Bound(None, numbers[0], unit)
    if clause.kind == "within":
        if numbers[0] <= 0:
            scope.error(
                "CL222", clause.span, "absence needs a margin above zero", "such as `within 2%`"
            )
            return None
        return Bound(-numbers[0], numbers[0], unit, is_margin=True)
    if numbers[0] >= numbers[1]:
        low, high = clause.quantities
        hint = f"write `in {high.text}..{low.text}`" if numbers[0] > numbers[1] else ""
        scope.error("CL222", clause.span, "the first end of a range lies below the second", hint)
        return None
    return Bound(numbers[0], numbers[1], unit)


def _bound_value(quantity: Quantity, scope: Scope) -> tuple[float, Unit] | None:
    if refuses_exponent(quantity, _LARGEST, scope):
        return None
    unit = _UNITS.get(quantity.unit)
    own = scope.metric.unit if scope.metric else Unit.LOGITS
    if unit is None:
        hint = f"units are `%` and `{own}`"
        scope.error("CL223", quantity.span, f"unknown unit `{quantity.unit}`", hint)
        return None
    if scope.metric and unit not in (Unit.FRACTION, own):
        message = f"`{scope.metric.name}` is in {own}, not in {unit}"
        scope.error("CL223", quantity.span, message, f"units are `%` and `{own}`")
        return None
    value = quantity.value / 100 if quantity.unit == "%" else quantity.value
    if quantity.unit == "" and abs(value) > _LARGEST_BARE:
        message = f"a bare number is a fraction, so {quantity.text} means {100 * value:g}%"
        scope.error("CL223", quantity.span, message, f"write `{quantity.text}%`")
        return None
    if abs(value) > _LARGEST:
        scope.error("CL224", quantity.span, "this bound is too large to mean anything")
        return None
    return value, unit


def refuses_exponent(quantity: Quantity, most: float, scope: Scope) -> bool:
    """Whether the unit is the exponent of a number (`1e3`), which is reported."""
    if not _EXPONENT.fullmatch(quantity.unit):
        return False
    value = float(quantity.text.replace(" ", ""))
    if abs(value) > most:
        message = f"a number here is at most {most:,.0f}"
        scope.error("CL224", quantity.span, message)
    else:
        plain = f"{value:f}".rstrip("0").rstrip(".")
        scope.error("CL223", quantity.span, "a number has no exponent", f"write `{plain}`")
    return True


def resolve_by(clauses: Sequence[Clause], known: Sequence[str], scope: Scope) -> str | None:
    """The word after `by`, when it is one of the known ones."""
    for clause in clauses:
        if isinstance(clause, DifferenceClause):
            message = "only `steer` adds a difference"
            scope.error("CL226", clause.span, message, f"write `by {'` or `by '.join(known)}`")
    found = [clause for clause in clauses if isinstance(clause, ByClause)]
    for extra in found[1:]:
        scope.error("CL225", extra.span, "`by` stands twice", "delete one of them")
    return choice(found[0].word, known, scope) if found else None


def misses_by(clauses: Sequence[Clause], by: str | None) -> bool:
    """Whether a line has a `by` that could not be read: then nothing takes its place."""
    return by is None and any(not isinstance(clause, BoundClause) for clause in clauses)


def choice(word: Word, known: Sequence[str], scope: Scope) -> str | None:
    """A word that must be one of a few."""
    if word.text in known:
        return word.text
    hint = scope.suggest(word.text, known)
    scope.error("CL220", word.span, f"unknown word `{word.text}`", hint)
    return None


def whole_number(quantity: Quantity, low: int, high: int, what: str, scope: Scope) -> int | None:
    """An integer in [low, high]; anything else is CL224."""
    if quantity.unit == "" and low <= quantity.value <= high and quantity.value.is_integer():
        return int(quantity.value)
    message = f"{what} is a whole number from {low:,} to {high:,}"
    scope.error("CL224", quantity.span, message)
    return None


def level(quantity: Quantity, low: float, high: float, what: str, scope: Scope) -> float | None:
    """A fraction strictly between low and high; anything else is CL224."""
    value = quantity.value / 100 if quantity.unit == "%" else quantity.value
    if quantity.unit in ("", "%") and low < value < high:
        return value
    message = f"{what} lies between {100 * low:g}% and {100 * high:g}%"
    is_percent = quantity.unit == "" and low < value / 100 < high
    hint = f"write `{quantity.text}%`" if is_percent else ""
    scope.error("CL224", quantity.span, message, hint)
    return None
