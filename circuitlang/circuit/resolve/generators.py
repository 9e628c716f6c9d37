"""`repeated_tokens(length = 50, repeats = 2)` and `docstrings()`: prompts that a program makes."""

from circuitlang.circuit.docstrings import (
    CORRUPTIONS,
    docstring_rules,
    docstring_sets,
    docstring_template,
    docstring_words,
)
from circuitlang.circuit.prompts import (
    ANSWER,
    DEFAULT_SAMPLE,
    DISTRACTOR,
    Prompts,
    RepeatedTokens,
    Template,
    WordList,
)
from circuitlang.circuit.repetition import CHANGES, CURRENT, NEXT, draws_of
from circuitlang.circuit.resolve.limits import MAX_DRAWS, MAX_REPEATED
from circuitlang.circuit.resolve.places import Places
from circuitlang.circuit.resolve.quantities import whole_number
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.source import Span
from circuitlang.syntax import tree as syntax

REPEATED_TOKENS, DOCSTRINGS = "repeated_tokens", "docstrings"
_ARGUMENTS = {
    REPEATED_TOKENS: ("length", "repeats", "end", "change", "before"),
    DOCSTRINGS: ("corruption", "before"),
}
_LEFT_OUT = {
    "greater_than": 'write templates: `clean "The {NOUN} lasted from the year {XX}{YY} ..."`',
    "ioi": 'write templates: `clean "When {IO} and {S} went to the {PLACE}, ..."`',
}


def resolve_generator(
    line: syntax.GeneratorLine, sample: tuple[int | None, int], scope: Scope
) -> Prompts | None:
    """The prompts of a generator; None where it or an argument of it is not known."""
    name = line.name.text
    if name not in _ARGUMENTS:
        hint = _LEFT_OUT.get(name) or scope.suggest(name, _ARGUMENTS)
        scope.error("CL324", line.name.span, f"there is no generator `{name}`", hint)
        return None
    given = _arguments(line, scope)
    if given is None:
        return None
    make = _of_repeated_tokens if name == REPEATED_TOKENS else _of_docstrings
    prompts = make(line, given, sample, scope)
    if prompts is not None:
        scope.places = Places(prompts.templates)
    return prompts


def _of_docstrings(
    line: syntax.GeneratorLine,
    given: dict[str, syntax.Argument],
    sample: tuple[int | None, int],
    scope: Scope,
) -> Prompts | None:
    corruption = _word(given.get("corruption"), tuple(CORRUPTIONS), scope)
    before = _before(given.get("before"), scope)
    if corruption is None or before is None:
        return None
    return Prompts(
        (docstring_template(before, _label(line, scope), line.span),),
        docstring_words(line.span),
        docstring_rules(corruption, line.span),
        sample[0] or DEFAULT_SAMPLE,
        sample[1],
        sets=docstring_sets(),
    )


def _label(line: syntax.GeneratorLine, scope: Scope) -> str:
    return " ".join(scope.source.slice(line.span).split())


def _of_repeated_tokens(
    line: syntax.GeneratorLine,
    given: dict[str, syntax.Argument],
    sample: tuple[int | None, int],
    scope: Scope,
) -> Prompts | None:
    generator = _repeated_tokens(line, given, scope)
    if generator is None:
        return None
    count = sample[0] or DEFAULT_SAMPLE
    if count * draws_of(generator) > MAX_DRAWS:
        message = f"{count:,} prompts of {draws_of(generator):,} random tokens are too many"
        hint = f"all prompts together have at most {MAX_DRAWS:,} random tokens"
        scope.error("CL228", line.span, message, hint)
        return None
    earlier = generator.repeats - 1
    slots = (*((CURRENT, NEXT) * earlier), CURRENT)
    template = Template(("",) * (len(slots) + 1), slots, line.span, label=_label(line, scope))
    words = tuple(WordList((name,), (), None, line.span) for name in (ANSWER, DISTRACTOR))
    return Prompts((template,), words, (), count, sample[1], generator=generator)


def _repeated_tokens(
    line: syntax.GeneratorLine, given: dict[str, syntax.Argument], scope: Scope
) -> RepeatedTokens | None:
    length = _number(given, "length", 50, (2, MAX_REPEATED), scope)
    if length is None:
        return None
    repeats = _number(given, "repeats", 2, (2, max(2, MAX_REPEATED // length)), scope)
    end = _number(given, "end", length - 1, (1, length - 1), scope)
    change = _word(given.get("change"), CHANGES, scope)
    before = _before(given.get("before"), scope)
    if repeats is None or end is None or change is None or before is None:
        return None
    if length * repeats > MAX_REPEATED:
        message = f"{repeats} copies of {length:,} tokens are more than {MAX_REPEATED:,}"
        scope.error("CL228", line.span, message)
        return None
    return RepeatedTokens(length, repeats, end, change, before)


def _arguments(line: syntax.GeneratorLine, scope: Scope) -> dict[str, syntax.Argument] | None:
    given: dict[str, syntax.Argument] = {}
    good, known = True, _ARGUMENTS[line.name.text]
    for argument in line.arguments:
        name = argument.name.text
        if name not in known:
            hint = scope.suggest(name, known)
            message = f"`{line.name.text}` takes no `{name}`"
            scope.error("CL324", argument.name.span, message, hint)
            good = False
        elif name in given:
            scope.error("CL225", argument.span, f"`{name}` stands twice", "delete one of them")
            good = False
        else:
            given[name] = argument
    return given if good else None


def _number(
    given: dict[str, syntax.Argument],
    name: str,
    default: int,
    limits: tuple[int, int],
    scope: Scope,
) -> int | None:
    if name not in given:
        return default
    value = given[name].value
    if isinstance(value, syntax.Quantity):
        return whole_number(value, *limits, f"`{name}`", scope)
    message = f"`{name}` is a whole number from {limits[0]:,} to {limits[1]:,}"
    scope.error("CL224", given[name].span, message)
    return None


def _word(argument: syntax.Argument | None, known: tuple[str, ...], scope: Scope) -> str | None:
    """One of some words, the first of which holds where nothing is written."""
    if argument is None:
        return known[0]
    value = argument.value
    if isinstance(value, syntax.Term) and not value.literal and value.word.text in known:
        return value.word.text
    span: Span = value.word.span if isinstance(value, syntax.Term) else value.span
    shown = value.word.text if isinstance(value, syntax.Term) else value.text
    shown_words = [f"`{each}`" for each in known]
    hint = (
        f"{', '.join(shown_words[:-1])} or {shown_words[-1]}: what the corrupt prompt has otherwise"
    )
    scope.error("CL220", span, f"unknown word `{shown}`", hint)
    return None


def _before(argument: syntax.Argument | None, scope: Scope) -> str | None:
    if argument is None:
        return ""
    value = argument.value
    if isinstance(value, syntax.Term) and value.literal and value.word.text:
        return value.word.text
    message = "`before` is a quoted text that begins every prompt"
    scope.error("CL324", argument.span, message, 'such as `before = "<|endoftext|>"`')
    return None
