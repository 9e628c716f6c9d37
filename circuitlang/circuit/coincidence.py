"""Positions that have two names: one of them is kept, so that an experiment has one position."""

from dataclasses import replace

from circuitlang.circuit.position import END, Position
from circuitlang.circuit.prompts import Prompts, RepeatedTokens
from circuitlang.circuit.repetition import CURRENT, places_of


def canonical(position: Position, prompts: Prompts) -> Position:
    """The one position that all names of a token stand for, shown as it was written.

    END has other names: a slot that ends every template or every row's prompt, the last A of
    repeated tokens, a token that every row of a data file counts from the end. An offset of END
    above zero says that no such token exists. Negative offsets from a slot are left alone, as the
    slot may have several tokens; repeated tokens have one each.
    """
    if prompts.generator is not None:
        return _of_repeated(position, prompts.generator)
    if position.slot == END:
        return position
    if prompts.data is None:
        ends = all(template.ends_with(position) for template in prompts.templates)
    else:
        counted = prompts.data.counted_from_end.get(position.slot)
        if counted is not None:
            return _at(position, END, 1, counted + position.offset)
        ends = (position.slot, position.occurrence) in prompts.data.last_places
    if not ends or position.offset < 0:
        return position
    return _at(position, END, 1, position.offset)


def _of_repeated(position: Position, generator: RepeatedTokens) -> Position:
    index = {(name, number): index for name, number, index in places_of(generator)}
    end = index[CURRENT, generator.repeats]
    anchor = end if position.slot == END else index[position.slot, position.occurrence]
    found = anchor + position.offset
    named = {place: name for name, place in index.items() if place != end}
    slot, occurrence = named.get(found, (END, 1))
    return _at(position, slot, occurrence, found - end if slot == END else 0)


def _at(position: Position, slot: str, occurrence: int, offset: int) -> Position:
    """The same place by another name, shown as it was written."""
    return replace(position, slot=slot, occurrence=occurrence, offset=offset, shown=str(position))
