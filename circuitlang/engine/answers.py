"""The tokens that the metric reads: what each of its words is right after the prompt."""

from collections.abc import Iterator, Mapping, Sequence

from circuitlang.circuit import (
    Circuit,
    FixedWord,
    Largest,
    PromptPair,
    WordList,
    WordSet,
    template_in_words,
)
from circuitlang.engine.target import Target
from circuitlang.engine.tokenizer import Tokenizer
from circuitlang.evidence import Misalignment
from circuitlang.source import Diagnostic

_After = tuple[int, bool]
"""A template, and whether its prompt ends in a digit: rows of a file need not be alike in it."""
_SHOWN = 6
_GOOD_SHOWN = 40


class Answers:
    """The one token of every word of the metric after every template, or why there is none.

    The logits at END predict the next token, so a word counts as it would be written there: after a
    space (templates do not end in one). A number after a digit goes on with it, as `32` does in
    `from 1732 to 17`, and every word does where the metric says so.
    """

    def __init__(self, circuit: Circuit, tokenizer: Tokenizer, pairs: Sequence[PromptPair]) -> None:
        self._circuit, self._tokenizer = circuit, tokenizer
        self._tokens: dict[tuple[_After, str], int] = {}
        self._sets: dict[tuple[_After, tuple[str, ...]], tuple[int, ...] | None] = {}
        self.problems: list[Diagnostic] = []
        self._empty: dict[str, list[int]] = {}
        self._shared: dict[str, list[int]] = {}
        examples = {_place(pair): pair.clean.text for pair in reversed(pairs)}
        for words in self._lists(pairs):
            self._check(words, dict(sorted(examples.items())))

    def target(
        self, number: int, pair: PromptPair, drawn: Mapping[str, int] | None = None
    ) -> Target | Misalignment:
        """What the metric reads after a pair, or why it cannot; ``number`` counts from 1.

        ``drawn`` holds tokens that some of its words stand for already.
        """
        found: list[tuple[int, ...]] = []
        for argument, words in zip(self._circuit.metric.arguments, pair.words, strict=True):
            tokens = self._set(_place(pair), words)
            if drawn is not None and words[:1] and words[0] in drawn:
                tokens = (drawn[words[0]],)
            if tokens is None:
                return Misalignment.ANSWER
            if not tokens:
                shown = pair.answer if not found else pair.distractor
                which = "" if shown == str(argument) else f": `{shown}`"
                self._empty.setdefault(f"`{argument}` is empty{which}", []).append(number)
                return Misalignment.SET
            found.append(tokens)
        # An unknown word is told of already.
        shared = {*found[0]} & {*found[-1]} - {self._tokenizer.unknown_id} if found[1:] else set()
        if shared:
            word = self._tokenizer.show(min(shared)).strip()
            one, other = self._circuit.metric.arguments
            message = f"`{one}` and `{other}` have `{word}` in common"
            self._shared.setdefault(message, []).append(number)
            return Misalignment.SET
        return Target(self._circuit.metric.name, tuple(found))

    def problems_of_sets(self) -> Iterator[Diagnostic]:
        """Sets that are empty or share a word; complete only after the last pair."""
        span = self._circuit.metric.span
        hints = {
            "CL331": "take the word out of the slot's list, or give the set more words",
            "CL332": "compare sets without a common word",
        }
        if any(each.of_rows for each in self._circuit.metric.sets):
            hints["CL331"] = "give the list of each row a word"
        for code, found in (("CL331", self._empty), ("CL332", self._shared)):
            pairs = sorted({number for numbers in found.values() for number in numbers})
            if pairs:
                count = "1 pair" if len(pairs) == 1 else f"{len(pairs)} pairs"
                message = f"{next(iter(found))}, in {count} (the first is pair {pairs[0]})"
                yield Diagnostic(code, span, message, hints[code])

    def _lists(self, pairs: Sequence[PromptPair]) -> Iterator[WordList]:
        """The words of each argument and where they come from, each source once."""
        metric, seen = self._circuit.metric, set[WordList]()
        lists = {slot: words for words in self._circuit.prompts.word_lists for slot in words.slots}
        for index, argument in enumerate(metric.arguments):
            if isinstance(argument, FixedWord):
                words = WordList((), (argument.text,), span=metric.span)
            else:
                words_of = argument.words if isinstance(argument, Largest) else argument
                name = words_of.name if isinstance(words_of, WordSet) else words_of
                drawn = (word for pair in pairs for word in pair.words[index])
                own = WordList((), tuple(dict.fromkeys(drawn)), span=metric.span)
                words = lists.get(name, own)
            if words not in seen:
                seen.add(words)
                yield words

    def _set(self, place: _After, words: tuple[str, ...]) -> tuple[int, ...] | None:
        """The tokens of words, None where one of them is not one token."""
        key = place, words
        if key not in self._sets:
            ids = [self._tokens.get((place, word)) for word in words]
            known = tuple(token for token in ids if token is not None)
            self._sets[key] = known if len(known) == len(ids) else None
        return self._sets[key]

    def _check(self, words: WordList, examples: dict[_After, str]) -> None:
        """One complaint a word list and kind, about the first template where it holds."""
        unknown_id, told = self._tokenizer.unknown_id, False
        for place, text in examples.items():
            after = {word: self._after(text, word) for word in words.words}
            self._tokens |= {(place, w): ids[0] for w, ids in after.items() if len(ids) == 1}
            unknown = [
                w for w, ids in after.items() if unknown_id is not None and unknown_id in ids
            ]
            split = {w: ids for w, ids in after.items() if len(ids) != 1 and w not in unknown}
            if told:
                continue
            told = bool(unknown or split)
            if unknown:
                message = f"{some(unknown)} unknown to this tokenizer"
                hint = "use words that the model knows"
                self.problems.append(Diagnostic("CL315", words.span, message, hint))
            if split:
                self.problems.append(self._not_one_token(words, place[0], split))

    def _after(self, text: str, word: str) -> list[int]:
        """Tokens that a word adds to a prompt; none when it changes the prompt's own tokens.

        The model reads the prompt's tokens as they are. So what goes on with them is the word's own
        token, also where the tokenizer would write the two together (`(CE` and `O`).
        """
        joined = self._circuit.metric.joined
        goes_on = joined or (_is_digit(text[-1:]) and _is_digit(word[:1]))
        if joined and (own := self._alone(word)):
            return own
        before, _ = self._tokenizer.encode(text)
        after, _ = self._tokenizer.encode(f"{text}{word}" if goes_on else f"{text} {word}")
        if after[: len(before)] == before:
            return after[len(before) :]
        return self._alone(word) if goes_on else []

    def _alone(self, word: str) -> list[int]:
        """A word's own token, also where prompt and word together are one (` 1776`).

        A prompt that ends in ` 17` can still go on with `76`, as all others of its list do.
        """
        ids, _ = self._tokenizer.encode(word)
        return ids if len(ids) == 1 and self._tokenizer.show(ids[0]) == word else []

    def _not_one_token(
        self, words: WordList, template: int, split: dict[str, list[int]]
    ) -> Diagnostic:
        templates = self._circuit.prompts.templates
        where = f" after {template_in_words(templates, template + 1)}" if templates[1:] else ""
        count = f"{len(split)} of {len(words.words)} words are not one token{where}"
        pieces = [self._pieces(word, ids) for word, ids in split.items()]
        more = f" and {len(pieces) - _SHOWN} more" if pieces[_SHOWN:] else ""
        good = [f'"{word}"' for word in words.words if word not in split][:_GOOD_SHOWN]
        hint = "one-token words of the list: " + ", ".join(good) if good else ""
        message = f"{count}: {', '.join(pieces[:_SHOWN])}{more}"
        return Diagnostic("CL311", words.span, message, hint)

    def _pieces(self, word: str, ids: Sequence[int]) -> str:
        shown = "".join(f"[{self._tokenizer.show(i)}]" for i in ids[:_SHOWN])
        shown += "..." if ids[_SHOWN:] else ""
        return f"`{word}` = {shown or 'no token of its own'}"


def _place(pair: PromptPair) -> _After:
    return pair.template, _is_digit(pair.clean.text[-1:])


def _is_digit(character: str) -> bool:
    return character.isascii() and character.isdigit()


def some(words: Sequence[str]) -> str:
    """The first few words and how many more there are, with their verb."""
    shown = ", ".join(f"`{word}`" for word in words[:_SHOWN])
    more = f" and {len(words) - _SHOWN} more" if words[_SHOWN:] else ""
    return shown + more + (" is" if len(words) == 1 else " are")
