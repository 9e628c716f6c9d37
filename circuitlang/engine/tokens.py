"""From prompt pairs to token ids and positions, with every data mistake named. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass

from circuitlang.circuit import (
    END,
    Ablation,
    AblationClaim,
    Circuit,
    EdgeClaim,
    Position,
    PromptPair,
    expand,
)
from circuitlang.circuit.expansion import Text
from circuitlang.engine.answers import Answers, some
from circuitlang.engine.tokenizer import FastTokenizer, Tokenizer
from circuitlang.source import Diagnostic, Span

__all__ = [
    "FastTokenizer",
    "TokenizedPair",
    "Tokenizer",
    "named_positions",
    "token_index",
    "tokenize",
]

Ranges = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """One prompt pair in tokens.

    ``positions`` gives the token index of every position that the file names; it is the same in
    both worlds. ``answer`` and ``distractor`` are the token ids that the metric compares.
    """

    template: int
    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    answer: int
    distractor: int
    positions: dict[Position, int]
    slots: tuple[int, ...]
    shown: tuple[str, ...]

    @property
    def layout(self) -> tuple[int, ...]:
        """Length and position indices: prompts of equal layout can be averaged by position."""
        return len(self.clean), *self.positions.values(), *self.slots


def tokenize(
    circuit: Circuit, tokenizer: Tokenizer
) -> tuple[tuple[PromptPair, ...], tuple[TokenizedPair, ...], tuple[Diagnostic, ...]]:
    """Prompt pairs, their tokens, and every reason why they cannot be used (then no tokens)."""
    pairs = expand(circuit.prompts, circuit.metric)
    work = _Tokenization(circuit, tokenizer, pairs)
    tokenized = [t for pair in pairs if (t := work.tokenize(pair)) is not None]
    if _uses_means(circuit) and not work.found:
        work.check_layouts(pairs, tokenized)
    found = work.diagnostics()
    return pairs, (() if found else tuple(tokenized)), found


def named_positions(circuit: Circuit) -> tuple[Position, ...]:
    """Every position that some edge, claim or node speaks of, END left out."""
    named: list[Position] = []
    for claim in circuit.all_claims:
        if isinstance(claim, EdgeClaim | AblationClaim):
            named.extend(claim.positions)
    for role in circuit.roles:
        named.extend(role.positions)
    return tuple(p for p in dict.fromkeys(named) if p != Position(END))


def _uses_means(circuit: Circuit) -> bool:
    return any(claim.reference is Ablation.MEAN for claim in circuit.claims)


class _Tokenization:
    """Tokenises pair by pair and keeps one diagnostic for each kind and place."""

    def __init__(self, circuit: Circuit, tokenizer: Tokenizer, pairs: Sequence[PromptPair]) -> None:
        self.circuit, self.tokenizer = circuit, tokenizer
        self.positions = named_positions(circuit)
        self.found: dict[tuple[str, object], Diagnostic] = {}
        self.unequal: dict[int, list[PromptPair]] = {}
        self.unknown: dict[Span, dict[str, None]] = {}
        self.answers = Answers(circuit, tokenizer, pairs)
        for diagnostic in self.answers.problems:
            self.found[diagnostic.code, diagnostic.span] = diagnostic

    def report(self, key: object, code: str, span: Span, message: str, hint: str = "") -> None:
        self.found.setdefault((code, key), Diagnostic(code, span, message, hint))

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything that was found, complete only after the last pair."""
        for span, words in self.unknown.items():
            message = f"{some([*words])} unknown to this tokenizer"
            self.report(span, "CL315", span, message, "use words that the model knows")
        for template, pairs in self.unequal.items():
            span = self.circuit.prompts.templates[template].span
            self.report(template, "CL310", span, *self._unequal_lengths(pairs))
        return tuple(self.found.values())

    def tokenize(self, pair: PromptPair) -> TokenizedPair | None:
        clean, clean_ranges = self.tokenizer.encode(pair.clean.text)
        corrupt, corrupt_ranges = self.tokenizer.encode(pair.corrupt.text)
        self._note_unknown(clean, clean_ranges, pair.clean, pair.template)
        self._note_unknown(corrupt, corrupt_ranges, pair.corrupt, pair.template)
        if len(clean) != len(corrupt):
            self.unequal.setdefault(pair.template, []).append(pair)
            return None
        places = self._places(pair, clean_ranges, corrupt_ranges)
        slots = self._slots(pair, clean_ranges, corrupt_ranges)
        answer = self.answers.token(pair.template, pair.answer)
        distractor = self.answers.token(pair.template, pair.distractor)
        if answer is None or distractor is None or self.found or self.unknown:
            return None
        shown = tuple(self.tokenizer.show(token) for token in clean)
        return TokenizedPair(
            pair.template, tuple(clean), tuple(corrupt), answer, distractor, places, slots, shown
        )

    def _slots(self, pair: PromptPair, clean: Ranges, corrupt: Ranges) -> tuple[int, ...]:
        """First and last token of every slot, which must be the same in both worlds.

        A word that is longer in one prompt and made up for by a shorter one elsewhere would leave
        the lengths equal and every token between them beside its counterpart.
        """
        found: list[int] = []
        for place, other in zip(pair.clean.places, pair.corrupt.places, strict=True):
            tokens = _tokens_between(*place[2:], clean)
            others = _tokens_between(*other[2:], corrupt)
            found += (tokens[0], tokens[-1]) if tokens else (-1, -1)
            if (tokens[:1], tokens[-1:]) != (others[:1], others[-1:]) and not self.found:
                message = (
                    f"{_words(pair.clean, place)} and {_words(pair.corrupt, other)} do not stand "
                    f"on the same tokens of `{pair.clean.text}` and `{pair.corrupt.text}`"
                )
                hint = "give the slots words of equal token counts"
                span = self.circuit.prompts.templates[pair.template].span
                self.report((pair.template, "slots"), "CL314", span, message, hint)
        return tuple(found)

    def _places(self, pair: PromptPair, clean: Ranges, corrupt: Ranges) -> dict[Position, int]:
        """Token index of every named position, which must lie inside and be the same twice."""
        span = self.circuit.prompts.templates[pair.template].span
        found: dict[Position, int] = {}
        for position in self.positions:
            one, other = (
                token_index(position, pair.clean, clean),
                token_index(position, pair.corrupt, corrupt),
            )
            key = pair.template, position
            if not (0 <= one < len(clean) and 0 <= other < len(corrupt)):
                message = f"`{position}` falls outside the prompt `{pair.clean.text}`"
                self.report(key, "CL313", span, message)
            elif one != other:
                message = (
                    f"`{position}` is token {one + 1} of `{pair.clean.text}` but token "
                    f"{other + 1} of `{pair.corrupt.text}`"
                )
                hint = "give the slots before it words of equal token counts"
                self.report(key, "CL314", span, message, hint)
            found[position] = one
        return found

    def _note_unknown(self, ids: Sequence[int], ranges: Ranges, text: Text, template: int) -> None:
        """Unknown words, each at the word list that it is from, else at its template."""
        if self.tokenizer.unknown_id not in ids:
            return
        for token, (start, end) in zip(ids, ranges, strict=True):
            if token == self.tokenizer.unknown_id:
                slots = [slot for slot, _, a, b in text.places if a < end and b > start]
                span = self._source_of(slots, template)
                self.unknown.setdefault(span, {})[text.text[start:end].strip()] = None

    def _source_of(self, slots: Sequence[str], template: int) -> Span:
        prompts = self.circuit.prompts
        for words in prompts.word_lists:
            if set(slots) & {*words.slots}:
                return words.span
        return prompts.templates[template].span

    def _unequal_lengths(self, pairs: Sequence[PromptPair]) -> tuple[str, str]:
        """Message and hint for prompt pairs of one template."""
        pair = pairs[0]
        clean, clean_ranges = self.tokenizer.encode(pair.clean.text)
        corrupt, corrupt_ranges = self.tokenizer.encode(pair.corrupt.text)
        message = (
            f"clean and corrupt prompts have {len(clean)} and {len(corrupt)} tokens: "
            f"`{pair.clean.text}` and `{pair.corrupt.text}`"
        )
        if pairs[1:]:
            message += f", and {len(pairs) - 1} more pairs of this template"
        places = zip(pair.clean.places, pair.corrupt.places, strict=True)
        counts = [
            f"{_words(pair.clean, one)} and {_words(pair.corrupt, other)} have "
            f"{_count(pair.clean, one, clean_ranges)} and "
            f"{_count(pair.corrupt, other, corrupt_ranges)}"
            for one, other in places
            if _count(pair.clean, one, clean_ranges) != _count(pair.corrupt, other, corrupt_ranges)
        ]
        hint = "give the slots words of equal token counts"
        if counts:
            hint += f"; here {counts[0]}"
        if self.circuit.prompts.templates[pair.template].texts[0] == "":
            hint += (
                "; a word that begins the prompt has no space before it, which changes its count"
            )
        return message, hint

    def check_layouts(self, pairs: Sequence[PromptPair], tokens: Sequence[TokenizedPair]) -> None:
        """A mean by position needs prompts whose positions fall on the same tokens."""
        per_template = self.circuit.settings.per_template
        first: dict[int, tuple[PromptPair, TokenizedPair]] = {}
        for pair, tokenized in zip(pairs, tokens, strict=True):
            key = pair.template if per_template else 0
            earlier, expected = first.setdefault(key, (pair, tokenized))
            if expected.layout == tokenized.layout:
                continue
            group = f"template {pair.template + 1}" if per_template else "the file"
            message = (
                f"prompts of {group} do not align, so no mean by position exists: "
                f"`{earlier.clean.text}` and `{pair.clean.text}`"
            )
            hint = "give each slot words of one token count" + (
                "" if per_template else ", or write `ablation mean per template`"
            )
            span = self.circuit.prompts.templates[pair.template].span
            self.report(key, "CL312", span, message, hint)


Place = tuple[str, int, int, int]


def _tokens_between(start: int, end: int, ranges: Ranges) -> list[int]:
    """Indices of the tokens that touch a range of characters."""
    return [i for i, (a, b) in enumerate(ranges) if a < end and b > start]


def _words(text: Text, place: Place) -> str:
    return f"`{text.text[place[2] : place[3]]}`"


def _count(text: Text, place: Place, ranges: Ranges) -> int:
    """Tokens of a slot's characters and of the space before them."""
    _, _, start, end = place
    start -= text.text[start - 1 : start] == " "
    return len(_tokens_between(start, end, ranges))


def token_index(position: Position, text: Text, ranges: Ranges) -> int:
    """Token index of a position; may fall outside the prompt, and is -1 where no token is.

    ``ranges`` are the characters that each token of the text covers.
    """
    if position.slot == END:
        return len(ranges) - 1 + position.offset
    tokens = _tokens_between(*text.place(position.slot, position.occurrence), ranges)
    if not tokens:
        return -1
    return (tokens[0] if position.offset < 0 else tokens[-1]) + position.offset
