"""Drawing prompt pairs: deterministic, and without a tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from circuitlang.circuit.metric import Metric
from circuitlang.circuit.prompts import DataFile, Prompts, Row, Rule, Template, Text
from circuitlang.circuit.repetition import UNKNOWN, DrawnTokens, draw_tokens

__all__ = ["PromptPair", "Text", "expand"]

_TRIES = 200


@dataclass(frozen=True, slots=True)
class PromptPair:
    """A clean prompt, its counterfactual and what the metric reads there.

    ``answer`` and ``distractor`` are what a reader is told: a word, a set such as `NEXT > 32`, or
    nothing. ``words`` are those that each argument of the metric stands for. Where tokens were
    ``drawn``, the texts are empty until the vocabulary is known, and words are
    :data:`circuitlang.circuit.repetition.UNKNOWN` by their names.
    """

    template: int
    clean: Text
    corrupt: Text
    answer: str
    distractor: str
    words: tuple[tuple[str, ...], ...]
    drawn: DrawnTokens | None = None


def expand(prompts: Prompts, metric: Metric) -> tuple[PromptPair, ...]:
    """The prompt pairs of a file: templates take turns, words are drawn with the file's seed.

    The same file gives the same pairs on every machine and Python version. Repeated pairs are
    avoided where the word lists allow it. Rows of a data file never repeat, so there may be fewer
    than were asked for.
    """
    random = Random(prompts.seed)
    if prompts.data is not None:
        return tuple(_of_row(row, metric) for row in _rows(prompts.data, prompts.sample, random))
    pairs: list[PromptPair] = []
    if prompts.generator is not None:
        for _ in range(prompts.sample):
            drawn = draw_tokens(prompts.generator, random)
            told = *metric.shown(UNKNOWN), metric.words(UNKNOWN)
            pairs.append(PromptPair(0, Text(""), Text(""), *told, drawn))
        return tuple(pairs)
    seen: set[tuple[str, str]] = set()
    exhausted: set[int] = set()  # templates for which no new pair could be found
    for index in range(prompts.sample):
        number = index % len(prompts.templates)
        for _ in range(1 if number in exhausted else _TRIES):
            pair = _draw(prompts, metric, number, random)
            key = (pair.clean.text, pair.corrupt.text)
            if key not in seen:
                break
        else:
            exhausted.add(number)
        seen.add(key)
        pairs.append(pair)
    return tuple(pairs)


def _rows(data: DataFile, count: int, random: Random) -> Sequence[Row]:
    """Rows of a file, in its order; templates take turns as long as their rows last."""
    strata: dict[int, list[Row]] = {}
    for row in data.rows:
        strata.setdefault(row.template, []).append(row)
    chosen = [
        _some(strata[template], share, random) for template, share in enumerate(data.shares(count))
    ]
    rounds = range(max(map(len, chosen)))
    return [rows[turn] for turn in rounds for rows in chosen if turn < len(rows)]


def _some(rows: list[Row], count: int, random: Random) -> list[Row]:
    """So many different rows, in the order of the file."""
    if count == len(rows):
        return rows
    left = list(range(len(rows)))
    picked = []
    for _ in range(count):
        index = int(random.random() * len(left))
        left[index], left[-1] = left[-1], left[index]
        picked.append(left.pop())
    return [rows[index] for index in sorted(picked)]


def _of_row(row: Row, metric: Metric) -> PromptPair:
    own = dict(row.words), dict(row.sets)
    told = *metric.shown(*own), metric.words(*own)
    return PromptPair(row.template, row.clean, row.corrupt, *told)


def _pick(random: Random, words: tuple[str, ...], taken: set[str]) -> str:
    free = [word for word in words if word not in taken]
    # `random()` is the one generator method whose sequence Python promises to keep.
    return free[int(random.random() * len(free))]


def _draw(prompts: Prompts, metric: Metric, number: int, random: Random) -> PromptPair:
    template = prompts.templates[number]
    values: dict[str, str] = {}
    needed = _needed(prompts, metric)
    for word_list in prompts.word_lists:
        if needed.isdisjoint(word_list.slots):
            continue  # a set of the metric: no word of it is drawn, so it must not move the others
        taken: set[str] = set()
        for slot in word_list.slots:
            values[slot] = _pick(random, word_list.words, taken)
            taken.add(values[slot])
    changed: dict[tuple[str, int], str] = {}
    # Fresh words come last, when everything else that the pair uses is known.
    used = {*values.values(), *(r.literal for r in prompts.rules if r.literal is not None)}
    for rule in sorted(prompts.rules, key=lambda rule: rule.fresh):
        value = _corrupt_word(rule, prompts, values, used, random)
        used.add(value)
        count = template.slots.count(rule.target)
        occurrences = range(1, count + 1) if rule.occurrence is None else (rule.occurrence,)
        changed.update({(rule.target, occurrence): value for occurrence in occurrences})
    clean = _fill(template, values, {})
    if prompts.corrupt_templates:
        own = prompts.corrupt_templates[number % len(prompts.corrupt_templates)]
        corrupt = _counterparts(_fill(own, values, {}), clean)
    else:
        corrupt = _fill(template, values, changed)
    put_in = changed.values()
    sets = {
        name: tuple(dict.fromkeys([*(values[slot] for slot in slots), *put_in]))
        for name, slots in prompts.sets
    }
    return PromptPair(
        number, clean, corrupt, *metric.shown(values, sets), metric.words(values, sets)
    )


def _needed(prompts: Prompts, metric: Metric) -> set[str]:
    """Slots that a word is drawn for: those of texts, of the corruption and of the metric."""
    found = {slot for own in (*prompts.templates, *prompts.corrupt_templates) for slot in own.slots}
    found |= {slot for rule in prompts.rules for slot in (rule.target, rule.slot) if slot}
    found |= {slot for _, slots in prompts.sets for slot in slots}
    found |= {argument for argument in metric.arguments if isinstance(argument, str)}
    return found | {own.limit for own in metric.sets if own.limit}


def _corrupt_word(
    rule: Rule, prompts: Prompts, values: dict[str, str], used: set[str], random: Random
) -> str:
    if rule.fresh:
        return _pick(random, prompts.words_of(rule.target), used)
    return rule.literal if rule.literal is not None else values[rule.slot or rule.target]


def _fill(template: Template, values: dict[str, str], changed: dict[tuple[str, int], str]) -> Text:
    text, places = template.texts[0], []
    counts: dict[str, int] = {}
    for slot, following in zip(template.slots, template.texts[1:], strict=True):
        counts[slot] = counts.get(slot, 0) + 1
        value = changed.get((slot, counts[slot]), values[slot])
        places.append((slot, counts[slot], len(text), len(text) + len(value)))
        text += value + following
    return Text(text, tuple(places))


def _counterparts(corrupt: Text, clean: Text) -> Text:
    """A prompt of a template of its own, its places named as those that they stand opposite to.

    With equally many slots in both, the n-th stands opposite to the n-th. Otherwise only slots that
    stand once in each have a counterpart.
    """
    if len(corrupt.places) == len(clean.places):
        pairs = zip(clean.places, corrupt.places, strict=True)
        return Text(corrupt.text, tuple((*own[:2], *other[2:]) for own, other in pairs))
    slots, others = [p[0] for p in clean.places], [p[0] for p in corrupt.places]
    alone = {slot for slot in slots if slots.count(slot) == others.count(slot) == 1}
    return Text(corrupt.text, tuple(p for p in corrupt.places if p[0] in alone))
