"""Where the slots of the templates stand, counted once for a whole file."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

from circuitlang.circuit.position import END, Position
from circuitlang.circuit.prompts import Template, template_in_words

_Range = tuple[tuple[int, int], tuple[int, int]]
"""The sortable places of the first and the last of some positions in a template."""
_OCCURRENCE = re.compile(r"(.+?)([1-9][0-9]{0,3})")


class Places:
    """Answers what a name such as `S2` means in templates that need not be alike."""

    def __init__(self, templates: Sequence[Template], others: frozenset[str] = frozenset()) -> None:
        """``others`` are names that stand for a position, too, and that the file never uses."""
        self.templates = tuple(templates)
        self._others = others
        self._counts = [Counter(template.slots) for template in templates]
        self.slots = frozenset(slot for counts in self._counts for slot in counts)
        self.fewest = {slot: min(c[slot] for c in self._counts) for slot in self.slots}
        self.most = {slot: max(c[slot] for c in self._counts) for slot in self.slots}
        # One file asks for the same few positions again and again.
        self._ranges = cache(self._find_ranges)

    def split(self, name: str) -> tuple[str, int | None] | None:
        """`S2` as ("S", 2) when S is a slot; a slot that is itself called `S2` comes first."""
        if name in self.slots:
            return name, None
        match = _OCCURRENCE.fullmatch(name)
        if match and match[1] in self.slots:
            return match[1], int(match[2])
        return None

    def names(self) -> set[str]:
        """Every name that stands for one position of each template."""
        found = {END, *self._others}
        for slot in self.slots:
            numbered = {f"{slot}{n}" for n in range(1, self.fewest[slot] + 1)}
            found |= {slot} if self.fewest[slot] == self.most[slot] == 1 else numbered
        return found

    def shortage(self, slot: str, occurrence: int | None) -> str:
        """In words: a template in which a slot does not stand so often."""
        wanted = occurrence or 1
        number, count = self.template_with(slot, 0, wanted - 1)
        times = {0: "does not stand", 1: "stands only once"}.get(count, f"stands {count} times")
        name = f"{slot}{occurrence or ''}"
        return f"no `{name}` in {self.template(number)}: `{slot}` {times} there"

    def template(self, number: int) -> str:
        """A template, counted from 1, or the rows of a data file that are of its kind, in words."""
        name, has_text = template_in_words(self.templates, number), not self.templates[0].label
        if has_text:
            return name
        return f"rows of {name}" if len(self.templates) > 1 else "the prompts"

    def template_with(self, slot: str, least: int, most: int) -> tuple[int, int]:
        """Number (from 1) of the first template that has the slot so often, and how often."""
        for number, counts in enumerate(self._counts, 1):
            if least <= counts[slot] <= most:
                return number, counts[slot]
        raise LookupError(slot)

    def forward(self, number: int) -> tuple[str, str]:
        """What to say of a blind template: the end of the message, and the hint."""
        hint = "attention looks back, never forward"
        if len(self.templates) == 1:
            return "", hint
        return f", in {self.template(number)}", f"{hint}; prompts that differ need a file each"

    def blind(self, readers: tuple[Position, ...], sources: tuple[Position, ...]) -> int | None:
        """Number (from 1) of the first template in which every reader comes before every source.

        None where there is no such template, as far as can be told without tokens.
        """
        # An offset may lead past another slot; only from the same place it says what comes first.
        apart = all(r.offset <= 0 for r in readers) and all(s.offset >= 0 for s in sources)
        ranges = zip(self._ranges(readers), self._ranges(sources), strict=True)
        for number, (own, others) in enumerate(ranges, 1):
            if own is None or others is None or not own[1] < others[0]:
                continue
            if apart or own[0][0] == others[1][0]:
                return number
        return None

    def _find_ranges(self, positions: tuple[Position, ...]) -> tuple[_Range | None, ...]:
        """First and last of these positions in each template; None where that is not known."""
        found = []
        for template in self.templates:
            keys = [template.order_of(position) for position in positions]
            known = [key for key in keys if key is not None]
            found.append((min(known), max(known)) if len(known) == len(keys) else None)
        return tuple(found)
