"""The names that a file writes for words and positions, before any of them has a meaning."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from circuitlang.source import Span
from circuitlang.syntax import tree as syntax

_LEAVES = (Span, syntax.Word, syntax.Quantity, syntax.Term, syntax.Endpoint, syntax.BoundClause)


def names_in_metric(section: syntax.Section | None) -> frozenset[str]:
    """Slots and word lists that the metric speaks of."""
    if not isinstance(section, syntax.MetricSection):
        return frozenset()
    named = {tokens.term.word.text for tokens in section.arguments if not tokens.term.literal}
    return frozenset(named | {tokens.limit.text for tokens in section.arguments if tokens.limit})


def names_of_positions(document: syntax.Document) -> frozenset[str]:
    """Every name that stands where a position does: `S2` of `at S2+1`."""
    return frozenset(reference.slot.text for reference in _references(document.sections))


def _references(value: object) -> Iterator[syntax.PositionRef]:
    if isinstance(value, syntax.PositionRef):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _references(item)
    elif is_dataclass(value) and not isinstance(value, _LEAVES):
        for field in fields(value):
            yield from _references(getattr(value, field.name))
