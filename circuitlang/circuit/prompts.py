"""Where prompt pairs come from: templates with words and a corruption, a data file, a generator.

Still without a tokenizer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from circuitlang.circuit.later import later
from circuitlang.circuit.position import END, Position
from circuitlang.source import Span

FRESH = "fresh"
DEFAULT_SAMPLE = 100
ANSWER, DISTRACTOR = "answer", "distractor"
"""What the metric may name where prompts come from a data file or a generator."""


@dataclass(frozen=True, slots=True)
class Template:
    """Literal texts and slots in turn: ``texts`` has one entry more than ``slots``.

    A stratum of prompts that were not made from a template has a ``label`` in place of a text, and
    its slots are positions; ``ordered``: they stand in this order in each of its prompts.
    """

    texts: tuple[str, ...]
    slots: tuple[str, ...]
    span: Span = field(default=Span(0, 0), compare=False)
    label: str = field(default="", compare=False)
    ordered: bool = True

    def __str__(self) -> str:
        if self.label:
            return self.label
        pairs = zip(self.texts, (*(f"{{{slot}}}" for slot in self.slots), ""), strict=True)
        return "".join(text + slot for text, slot in pairs)

    def order_of(self, position: Position) -> tuple[int, int] | None:
        """Sortable place of a position in the template, or None when it has none that is known.

        Two positions of different slots with offsets may still fall on one token; only the tokens
        tell, so a comparison of these keys is used where both offsets are zero.
        """
        if position.slot == END:
            return len(self.slots), position.offset
        places = [i for i, slot in enumerate(self.slots) if slot == position.slot]
        if position.occurrence > len(places) or not self.ordered:
            return None
        place = len(self.slots) if self.ends_with(position) else places[position.occurrence - 1]
        return place, position.offset

    def ends_with(self, position: Position) -> bool:
        """Whether the slot of a position is the last thing in the template, and so is at END."""
        if self.label or not self.slots or self.texts[-1] or self.slots[-1] != position.slot:
            return False
        return position.occurrence == self.slots.count(position.slot)


def template_in_words(templates: Sequence[Template], number: int) -> str:
    """A template by its number, from 1; rows of a data file are of a kind, which has a name."""
    label = templates[number - 1].label
    if not label:
        return f"template {number}"
    return f"kind `{label}`" if len(templates) > 1 else "the file"


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
class Text:
    """A prompt: ``places`` gives the character range of each (slot, occurrence).

    ``tokens`` are positions that were given as token numbers, from 0; negative ones count from the
    end.
    """

    text: str
    places: tuple[tuple[str, int, int, int], ...] = ()
    tokens: tuple[tuple[str, int], ...] = ()

    def place(self, slot: str, occurrence: int) -> tuple[int, int]:
        """Character range of a slot's occurrence.

        Raises:
            KeyError: the prompt has no such occurrence.
        """
        for name, number, start, end in self.places:
            if (name, number) == (slot, occurrence):
                return start, end
        raise KeyError(f"{slot}{occurrence}")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a data file; ``words`` holds the text of each column that the metric names.

    ``sets`` holds the words of each that has a list in every row, none of them twice.
    """

    line: int
    template: int
    clean: Text
    corrupt: Text
    words: tuple[tuple[str, str], ...] = ()
    sets: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True)
class DataFile:
    """Prompt pairs that were read from a file; ``digest`` is the hash of what the file says.

    The same content is the same data, wherever it lies and however it is called.
    """

    digest: str
    name: str = field(default="", compare=False)
    rows: tuple[Row, ...] = field(default=(), compare=False, repr=False)

    @property
    def sets(self) -> frozenset[str]:
        """Columns that have a list of words in every row."""
        return frozenset(name for row in self.rows[:1] for name, _ in row.sets)

    @cached_property
    def counted_from_end(self) -> dict[str, int]:
        """Names that stand for the same token, counted from the last one (0), in every row."""
        found: dict[str, set[int]] = {}
        for row in self.rows:
            for name, token in row.clean.tokens:
                found.setdefault(name, set()).add(token)
        return {
            name: 1 + min(tokens)
            for name, tokens in found.items()
            if len(tokens) == 1 and min(tokens) < 0
        }

    @cached_property
    def last_places(self) -> frozenset[tuple[str, int]]:
        """Names whose text ends every prompt, as (slot, occurrence)."""
        common: set[tuple[str, int]] | None = None
        for row in self.rows:
            ends = {place[:2] for place in row.clean.places if place[3] == len(row.clean.text)}
            # Those that the corrupt prompt has elsewhere are refused when tokens are known.
            ends -= {place[:2] for place in row.corrupt.places if place[3] < len(row.corrupt.text)}
            common = ends if common is None else common & ends
        return frozenset(common or ())

    @cached_property
    def _counts(self) -> Counter[int]:
        return Counter(row.template for row in self.rows)

    def shares(self, count: int) -> tuple[int, ...]:
        """How many of ``count`` pairs are of each template: they take turns as long as they last.

        ``count`` above the number of rows is that number.
        """
        left = [self._counts[template] for template in range(len(self._counts))]
        taken = [0] * len(left)
        remaining = min(count, len(self.rows))
        while remaining:
            able = [template for template, rows in enumerate(left) if rows > taken[template]]
            rounds = min(left[template] - taken[template] for template in able)
            rounds = min(rounds, remaining // len(able))
            if rounds == 0:
                able, rounds = able[:remaining], 1
            for template in able:
                taken[template] += rounds
            remaining -= rounds * len(able)
        return tuple(taken)


@dataclass(frozen=True, slots=True)
class RepeatedTokens:
    """Random tokens, repeated: the prompts of induction (Olsson et al. 2022).

    A copy has ``length`` different tokens. There are ``repeats`` of it, and of the last one the
    first ``end`` tokens only, so that the answer is the token after these. With A the token at END
    and B the answer, ``change`` says what the corrupt prompt has otherwise in every copy but the
    last: another token for B, another one for A, or a whole other copy. ``before`` is a text that
    begins every prompt.
    """

    length: int
    repeats: int
    end: int
    change: str
    before: str = ""


@dataclass(frozen=True, slots=True)
class Prompts:
    """Everything that decides the prompt pairs; ``sample`` pairs are drawn with ``seed``.

    They come from ``templates``, filled with words and corrupted by ``rules`` or by
    ``corrupt_templates`` (one for all, or one for each template); or from ``data``, drawn without
    repeats; or from a ``generator``. The templates of the last two are strata without a text.
    ``sets`` name slots whose clean words, and all words that the corruption puts in, are a set for
    the metric.
    """

    templates: tuple[Template, ...]
    word_lists: tuple[WordList, ...]
    rules: tuple[Rule, ...]
    sample: int = DEFAULT_SAMPLE
    seed: int = 0
    corrupt_templates: tuple[Template, ...] = ()
    data: DataFile | None = None
    generator: RepeatedTokens | None = None
    sets: tuple[tuple[str, tuple[str, ...]], ...] = later(())

    @property
    def set_names(self) -> frozenset[str]:
        """Sets for the metric that have words of their own in each pair."""
        own = frozenset(name for name, _ in self.sets)
        return own | self.data.sets if self.data is not None else own

    @property
    def identity(self) -> "Prompts":
        """What tells these pairs from all others; where they are data, not what is read of it."""
        if self.data is None:
            return self
        return Prompts((), (), (), self.sample, self.seed, data=self.data)

    @property
    def shares(self) -> tuple[int, ...]:
        """How many of the pairs are of each template."""
        if self.data is not None:
            return self.data.shares(self.sample)
        rounds, rest = divmod(self.sample, len(self.templates))
        return tuple(rounds + (number < rest) for number in range(len(self.templates)))

    def words_of(self, slot: str) -> tuple[str, ...]:
        """The word list of a slot; empty when it has none."""
        return next((w.words for w in self.word_lists if slot in w.slots), ())

    def common_word(self, first: str, second: str) -> str | None:
        """A word that two slots may both have in one prompt pair; None where they always differ."""
        if self.data is not None:
            rows = (dict(row.words) for row in self.data.rows)
            return next((row[first] for row in rows if row[first] == row[second]), None)
        if any(first in w.slots and second in w.slots for w in self.word_lists):
            return None
        return min({*self.words_of(first)} & {*self.words_of(second)}, default=None)
