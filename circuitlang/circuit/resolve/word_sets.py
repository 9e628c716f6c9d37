"""Sets of words that fail in every prompt pair, which the words tell without tokens.

`NEXT > YY` shrinks as YY grows, and `NEXT < YY` as it falls, so the extreme words of YY's list
decide for all of them.
"""

from collections.abc import Mapping, Sequence

from circuitlang.circuit.metric import (
    COMPARISONS,
    OTHER_THAN,
    Argument,
    FixedWord,
    Largest,
    WordSet,
    words_of,
)
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.source import Span
from circuitlang.syntax import tree as syntax

_DIRECTIONS = {">": max, ">=": max, "<": min, "<=": min}
"""Which of a limit's numbers makes the set smallest."""
_WORDS = {">": "more than", "<": "less than", ">=": "at least", "<=": "at most"}

Lists = Mapping[str, tuple[str, ...]]


def some_set_fails(
    written: Sequence[syntax.TokenSet], arguments: Sequence[Argument], lists: Lists, scope: Scope
) -> bool:
    """Whether a set has no word in any pair, or both share one in each, with a diagnostic.

    What fails in some pairs alone is told pair by pair, once the tokens are known.
    """
    shown, given = list(map(str, arguments)), arguments
    failed = _some_is_empty_in_each_row(written, given, scope)
    arguments = [each.words if isinstance(each, Largest) else each for each in arguments]
    for line, argument in zip(written, arguments, strict=True):
        if isinstance(argument, WordSet) and _is_empty(argument, lists):
            more = _WORDS[argument.comparison]
            message = (
                f"`{argument}` is always empty: no word of `{argument.name}` is {more} any of "
                f"`{argument.limit}`"
            )
            hint = f"give `{argument.name}` words that are {more} those of `{argument.limit}`"
            scope.error("CL331", line.span, message, hint)
            failed = True
    if failed or len(arguments) < 2:
        return failed
    if not _always_share(arguments[0], arguments[1], lists) and not _share_in_each(given, scope):
        return False
    message = f"`{shown[0]}` and `{shown[1]}` have a word in common in every pair"
    span = Span(written[0].span.start, written[-1].span.end)
    whole = [each for each in arguments if isinstance(each, WordSet) and not each.comparison]
    words = [each for each in arguments if isinstance(each, str)]
    hint = f"write `{whole[0]} != {words[0]}`" if whole and words else "leave it out of one of them"
    scope.error("CL332", span, message, hint)
    return True


def _some_is_empty_in_each_row(
    written: Sequence[syntax.TokenSet], arguments: Sequence[Argument], scope: Scope
) -> bool:
    """Whether a set of rows has no word in any of them, with a diagnostic."""
    failed = False
    columns = zip(*_of_rows(arguments, scope), strict=True)
    for line, argument, words in zip(written, arguments, columns, strict=False):
        if not any(words):
            message = f"`{argument}` is empty in every row"
            scope.error("CL331", line.span, message, "give the lists of the rows words")
            failed = True
    return failed


def _share_in_each(arguments: Sequence[Argument], scope: Scope) -> bool:
    rows = _of_rows(arguments, scope)
    return bool(rows) and all({*one} & {*other} for one, other in rows)


def _of_rows(arguments: Sequence[Argument], scope: Scope) -> list[tuple[tuple[str, ...], ...]]:
    """The words of each argument in each row; no row where no set is of rows."""
    sets = [each.words if isinstance(each, Largest) else each for each in arguments]
    data = scope.prompts.data if scope.prompts else None
    if data is None or not any(isinstance(each, WordSet) and each.of_rows for each in sets):
        return []
    own = [(dict(row.words), dict(row.sets)) for row in data.rows]
    return [tuple(words_of(each, *values) for each in sets) for values in own]


def _is_empty(words: WordSet, lists: Lists) -> bool:
    """Whether even the limit that leaves most words leaves none."""
    if words.comparison not in _DIRECTIONS or words.of_rows:
        return False
    limits = _numbers(lists.get(words.limit, ()))
    if not limits or not words.words:
        return False
    easiest = min(limits) if _DIRECTIONS[words.comparison] is max else max(limits)
    holds = COMPARISONS[words.comparison]
    return not any(holds(number, easiest) for number in _numbers(words.words))


def _always_share(one: Argument, other: Argument, lists: Lists) -> bool:
    if any(isinstance(each, WordSet) and each.of_rows for each in (one, other)):
        return False  # looked at row by row
    if isinstance(one, WordSet) and isinstance(other, WordSet):
        return _sets_always_share(one, other, lists)
    for words, word in ((one, other), (other, one)):
        if isinstance(words, WordSet) and not isinstance(word, WordSet):
            return _always_holds(words, word, lists)
    return False


def _always_holds(words: WordSet, word: Argument, lists: Lists) -> bool:
    """Whether a word, or every word of a slot, is in the set of every pair."""
    own = (word.text,) if isinstance(word, FixedWord) else lists.get(str(word), ())
    if not own or not {*own} <= {*words.words}:
        return False
    if word == words.limit:
        return words.comparison in ("", ">=", "<=")
    if not words.comparison:
        return True
    if words.comparison == OTHER_THAN:
        limits = lists.get(words.limit, ())
        return bool(limits) and not {*own} & {*limits}
    hardest = _hardest(words, lists)
    holds = COMPARISONS[words.comparison]
    return hardest is not None and all(holds(number, hardest) for number in _numbers(own))


def _sets_always_share(one: WordSet, other: WordSet, lists: Lists) -> bool:
    first, second = _hardest(one, lists), _hardest(other, lists)
    if first is None or second is None:
        return False
    common = _numbers({*one.words} & {*other.words})
    if one.limit == other.limit and first != second:
        # Towards opposite sides of one number: only the number itself can be in both.
        both = {one.comparison, other.comparison} == {">=", "<="}
        return both and {*_numbers(lists[one.limit])} <= {*common}
    holds, also = COMPARISONS[one.comparison], COMPARISONS[other.comparison]
    return any(holds(number, first) and also(number, second) for number in common)


def _hardest(words: WordSet, lists: Lists) -> int | None:
    """The number of the limit that leaves fewest words; None where there is none."""
    if words.comparison not in _DIRECTIONS:
        return None
    limits = _numbers(lists.get(words.limit, ()))
    if not limits:
        return None
    return _DIRECTIONS[words.comparison](limits)


def _numbers(words: Sequence[str] | set[str]) -> list[int]:
    return [int(word) for word in words]
