"""The tokens that the metric compares: what each answer word is right after the prompt."""

from collections.abc import Sequence

from circuitlang.circuit import Circuit, PromptPair, WordList
from circuitlang.engine.tokenizer import Tokenizer
from circuitlang.source import Diagnostic

_SHOWN = 6
_GOOD_SHOWN = 40


class Answers:
    """The one token of every answer word after every template, or why there is none.

    The logits at END predict the next token, so a word counts as it would be written there: after a
    space (templates do not end in one).
    """

    def __init__(self, circuit: Circuit, tokenizer: Tokenizer, pairs: Sequence[PromptPair]) -> None:
        self._circuit, self._tokenizer = circuit, tokenizer
        self._tokens: dict[tuple[int, str], int] = {}
        self.problems: list[Diagnostic] = []
        examples = {pair.template: pair.clean.text for pair in reversed(pairs)}
        wanted = {circuit.metric.answer, circuit.metric.distractor}
        for words in circuit.prompts.word_lists:
            if wanted & {*words.slots}:
                self._check(words, dict(sorted(examples.items())))

    def token(self, template: int, word: str) -> int | None:
        """Token id of a word after a template; None when it is not one token."""
        return self._tokens.get((template, word))

    def _check(self, words: WordList, examples: dict[int, str]) -> None:
        """One complaint a word list and kind, about the first template where it holds."""
        unknown_id, told = self._tokenizer.unknown_id, False
        for template, text in examples.items():
            after = {word: self._after(text, word) for word in words.words}
            self._tokens |= {(template, w): ids[0] for w, ids in after.items() if len(ids) == 1}
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
                self.problems.append(self._not_one_token(words, template, split))

    def _after(self, text: str, word: str) -> list[int]:
        """Tokens that a word adds to a prompt; none when it changes the prompt's own tokens."""
        before, _ = self._tokenizer.encode(text)
        after, _ = self._tokenizer.encode(f"{text} {word}")
        return after[len(before) :] if after[: len(before)] == before else []

    def _not_one_token(
        self, words: WordList, template: int, split: dict[str, list[int]]
    ) -> Diagnostic:
        templates = self._circuit.prompts.templates
        where = f" after template {template + 1}" if templates[1:] else ""
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


def some(words: Sequence[str]) -> str:
    """The first few words and how many more there are, with their verb."""
    shown = ", ".join(f"`{word}`" for word in words[:_SHOWN])
    more = f" and {len(words) - _SHOWN} more" if words[_SHOWN:] else ""
    return shown + more + (" is" if len(words) == 1 else " are")
