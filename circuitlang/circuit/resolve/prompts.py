"""The `prompts` block: templates, words, the corruption and the sample."""

import re
from collections.abc import Iterable

from circuitlang.circuit.position import END
from circuitlang.circuit.prompts import FRESH, Prompts, Rule, Template, WordList
from circuitlang.circuit.resolve.nodes import split_occurrence
from circuitlang.circuit.resolve.quantities import whole_number
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.circuit.words import BUILTIN_WORDS
from circuitlang.source import Span, did_you_mean
from circuitlang.syntax import tree as syntax

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SLOT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_SAMPLE = 100_000
_MAX_TEMPLATE = 4_000


def resolve_prompts(section: syntax.Section | None, scope: Scope) -> Prompts | None:
    """The prompts, or None when there is no usable template."""
    if not isinstance(section, syntax.PromptsSection):
        return None
    lines = section.lines
    templates = [t for line in lines if isinstance(line, syntax.CleanLine)
                 if (t := _template(line.template, scope))]  # fmt: skip
    if not any(isinstance(line, syntax.CleanLine) for line in lines):
        scope.error("CL120", section.span, "there is no `clean` template")
    word_lists = _word_lists([x for x in lines if isinstance(x, syntax.WordsLine)], scope)
    if not templates:
        return None
    _slots_match(section, templates, word_lists, scope)
    corrupt = [x for x in lines if isinstance(x, syntax.CorruptLine)]
    if not corrupt:
        hint = "say what changes: `corrupt IO = fresh, S1 = fresh, S2 = fresh`"
        scope.error("CL120", section.span, "there is no `corrupt` line", hint)
    for extra in corrupt[1:]:
        scope.error("CL225", extra.span, "`corrupt` stands twice", "put all rules on one line")
    rules = _rules(corrupt[0], templates, word_lists, scope) if corrupt else ()
    _enough_words(section, word_lists, rules, templates, scope)
    sample, seed = _sample([x for x in lines if isinstance(x, syntax.SampleLine)], scope)
    return Prompts(tuple(templates), word_lists, rules, sample, seed)


def _template(word: syntax.Word, scope: Scope) -> Template | None:
    """Texts and slots; `{{` and `}}` stand for braces."""
    text, texts, slots = word.text, [""], []
    if len(text) > _MAX_TEMPLATE:
        scope.error("CL305", word.span, f"a template has at most {_MAX_TEMPLATE:,} characters")
        return None
    end, good = 0, True
    for match in _PART.finditer(text):
        texts[-1] += text[end : match.start()]
        end = match.end()
        slot = match[1]
        if match[0] in ("{{", "}}"):
            texts[-1] += match[0][0]
        elif slot is not None and _SLOT.fullmatch(slot) and slot not in (END, FRESH):
            slots.append(slot)
            texts.append("")
        else:
            span = Span(word.span.start + match.start(), word.span.start + match.end())
            good = False
            if slot in (END, FRESH):
                scope.error("CL208", span, f"`{slot}` has a meaning of its own")
            else:
                hint = "a slot is a name in braces; a brace itself is written twice"
                scope.error("CL305", span, f"`{match[0]}` is not a slot", hint)
    texts[-1] += text[end:]
    if not text.strip():
        scope.error("CL305", word.span, "the template is empty")
        return None
    if text != text.rstrip():
        hint = "the answer brings its own space"
        scope.error("CL305", word.span, "the template ends with a space", hint)
        return None
    return Template(tuple(texts), tuple(slots)) if good else None


def _word_lists(lines: list[syntax.WordsLine], scope: Scope) -> tuple[WordList, ...]:
    lists, defined = [], dict[str, Span]()
    for line in lines:
        words = _words(line, scope)
        slots = []
        for slot in line.slots:
            if slot.text in defined:
                first, _ = scope.source.line_column(defined[slot.text].start)
                message = f"`{slot.text}` has its words already (in line {first})"
                scope.error("CL309", slot.span, message)
            else:
                defined[slot.text] = slot.span
                slots.append(slot.text)
        if slots:
            name = line.list_name.text if line.list_name else None
            lists.append(WordList(tuple(slots), words, name))
    return tuple(lists)


def _words(line: syntax.WordsLine, scope: Scope) -> tuple[str, ...]:
    if line.list_name is not None:
        name = line.list_name.text
        if name not in BUILTIN_WORDS:
            hint = did_you_mean(name, BUILTIN_WORDS)
            scope.error("CL306", line.list_name.span, f"there is no word list `{name}`", hint)
        return BUILTIN_WORDS.get(name, ())
    words: list[str] = []
    for literal in line.literals:
        if not literal.text.strip() or literal.text != literal.text.strip():
            scope.error("CL305", literal.span, "a word neither is empty nor has outer spaces")
        elif literal.text in words:
            scope.error("CL202", literal.span, f"the word `{literal.text}` stands twice")
        else:
            words.append(literal.text)
    return tuple(words)


def _slots_match(
    section: syntax.PromptsSection,
    templates: list[Template],
    word_lists: tuple[WordList, ...],
    scope: Scope,
) -> None:
    filled = {slot for words in word_lists for slot in words.slots}
    used = {slot for template in templates for slot in template.slots}
    for line in section.lines:
        if isinstance(line, syntax.CleanLine):
            for slot in dict.fromkeys(_SLOT.findall(" ".join(re.findall(r"\{([^{}]*)\}",
                                                                        line.template.text)))):  # fmt: skip
                if slot in used and slot not in filled:
                    at = line.template.text.index("{" + slot + "}")
                    start = line.template.span.start + at
                    hint = did_you_mean(slot, filled) or f"add a line `{slot} from names`"
                    span = Span(start, start + len(slot) + 2)
                    scope.error("CL302", span, f"the slot `{slot}` has no words", hint)
        elif isinstance(line, syntax.WordsLine):
            for word in line.slots:
                if word.text not in used:
                    message = f"no template has a slot `{word.text}`"
                    scope.error("CL303", word.span, message, did_you_mean(word.text, used))


def _rules(
    line: syntax.CorruptLine,
    templates: list[Template],
    word_lists: tuple[WordList, ...],
    scope: Scope,
) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    touched: dict[tuple[str, int], syntax.CorruptRule] = {}
    for written in line.rules:
        rule = _rule(written, templates, word_lists, scope)
        if rule is None:
            continue
        most = max(template.slots.count(rule.target) for template in templates)
        places = range(1, most + 1) if rule.occurrence is None else (rule.occurrence,)
        if any((rule.target, place) in touched for place in places):
            scope.error("CL225", written.span, f"`{written.target.text}` is changed twice")
            continue
        touched.update({(rule.target, place): written for place in places})
        rules.append(rule)
    return tuple(rules)


def _rule(
    written: syntax.CorruptRule,
    templates: list[Template],
    word_lists: tuple[WordList, ...],
    scope: Scope,
) -> Rule | None:
    slots = {slot for template in templates for slot in template.slots}
    name, value = written.target.text, written.value.text
    split = split_occurrence(name, slots)
    if split is None or not all(t.slots.count(split[0]) >= (split[1] or 1) for t in templates):
        known = slots | {f"{s}{n}" for t in templates for s in slots
                         for n in range(1, t.slots.count(s) + 1)}  # fmt: skip
        message = f"not every template has a slot `{name}` to corrupt"
        scope.error("CL301", written.target.span, message, did_you_mean(name, known))
        return None
    slot, occurrence = split
    if written.literal:
        if not value.strip() or value != value.strip():
            scope.error("CL305", written.value.span, "a word neither is empty nor has outer spaces")
            return None
        return Rule(slot, occurrence, literal=value)
    if value == FRESH:
        return Rule(slot, occurrence, fresh=True)
    if value not in {s for words in word_lists for s in words.slots}:
        message = f"unknown value `{value}`"
        hint = did_you_mean(value, {*slots, FRESH}) or "a slot, `fresh` or a quoted word"
        scope.error("CL301", written.value.span, message, hint)
        return None
    if value == slot:
        message = f"`{name} = {value}` changes nothing: it is {value} already"
        scope.error("CL308", written.span, message, "name another slot, or `fresh`")
        return None
    return Rule(slot, occurrence, slot=value)


def _enough_words(
    section: syntax.PromptsSection,
    word_lists: tuple[WordList, ...],
    rules: Iterable[Rule],
    templates: list[Template],
    scope: Scope,
) -> None:
    spans = {w.text: x.span for x in section.lines if isinstance(x, syntax.WordsLine)
             for w in x.slots}  # fmt: skip
    rules = tuple(rules)
    for words in word_lists:
        if not words.words:
            continue
        fresh = sum(rule.fresh and rule.target in words.slots for rule in rules)
        # Fresh words avoid every word of the prompt and each other.
        others = [r.literal for r in rules if r.literal in words.words]
        shared = [s for other in word_lists if other is not words and fresh
                  and set(other.words) & set(words.words) for s in other.slots]  # fmt: skip
        needed = len(words.slots) + fresh + len(others) + len(shared)
        if len(words.words) < needed:
            message = f"{len(words.words)} words, but a prompt pair needs {needed} different ones"
            scope.error("CL307", spans[words.slots[0]], message, "give the list more words")


def _sample(lines: list[syntax.SampleLine], scope: Scope) -> tuple[int, int]:
    default = Prompts((), (), ())
    if not lines:
        return default.sample, default.seed
    for extra in lines[1:]:
        scope.error("CL225", extra.span, "`sample` stands twice", "delete one of them")
    number = whole_number(lines[0].count, 2, MAX_SAMPLE, "the sample", scope)
    seed = lines[0].seed
    start = whole_number(seed, 0, 2**32 - 1, "the seed", scope) if seed else None
    return number or default.sample, start or default.seed
