"""From prompt pairs to token ids and positions, with every data mistake named. No torch here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from circuitlang.circuit import (
    END,
    Ablation,
    AblationClaim,
    Circuit,
    EdgeClaim,
    FaithfulnessClaim,
    Position,
    PromptPair,
    expand,
)
from circuitlang.circuit.expansion import Text
from circuitlang.source import Diagnostic, Span

_SHOWN = 6


class Tokenizer(Protocol):
    """What is needed of a tokenizer: ids with the characters that each covers."""

    unknown_id: int | None

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and half-open character ranges; nothing is added before or after."""
        ...

    def show(self, token: int) -> str:
        """A token as readable text."""
        ...


class FastTokenizer:
    """A `tokenizers.Tokenizer`, from a `tokenizer.json` or from a transformers tokenizer."""

    def __init__(self, backend: Any) -> None:  # noqa: ANN401 - tokenizers is untyped
        self._backend = backend
        unknown = getattr(backend.model, "unk_token", None)
        self.unknown_id: int | None = backend.token_to_id(unknown) if unknown else None

    @classmethod
    def from_folder(cls, folder: Path) -> "FastTokenizer":
        """Read `tokenizer.json`.

        Raises:
            OSError: there is none, or it cannot be read.
        """
        from tokenizers import Tokenizer as Backend

        path = folder / "tokenizer.json"
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no tokenizer.json")
        return cls(Backend.from_file(str(path)))

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and character ranges."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return list(encoding.ids), list(encoding.offsets)

    def show(self, token: int) -> str:
        """Decoded text of one token, its leading space kept."""
        piece = self._backend.id_to_token(token) or "?"
        text = self._backend.decode([token], skip_special_tokens=False)
        return (" " if piece.startswith(("Ġ", "▁")) and not text.startswith(" ") else "") + text


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
    shown: tuple[str, ...]

    @property
    def layout(self) -> tuple[int, ...]:
        """Length and position indices: prompts of equal layout can be averaged by position."""
        return len(self.clean), *self.positions.values()


def tokenize(
    circuit: Circuit, tokenizer: Tokenizer
) -> tuple[tuple[PromptPair, ...], tuple[TokenizedPair, ...], tuple[Diagnostic, ...]]:
    """Prompt pairs, their tokens, and every reason why they cannot be used (then no tokens)."""
    pairs = expand(circuit.prompts, circuit.metric)
    problems = _Problems(circuit, tokenizer)
    positions = named_positions(circuit)
    tokenized = [t for pair in pairs if (t := problems.tokenize(pair, positions)) is not None]
    if _uses_means(circuit) and not problems.found:
        problems.check_layouts(tokenized)
    found = tuple(problems.found.values())
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
    return any(
        claim.reference is Ablation.MEAN
        for claim in circuit.claims
        if isinstance(claim, AblationClaim | FaithfulnessClaim)
    )


class _Problems:
    """Tokenises pair by pair and keeps one diagnostic for each kind and place."""

    def __init__(self, circuit: Circuit, tokenizer: Tokenizer) -> None:
        self.circuit, self.tokenizer = circuit, tokenizer
        self.found: dict[tuple[str, object], Diagnostic] = {}
        self.answers: dict[str, int | None] = {}
        self._check_answers()

    def report(self, key: object, code: str, span: Span, message: str, hint: str = "") -> None:
        self.found.setdefault((code, key), Diagnostic(code, span, message, hint))

    def _check_answers(self) -> None:
        """Every word that can be an answer must be one token after every template."""
        prompts, metric = self.circuit.prompts, self.circuit.metric
        for words in prompts.word_lists:
            if not {metric.answer, metric.distractor} & {*words.slots}:
                continue
            split = {word: ids for word in words.words if len(ids := self._after(word)) != 1}
            self.answers |= {w: self._after(w)[0] for w in words.words if w not in split}
            unknown = [w for w in words.words if self.answers.get(w) == self.tokenizer.unknown_id
                       and self.tokenizer.unknown_id is not None]  # fmt: skip
            if unknown:
                message = f"{_some(unknown)} unknown to this tokenizer"
                self.report(words.slots, "CL315", words.span, message)
            if split:
                pieces = (self._pieces(word, ids) for word, ids in list(split.items())[:_SHOWN])
                message = (
                    f"{len(split)} of {len(words.words)} words are not one token: "
                    + ", ".join(pieces)
                )
                good = [word for word in words.words if word not in split][:40]
                hint = "one-token words of the list: " + ", ".join(f'"{w}"' for w in good)
                self.report(words.slots, "CL311", words.span, message, hint if good else "")

    def _after(self, word: str) -> list[int]:
        """Tokens that a word adds when it follows a prompt."""
        stem = self.circuit.prompts.templates[0].texts[-1].rstrip() or "The"
        before, _ = self.tokenizer.encode(stem)
        after, _ = self.tokenizer.encode(f"{stem} {word}")
        return after[len(before) :] if after[: len(before)] == before else []

    def _pieces(self, word: str, ids: list[int]) -> str:
        return f"{word} = " + "".join(f"[{self.tokenizer.show(i)}]" for i in ids[:6])

    def tokenize(
        self, pair: PromptPair, positions: Sequence[Position]
    ) -> TokenizedPair | None:
        template = self.circuit.prompts.templates[pair.template]
        clean, clean_places = self.tokenizer.encode(pair.clean.text)
        corrupt, corrupt_places = self.tokenizer.encode(pair.corrupt.text)
        for ids, text in ((clean, pair.clean), (corrupt, pair.corrupt)):
            self._check_known(ids, text, pair.template, template.span)
        if len(clean) != len(corrupt):
            message = (
                f"clean and corrupt prompts have {len(clean)} and {len(corrupt)} tokens: "
                f"`{pair.clean.text}` and `{pair.corrupt.text}`"
            )
            hint = "give the slots words of equal token counts"
            self.report(pair.template, "CL310", template.span, message, hint)
            return None
        found: dict[Position, int] = {}
        for position in positions:
            one = _index(position, pair.clean, clean_places)
            other = _index(position, pair.corrupt, corrupt_places)
            if one != other:
                message = f"`{position}` is token {one} in `{pair.clean.text}` but {other} in "
                message += f"`{pair.corrupt.text}`"
                self.report((pair.template, position), "CL314", template.span, message)
            if not (0 <= one < len(clean) and 0 <= other < len(clean)):
                message = f"`{position}` falls outside the prompt `{pair.clean.text}`"
                self.report((pair.template, position), "CL313", template.span, message)
            found[position] = one
        answer, distractor = self.answers.get(pair.answer), self.answers.get(pair.distractor)
        if answer is None or distractor is None or self.found:
            return None
        shown = tuple(self.tokenizer.show(token) for token in clean)
        return TokenizedPair(
            pair.template, tuple(clean), tuple(corrupt), answer, distractor, found, shown
        )

    def _check_known(self, ids: Iterable[int], text: Text, template: int, span: Span) -> None:
        unknown = self.tokenizer.unknown_id
        if unknown is None or unknown not in ids:
            return
        _, places = self.tokenizer.encode(text.text)
        words = [text.text[a:b] for i, (a, b) in zip(ids, places, strict=True) if i == unknown]
        message = f"{_some(words)} unknown to this tokenizer"
        self.report(template, "CL315", span, message, "use words that the model knows")

    def check_layouts(self, pairs: Sequence[TokenizedPair]) -> None:
        """A mean by position needs prompts whose positions fall on the same tokens."""
        per_template = self.circuit.settings.per_template
        first: dict[int, TokenizedPair] = {}
        for pair in pairs:
            key = pair.template if per_template else 0
            if first.setdefault(key, pair).layout != pair.layout:
                spans = self.circuit.prompts.templates[pair.template].span
                group = f"template {pair.template + 1}" if per_template else "the file"
                message = f"prompts of {group} do not align, so no mean by position exists"
                hint = "give each slot words of one token count" + (
                    "" if per_template else ", or write `ablation mean per template`"
                )
                self.report(key, "CL312", spans, message, hint)


def _index(position: Position, text: Text, places: Sequence[tuple[int, int]]) -> int:
    """Token index of a position; may fall outside the prompt."""
    if position.slot == END:
        return len(places) - 1 + position.offset
    start, end = text.place(position.slot, position.occurrence)
    tokens = [i for i, (a, b) in enumerate(places) if a < end and b > start]
    if not tokens:
        return -1
    return (tokens[0] if position.offset < 0 else tokens[-1]) + position.offset


def _some(words: Sequence[str]) -> str:
    shown = ", ".join(f"`{word}`" for word in words[:_SHOWN])
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return shown + more + (" is" if len(words) == 1 else " are")
