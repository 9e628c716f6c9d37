"""Positions whose token is the same in both worlds of every prompt pair, told by the texts alone.

No tokenizer joins what stands on two sides of white space into one token, so equal words between
white space have equal tokens. Where only tokens could tell, a position counts as changed.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from circuitlang.circuit.expansion import expand
from circuitlang.circuit.metric import Metric
from circuitlang.circuit.position import END, Position
from circuitlang.circuit.prompts import Prompts, Text

_FIRST = 64
"""So many pairs are looked at before all are: most positions have changed by then."""
_WORD = re.compile(r"\S+")


def never_change(positions: Iterable[Position], prompts: Prompts, metric: Metric) -> bool:
    """Whether all these positions have one and the same token in both prompts of every pair."""
    wanted = tuple(positions)
    if prompts.generator is not None or not wanted:
        return False
    for count in sorted({min(_FIRST, prompts.sample), prompts.sample}):
        for pair in expand(replace(prompts, sample=count), metric):
            if not all(_same(position, pair.clean, pair.corrupt) for position in wanted):
                return False
    return True


def _same(position: Position, clean: Text, corrupt: Text) -> bool:
    one, other = _around(position, clean), _around(position, corrupt)
    return one is not None and one == other


def _around(position: Position, text: Text) -> str | None:
    """Whole words in which the token of a position surely lies, with what stands before them.

    None where the texts do not tell which these are. The first word of a prompt has nothing before
    it, which makes other tokens of it.
    """
    if position.slot == END:
        return _back(text.text, len(text.text), 1 - position.offset)
    places = {place[:2]: place[2:] for place in text.places}
    if (position.slot, position.occurrence) not in places:
        return None
    start, end = places[position.slot, position.occurrence]
    if position.offset < 0:
        glued = start > 0 and not text.text[start - 1].isspace()
        return None if glued else _back(text.text, start, -position.offset)
    if position.offset == 0:
        right = _WORD.match(text.text, end)
        return _back(text.text, right.end() if right else end, 1)
    glued = end < len(text.text) and not text.text[end].isspace()
    words = [*_WORD.finditer(text.text, end)][: position.offset]
    return None if glued or not words else text.text[end : words[-1].end()]


def _back(text: str, end: int, count: int) -> str | None:
    """So many words before a place, with what stands before them; None where there are fewer."""
    words = [*_WORD.finditer(text, 0, end)]
    if len(words) < count:
        return None
    before = words[-count - 1].end() if len(words) > count else 0
    return text[before:end]
