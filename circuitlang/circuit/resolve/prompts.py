"""The `prompts` block: where the prompt pairs come from, and how many are drawn."""

from collections.abc import Sequence
from typing import TypeVar

from circuitlang.circuit.prompts import DEFAULT_SAMPLE, Prompts, Template, WordList
from circuitlang.circuit.resolve.corruption import (
    check_enough_words,
    one_kind_of_corruption,
    resolve_corrupt_templates,
    resolve_rules,
)
from circuitlang.circuit.resolve.data_file import resolve_data
from circuitlang.circuit.resolve.generators import resolve_generator
from circuitlang.circuit.resolve.limits import (
    MAX_RULES,
    MAX_SAMPLE,
    MAX_TEMPLATES,
    MAX_WORD_LISTS,
)
from circuitlang.circuit.resolve.places import Places
from circuitlang.circuit.resolve.quantities import whole_number
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.circuit.resolve.templates import resolve_template
from circuitlang.circuit.resolve.wordlists import resolve_word_lists
from circuitlang.source import Span, closest
from circuitlang.syntax import tree as syntax

T = TypeVar("T")


def resolve_prompts(section: syntax.Section | None, scope: Scope) -> Prompts | None:
    """The prompts, or None when nothing usable says where they come from."""
    if not isinstance(section, syntax.PromptsSection):
        return None
    files, generators = _of(syntax.FileLine, section), _of(syntax.GeneratorLine, section)
    if files or generators:
        return _made_elsewhere(section, files, generators, scope)
    prompts = _from_templates(section, scope)
    if prompts is not None:
        scope.places = Places(prompts.templates)
    return prompts


def _of(kind: type[T], section: syntax.PromptsSection) -> list[T]:
    return [line for line in section.lines if isinstance(line, kind)]


def _made_elsewhere(
    section: syntax.PromptsSection,
    files: Sequence[syntax.FileLine],
    generators: Sequence[syntax.GeneratorLine],
    scope: Scope,
) -> Prompts | None:
    """Prompts of a file or of a generator, which stand alone but for `sample`.

    Beside a file there may be lists of words for the sets of the metric.
    """
    what = "a data file" if files else "a generator"
    sources: list[syntax.FileLine | syntax.GeneratorLine] = [*files, *generators]
    first = min(sources, key=lambda line: line.span.start)
    beside = (syntax.SampleLine, syntax.WordsLine) if files else (syntax.SampleLine,)
    for line in section.lines:
        if line is not first and not isinstance(line, beside):
            message = f"the prompts come from {what} alone, with nothing but `sample` beside it"
            scope.error("CL225", line.span, message, "delete one of the two")
            scope.broken.add("prompts")
            break
    sample = _sample(_of(syntax.SampleLine, section), scope)
    if isinstance(first, syntax.FileLine):
        # Beside templates it is not known what lists are for.
        lists = () if scope.lacks("prompts") else _lists_for_sets(section, scope)
        prompts = resolve_data(first, sample, lists, scope)
    else:
        prompts = resolve_generator(first, sample, scope)
    if prompts is None:
        scope.broken.add("prompts")
    return prompts


def _lists_for_sets(section: syntax.PromptsSection, scope: Scope) -> tuple[WordList, ...]:
    """Lists that no slot is filled from, which only the metric can speak of."""
    lines = _at_most(MAX_WORD_LISTS, _of(syntax.WordsLine, section), "word lists", scope)
    for word in (word for line in lines for word in line.slots):
        if word.text not in scope.metric_names:
            hint = scope.suggest(word.text, scope.metric_names)
            scope.error("CL303", word.span, f"the metric does not name `{word.text}`", hint)
    return resolve_word_lists(lines, scope)


def _from_templates(section: syntax.PromptsSection, scope: Scope) -> Prompts | None:
    clean = _of(syntax.CleanLine, section)
    seen: dict[str, Span] = {}
    templates = _templates(_at_most(MAX_TEMPLATES, clean, "templates", scope), seen, scope)
    if not clean and not scope.lacks("prompts"):
        hint = 'write one: `clean "When {IO} and {S} went home, {S} thanked"`'
        scope.error("CL120", _keyword(section), "the prompts have no `clean` template", hint)
    words = _of(syntax.WordsLine, section)
    word_lists = resolve_word_lists(_at_most(MAX_WORD_LISTS, words, "word lists", scope), scope)
    sample = _sample(_of(syntax.SampleLine, section), scope)
    corrupt = _of(syntax.CorruptLine, section)
    if not corrupt and not scope.lacks("prompts"):
        hint = "say what changes: `corrupt IO = fresh, S1 = fresh, S2 = fresh`"
        scope.error("CL120", _keyword(section), "the prompts have no `corrupt` line", hint)
    if not one_kind_of_corruption(corrupt, scope):
        scope.broken.add("prompts")
    if not templates:
        return None
    few = _at_most(MAX_TEMPLATES, corrupt, "corrupt templates", scope)
    own = resolve_corrupt_templates(few, templates, len(clean), seen, scope)
    _slots_have_words(words, seen, word_lists, scope)
    written = next((line.rules for line in corrupt if line.rules), ())
    few_rules = _at_most(MAX_RULES, written, "rules", scope)
    rules = resolve_rules(few_rules, Places(templates), word_lists, scope)
    check_enough_words(word_lists, rules, scope)
    number, seed = sample
    return Prompts(tuple(templates), word_lists, rules, number or DEFAULT_SAMPLE, seed, own)


def _keyword(section: syntax.PromptsSection) -> Span:
    return Span(section.span.start, section.span.start + len("prompts"))


S = TypeVar("S", syntax.CleanLine, syntax.WordsLine, syntax.CorruptLine, syntax.CorruptRule)


def _at_most(most: int, items: Sequence[S], what: str, scope: Scope) -> Sequence[S]:
    if len(items) > most:
        scope.error("CL228", items[most].span, f"more than {most} {what}, the most a file may have")
    return items[:most]


def _templates(
    lines: Sequence[syntax.CleanLine], seen: dict[str, Span], scope: Scope
) -> list[Template]:
    templates: dict[str, Template] = {}
    for line in lines:
        template = resolve_template(line.template, seen, scope)
        if template is None:
            # Its slots and positions are not unknown, they are unread.
            scope.broken.add("prompts")
        elif str(template) in templates:
            first = scope.line_of(templates[str(template)].span)
            message = f"this template stands twice (first in line {first})"
            scope.error("CL202", line.template.span, message, "delete one of them")
        else:
            templates[str(template)] = template
    return list(templates.values())


def _slots_have_words(
    lines: Sequence[syntax.WordsLine],
    seen: dict[str, Span],
    word_lists: tuple[WordList, ...],
    scope: Scope,
) -> None:
    """Every slot has words, every word list has a slot; a misspelling is reported once."""
    if scope.lacks("prompts"):
        return
    filled = {slot for words in word_lists for slot in words.slots}
    unfilled = [slot for slot in seen if slot not in filled]
    unused = {w.text: w for line in lines for w in line.slots if _is_unused(w, seen, scope)}
    for slot in unfilled:
        meant = closest(slot, unused) or _same_but_for_case(slot, filled)
        hint = f"did you mean `{meant}`?" if meant else f"add a line such as `{slot} from names`"
        if not meant and (meant := slot.rstrip("0123456789")) in filled:
            hint = f"places are not numbered in a template: write `{{{meant}}}`"
        scope.error("CL302", seen[slot], f"the slot `{slot}` has no words", hint)
        unused.pop(meant or "", None)
        if meant in {*filled, *unused}:
            # What is then missing at its places has been reported with it.
            scope.broken.add("prompts")
    for slot, word in unused.items():
        hint = scope.suggest(slot, seen)
        scope.error("CL303", word.span, f"no template has a slot `{slot}`", hint)


def _same_but_for_case(slot: str, filled: set[str]) -> str | None:
    return next((known for known in sorted(filled) if known.lower() == slot.lower()), None)


def _is_unused(word: syntax.Word, seen: dict[str, Span], scope: Scope) -> bool:
    """Whether words are for nothing: no template has the slot, and the metric does not name it."""
    return word.text not in seen and word.text not in scope.metric_names


def _sample(lines: list[syntax.SampleLine], scope: Scope) -> tuple[int | None, int]:
    """Number of pairs, None where the file does not say, and seed."""
    if not lines:
        return None, 0
    for extra in lines[1:]:
        scope.error("CL225", extra.span, "`sample` stands twice", "delete one of them")
    number = whole_number(lines[0].count, 1, MAX_SAMPLE, "the sample", scope)
    seed = lines[0].seed
    start = whole_number(seed, 0, 2**32 - 1, "the seed", scope) if seed else None
    return number, start or 0
