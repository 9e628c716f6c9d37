"""The `metric` line, and what a metric forbids the rest of a file."""

from circuitlang.circuit.bound import Unit
from circuitlang.circuit.claim import CircuitTest
from circuitlang.circuit.metric import (
    ANSWER,
    COMPARISONS,
    JOINED,
    LARGEST,
    METRICS,
    NUMBER,
    Argument,
    FixedWord,
    Largest,
    Metric,
    WordSet,
)
from circuitlang.circuit.prompts import Prompts
from circuitlang.circuit.resolve.limits import MAX_SET_WORDS
from circuitlang.circuit.resolve.quantities import choice
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.circuit.resolve.word_sets import some_set_fails
from circuitlang.source import Span
from circuitlang.syntax import tree as syntax

_OF_LOGITS = "logit_diff"
_EXAMPLES = {0: "", 1: "(IO)", 2: "(IO, S)"}
_SHOWN = 6


def resolve_metric(section: syntax.Section | None, scope: Scope) -> Metric | None:
    """The metric with its arguments, or None with a diagnostic."""
    if not isinstance(section, syntax.MetricSection):
        return None
    if choice(section.name, [*METRICS], scope) is None:
        return None
    name = section.name.text
    lists = _lists(scope.prompts)
    joined = _joined(section, scope)
    if joined is None:
        return None
    of_rows = _sets_of_rows(scope)
    if METRICS[name].arguments == 1 and not section.arguments and ANSWER in {*lists} - of_rows:
        return Metric(name, ANSWER, joined=joined, span=section.span)
    if len(section.arguments) != METRICS[name].arguments:
        if section.arguments or not scope.lacks("prompts"):  # their `answer` may only be unread
            _wrong_count(section, scope)
        return None
    told: set[str] = set()
    found = [_argument(each, section, lists, told, scope) for each in section.arguments]
    if None in found:
        return None
    arguments = [each for each in found if each is not None]
    if some_set_fails(section.arguments, arguments, lists, scope):
        return None
    answer, distractor = (*arguments, None, None)[:2]
    place = section.arguments[-1].span if section.arguments else section.span
    if answer and distractor and not _differ(place, answer, distractor, lists, scope):
        return None
    return Metric(name, answer, distractor, joined, section.span)


def is_joined(section: syntax.Section | None) -> bool:
    """Whether a metric's words are written `without space`."""
    return isinstance(section, syntax.MetricSection) and _words_of(section) == JOINED


def _words_of(section: syntax.MetricSection) -> tuple[str, ...]:
    return tuple(word.text for word in section.spacing)


def _joined(section: syntax.MetricSection, scope: Scope) -> bool | None:
    """Whether `without space` stands there; None where something else does."""
    if not section.spacing:
        return False
    if not is_joined(section):
        shown, hint = " ".join(_words_of(section)), f"`{' '.join(JOINED)}` may stand there"
        scope.error("CL220", section.spacing_span, f"unknown words `{shown}`", hint)
        return None
    if METRICS[section.name.text].arguments:
        return True
    message = f"`{section.name.text}` names no word that could follow without a space"
    scope.error("CL226", section.spacing_span, message, "delete the two words")
    return None


def _sets_of_rows(scope: Scope) -> frozenset[str]:
    """Names that stand for a set of its own in each pair, as columns of lists do."""
    return scope.prompts.set_names if scope.prompts else frozenset()


def _lists(prompts: Prompts | None) -> dict[str, tuple[str, ...]]:
    """The words that each name can have."""
    if prompts is None:
        return {}
    slots = {slot: w.words for w in prompts.word_lists for slot in w.slots}
    return slots | {name: () for name, _ in prompts.sets}


def _wrong_count(section: syntax.MetricSection, scope: Scope) -> None:
    name, wanted = section.name.text, METRICS[section.name.text].arguments
    given = f"{len(section.arguments)} given"
    example = f"write `{name}{_EXAMPLES[wanted]}`"
    if wanted == 0:
        message = f"`{name}` compares whole distributions and names no word"
    elif wanted == 2:
        message = f"`{name}` compares two {'sets' if name == 'prob_diff' else 'slots'}, {given}"
    elif section.arguments:
        message = f"`{name}` is of one word, {given}"
    elif ANSWER in _sets_of_rows(scope):
        message = f"`{name}` is of one word, and `{ANSWER}` is a list in each row"
    else:
        message = f"`{name}` of which word? The prompts have no slot `{ANSWER}`"
    scope.error("CL226", section.span, message, example)


def _argument(
    written: syntax.TokenSet,
    section: syntax.MetricSection,
    lists: dict[str, tuple[str, ...]],
    told: set[str],
    scope: Scope,
) -> Argument | None:
    metric = section.name.text
    if written.choice is not None:
        if choice(written.choice, [LARGEST], scope) is None:
            return None
        if metric != _OF_LOGITS:
            message = f"`{LARGEST}` takes the largest logit of a set, and `{metric}` takes none"
            scope.error("CL226", written.span, message, f"it belongs to `{_OF_LOGITS}`")
            return None
        words = _word_set(written, lists, told, scope)
        return Largest(words) if words else None
    is_list = not written.term.literal and written.term.word.text in _sets_of_rows(scope)
    if written.limit is not None or is_list:
        if metric != "prob_diff":
            message = f"`{metric}` reads single words, and this is a set"
            hint = "sets belong to `prob_diff`"
            if metric == _OF_LOGITS:
                hint = f"write `{LARGEST} {scope.source.slice(written.span)}`, its largest logit"
            scope.error("CL226", written.span, message, hint)
            return None
        return _word_set(written, lists, told, scope)
    word = written.term.word
    if written.term.literal:
        if is_joined(section) and word.text.strip() != word.text:
            message = f"`{' '.join(JOINED)}`, and this word begins or ends with one"
            scope.error("CL333", word.span, message, f'write `"{word.text.strip()}"`')
            return None
        if word.text.strip():
            # Else a word stands after a space, whether or not it is written.
            return FixedWord(word.text.strip())
        scope.error("CL305", word.span, "the word is empty", "write a word between the quotes")
        return None
    return word.text if _has_a_word(word, lists, scope) else None


def _has_a_word(word: syntax.Word, lists: dict[str, tuple[str, ...]], scope: Scope) -> bool:
    """Whether each prompt has a word for a name: a list beside a data file has none."""
    if word.text in _sets_of_rows(scope):
        message = f"`{word.text}` is a list in each row, and no word"
        scope.error("CL301", word.span, message, "name a column that holds a word")
        return False
    data = scope.prompts.data if scope.prompts else None
    if data is not None and word.text in lists and word.text not in dict(data.rows[0].words):
        message = f"`{word.text}` is a list, and no column of the data file"
        scope.error("CL301", word.span, message, f"lists are for sets: `{word.text} != answer`")
        return False
    return _is_slot(word, lists, scope)


def _is_slot(word: syntax.Word, lists: dict[str, tuple[str, ...]], scope: Scope) -> bool:
    """Whether a name has words; without prompts, which are reported elsewhere, it may have."""
    if word.text in lists or scope.prompts is None:
        return True
    if not scope.lacks("prompts"):
        hint = scope.suggest(word.text, lists)
        scope.error("CL301", word.span, f"the prompts have no slot `{word.text}`", hint)
    return False


def _word_set(
    written: syntax.TokenSet,
    lists: dict[str, tuple[str, ...]],
    told: set[str],
    scope: Scope,
) -> WordSet | None:
    """The set; ``told`` holds lists that have been said not to be numbers."""
    known = [_is_slot(written.term.word, lists, scope)]
    if written.limit is not None:
        known.append(_has_a_word(written.limit, lists, scope))
    if not all(known):
        return None
    compared = (written.term.word, written.limit) if written.comparison in COMPARISONS else ()
    for word in filter(None, compared):
        wrong = [each for each in lists.get(word.text, ()) if not NUMBER.fullmatch(each)]
        if wrong and word.text in told:
            return None
        if wrong:
            told.add(word.text)
            shown = ", ".join(f"`{each}`" for each in wrong[:_SHOWN])
            more = f" and {len(wrong) - _SHOWN} more" if wrong[_SHOWN:] else ""
            message = f"`{word.text}` is compared as a whole number, and has {shown}{more}"
            hint = "give it words of digits only, at most 18"
            scope.error("CL330", word.span, message, hint)
            return None
    name = written.term.word.text
    of_rows = name in _sets_of_rows(scope)
    words = () if of_rows else lists.get(name, ())
    if len(words) > MAX_SET_WORDS:
        message = f"`{name}` has more than {MAX_SET_WORDS:,} words, the most that sets are taken of"
        scope.error("CL228", written.term.word.span, message)
        return None
    limit = written.limit.text if written.limit else ""
    return WordSet(name, written.comparison, limit, words, of_rows)


def _differ(
    place: Span,
    answer: Argument,
    distractor: Argument,
    lists: dict[str, tuple[str, ...]],
    scope: Scope,
) -> bool:
    """Whether the two are never the same word, as far as the file alone tells."""
    if answer == distractor:
        if isinstance(answer, str):
            message = "a slot minus itself is always zero"
            hint = "compare the slot of the right answer with that of a wrong one"
        else:
            message, hint = f"`{answer}` minus itself is always zero", "compare it with another"
        scope.error("CL222", place, message, hint)
        return False
    if isinstance(answer, WordSet | Largest) or isinstance(distractor, WordSet | Largest):
        return True  # what fails in some pairs is known pair by pair
    one, other = (_own(each, lists) for each in (answer, distractor))
    shared = min(set(one) & set(other), default=None)
    slots = isinstance(answer, str) and isinstance(distractor, str)
    if slots and shared is not None and scope.prompts is not None:
        shared = scope.prompts.common_word(str(answer), str(distractor))
    if shared is None:
        return True
    message = f"{answer} and {distractor} may both be `{shared}`, and then the metric is zero"
    hint = f"slots on one line get different words: `{answer}, {distractor} from ...`"
    if slots and scope.prompts is not None and scope.prompts.data is not None:
        hint = "give every row two different words"
    elif not slots:
        hint = "compare with a word that the slot cannot have"
    scope.error("CL222", place, message, hint)
    return False


def _own(argument: Argument, lists: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    if isinstance(argument, FixedWord):
        return (argument.text,)
    return lists.get(argument, ()) if isinstance(argument, str) else ()


def refuses_test(test: CircuitTest, unit: Unit, span: Span, scope: Scope) -> bool:
    """Whether a test of the circuit means nothing under the file's metric, with a diagnostic."""
    metric = scope.metric
    if metric is None:
        return False
    if metric.name == "kl" and test in (CircuitTest.EQUIVALENT, CircuitTest.INDEPENDENT):
        why = "`kl` is zero in the clean run on every prompt"
        message = {
            CircuitTest.EQUIVALENT: f"{why}, so the circuit can never score above the model",
            CircuitTest.INDEPENDENT: f"{why}, so nothing can depend on it",
        }[test]
        scope.error("CL222", span, message, "claim `faithfulness`, or use another metric")
        return True
    if test is CircuitTest.MINIMALITY and unit is Unit.FRACTION and not metric.kind.has_zero:
        message = (
            f"a share of F(M) means nothing for `{metric.name}`, which is not above zero there"
        )
        scope.error("CL223", span, message, f"write the bound in {metric.unit}")
        return True
    return False


def refuses_wrong_pairs(span: Span, scope: Scope) -> bool:
    """Whether no pair can be answered wrongly under the file's metric, with a diagnostic."""
    if scope.metric is None or scope.metric.name != "kl":
        return False
    message = f"`{scope.metric}` has no answer, so no pair is wrong"
    scope.error("CL226", span, message, "delete the line")
    return True
