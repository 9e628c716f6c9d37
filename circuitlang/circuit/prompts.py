"""Prompts as templates with slots, word lists and a corruption; still without a tokenizer."""

from dataclasses import dataclass, field

from circuitlang.circuit.position import END, Position
from circuitlang.source import Span

FRESH = "fresh"


@dataclass(frozen=True, slots=True)
class Template:
    """Literal texts and slots in turn: ``texts`` has one entry more than ``slots``."""

    texts: tuple[str, ...]
    slots: tuple[str, ...]
    span: Span = field(default=Span(0, 0), compare=False)

    def __str__(self) -> str:
        pairs = zip(self.texts, (*(f"{{{slot}}}" for slot in self.slots), ""), strict=True)
        return "".join(text + slot for text, slot in pairs)

    def order_of(self, position: Position) -> tuple[int, int] | None:
        """Sortable place of a position in the template, or None when it has none.

        Two positions of different slots with offsets may still fall on one token; only the tokens
        tell, so a comparison of these keys is used where both offsets are zero.
        """
        if position.slot == END:
            return len(self.slots), position.offset
        places = [i for i, slot in enumerate(self.slots) if slot == position.slot]
        if position.occurrence > len(places):
            return None
        return places[position.occurrence - 1], position.offset


@dataclass(frozen=True, slots=True)
class WordList:
    """Words of one or more slots; slots that share a list get different words in one prompt."""

    slots: tuple[str, ...]
    words: tuple[str, ...]
    name: str | None = None
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Rule:
    """`S2 = IO`: what an occurrence (``occurrence`` None: every one) becomes in the corrupt prompt.

    Exactly one of ``fresh`` (a word of the slot's list that the prompt does not have), ``slot``
    (the clean word of another slot) and ``literal`` is set.
    """

    target: str
    occurrence: int | None
    fresh: bool = False
    slot: str | None = None
    literal: str | None = None
    span: Span = field(default=Span(0, 0), compare=False)


@dataclass(frozen=True, slots=True)
class Prompts:
    """Everything that decides the prompt pairs; ``sample`` pairs are drawn with ``seed``."""

    templates: tuple[Template, ...]
    word_lists: tuple[WordList, ...]
    rules: tuple[Rule, ...]
    sample: int = 100
    seed: int = 0

    def words_of(self, slot: str) -> tuple[str, ...]:
        """The word list of a slot; empty when it has none."""
        return next((w.words for w in self.word_lists if slot in w.slots), ())
