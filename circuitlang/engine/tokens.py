"""From prompt pairs to token ids and positions, with every data mistake named. No torch here."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from circuitlang.circuit import (
    END,
    Ablation,
    AblationClaim,
    Circuit,
    EdgeClaim,
    PairRule,
    PatchClaim,
    PathClaim,
    Position,
    PromptPair,
    ReadingClaim,
    SteerClaim,
    expand,
    named_places,
    template_in_words,
)
from circuitlang.circuit.expansion import Text
from circuitlang.engine.answers import Answers, some
from circuitlang.engine.prompt_lengths import too_long
from circuitlang.engine.target import Target
from circuitlang.engine.text_tokens import text_problems
from circuitlang.engine.token_places import (
    Ranges,
    count_at,
    has_place,
    token_index,
    tokens_between,
    words_at,
)
from circuitlang.engine.tokenizer import FastTokenizer, Tokenizer
from circuitlang.engine.written import WrittenPair, written
from circuitlang.evidence import Misalignment, SkippedPair
from circuitlang.plan.design import MIN_PER_TEMPLATE
from circuitlang.source import Diagnostic, Span, counted

__all__ = [
    "Aligned",
    "FastTokenizer",
    "TokenizedPair",
    "Tokenizer",
    "align",
    "named_positions",
    "token_index",
    "tokenize",
]


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """One prompt pair in tokens.

    ``positions`` gives the token index of every position that the file names; it is the same in
    both worlds. ``target`` is what the metric reads after the prompt.
    """

    template: int
    clean: tuple[int, ...]
    corrupt: tuple[int, ...]
    target: Target
    positions: dict[Position, int]
    slots: tuple[int, ...]
    shown: tuple[str, ...]
    number: int = 0
    """Place among the pairs that were drawn, from 1; 0 for one that was not drawn."""

    @property
    def layout(self) -> tuple[int, ...]:
        """Length and position indices: prompts of equal layout can be averaged by position."""
        return len(self.clean), *self.positions.values(), *self.slots


@dataclass(frozen=True, slots=True)
class Aligned:
    """The pairs that can be measured, in text and in tokens, and those that cannot.

    ``misaligned`` are left out of ``pairs`` where the file's rule says so; ``diagnostics`` are the
    reasons why nothing can be measured, and where there is one there are no ``tokens``.
    """

    pairs: tuple[PromptPair, ...]
    tokens: tuple[TokenizedPair, ...]
    misaligned: tuple[SkippedPair, ...]
    diagnostics: tuple[Diagnostic, ...]


def align(circuit: Circuit, tokenizer: Tokenizer, context: int | None = None) -> Aligned:
    """The drawn pairs in tokens, under the file's rule about misaligned ones.

    Under `refuse` every misalignment is a diagnostic; under `skip` only what no pair could be
    blamed for is: an unknown word, a template with too few pairs left, or a prompt that is longer
    than the model's ``context``, where that is given.
    """
    try:
        drawn = [written(p, tokenizer) for p in expand(circuit.prompts, circuit.metric)]
    except ValueError as error:  # fewer tokens than are drawn
        span = circuit.prompts.templates[0].span
        problem = Diagnostic("CL325", span, f"this tokenizer has {error}", "take a shorter copy")
        return Aligned((), (), (), (problem,))
    pairs = tuple(pair.pair for pair in drawn)
    work = _Alignment(circuit, tokenizer, pairs)
    outcomes = [work.examine(number, pair) for number, pair in enumerate(drawn, 1)]
    if _uses_means(circuit):
        outcomes = work.of_one_layout(pairs, outcomes)
    lengths = [len(o.clean) for o in outcomes if isinstance(o, TokenizedPair)]
    sizes = ((pair.pair.template, len(pair.clean)) for pair in drawn)
    found = (
        *work.diagnostics(outcomes),
        *too_long(circuit, sizes, context),
        *text_problems(circuit, tokenizer, lengths),
    )
    misaligned = tuple(
        _left_out(number, pair, outcome)
        for number, (pair, outcome) in enumerate(zip(pairs, outcomes, strict=True), 1)
        if isinstance(outcome, Misalignment)
    )
    if found:
        return Aligned(pairs, (), misaligned, found)
    kept = [(p, o) for p, o in zip(pairs, outcomes, strict=True) if isinstance(o, TokenizedPair)]
    return Aligned(tuple(p for p, _ in kept), tuple(t for _, t in kept), misaligned, ())


def tokenize(
    circuit: Circuit, tokenizer: Tokenizer
) -> tuple[tuple[PromptPair, ...], tuple[TokenizedPair, ...], tuple[Diagnostic, ...]]:
    """Pairs, tokens and diagnostics of :func:`align` for those who need every pair: whatever the
    file's rule, a misaligned pair is a diagnostic."""
    rules = replace(circuit.settings.pairs, misaligned=PairRule.REFUSE)
    settings = replace(circuit.settings, pairs=rules)
    aligned = align(replace(circuit, settings=settings), tokenizer)
    return aligned.pairs, aligned.tokens, aligned.diagnostics


def _left_out(number: int, pair: PromptPair, reason: Misalignment) -> SkippedPair:
    return SkippedPair(
        number=number,
        template=pair.template,
        clean=pair.clean.text,
        corrupt=pair.corrupt.text,
        answer=pair.answer,
        distractor=pair.distractor,
        reason=reason,
    )


def named_positions(circuit: Circuit) -> tuple[Position, ...]:
    """Every position that some edge, claim, sweep or node speaks of, END left out."""
    named: list[Position] = []
    for claim in circuit.all_claims:
        if isinstance(claim, EdgeClaim | AblationClaim | PatchClaim | SteerClaim | ReadingClaim):
            named.extend(claim.positions)
        elif isinstance(claim, PathClaim):
            named.extend(position for hop in claim.hops for position in hop.positions)
    for role in circuit.roles:
        named.extend(role.positions)
    for sweep in circuit.sweeps:
        named.extend(sweep.positions)
        if sweep.by_position:
            named.extend(named_places(circuit))
    return tuple(p for p in dict.fromkeys(named) if p != Position(END))


def _uses_means(circuit: Circuit) -> bool:
    return any(
        (isinstance(claim, SteerClaim) and claim.texts is None)
        or getattr(claim, "reference", None) is Ablation.MEAN
        for claim in circuit.claims
    )


class _Alignment:
    """Tokenises pair by pair and keeps one diagnostic for each kind and place."""

    def __init__(self, circuit: Circuit, tokenizer: Tokenizer, pairs: Sequence[PromptPair]) -> None:
        self.circuit, self.tokenizer = circuit, tokenizer
        self.positions = named_positions(circuit)
        self.found: dict[tuple[str, object], Diagnostic] = {}
        self.unequal: dict[int, list[PromptPair]] = {}
        self.unknown: dict[Span, dict[str, None]] = {}
        self.drawn = Counter(pair.template for pair in pairs)
        self.answers = Answers(circuit, tokenizer, pairs)
        for diagnostic in self.answers.problems:
            self.found[diagnostic.code, diagnostic.span] = diagnostic

    def report(self, key: object, code: str, span: Span, message: str, hint: str = "") -> None:
        self.found.setdefault((code, key), Diagnostic(code, span, message, hint))

    def diagnostics(
        self, outcomes: Sequence[TokenizedPair | Misalignment]
    ) -> tuple[Diagnostic, ...]:
        """Everything that forbids to measure, complete only after the last pair."""
        for span, words in self.unknown.items():
            message = f"{some([*words])} unknown to this tokenizer"
            self.report(span, "CL315", span, message, "use words that the model knows")
        for template, pairs in self.unequal.items():
            span = self.circuit.prompts.templates[template].span
            self.report(template, "CL310", span, *self._unequal_lengths(pairs))
        for problem in self.answers.problems_of_sets():
            self.found[problem.code, problem.span] = problem
        if self.circuit.settings.pairs.misaligned is PairRule.REFUSE:
            return tuple(self.found.values())
        too_few = self._too_few(outcomes)
        unknown = (d for d in self.found.values() if d.code == "CL315")
        return (*self.found.values(), *too_few) if too_few else tuple(unknown)

    def _too_few(self, outcomes: Sequence[TokenizedPair | Misalignment]) -> tuple[Diagnostic, ...]:
        """Templates that misaligned pairs leave too little of."""
        left = Counter(o.template for o in outcomes if isinstance(o, TokenizedPair))
        needed = MIN_PER_TEMPLATE if self.circuit.all_claims else 1  # sweeps alone judge nothing
        verb = "is" if needed == 1 else "are"
        found = []
        for number, template in enumerate(self.circuit.prompts.templates):
            if left[number] < min(self.drawn[number], needed):
                message = (
                    f"{left[number]} of {self.drawn[number]} pairs of "
                    f"{template_in_words(self.circuit.prompts.templates, number + 1)} are "
                    f"left without the misaligned ones, and {needed} {verb} needed"
                )
                found.append(Diagnostic("CL229", template.span, message))
        return tuple(found)

    def examine(self, number: int, drawn: WrittenPair) -> TokenizedPair | Misalignment:
        """A pair in tokens, or why its two prompts do not align."""
        pair, clean, corrupt = drawn.pair, drawn.clean, drawn.corrupt
        clean_ranges, corrupt_ranges = drawn.clean_ranges, drawn.corrupt_ranges
        if pair.drawn is None:
            self._note_unknown(clean, clean_ranges, pair.clean, pair.template)
            self._note_unknown(corrupt, corrupt_ranges, pair.corrupt, pair.template)
        else:  # only what stands before the drawn tokens is the file's own text
            before = pair.drawn.layout.before
            self._note_unknown(*self.tokenizer.encode(before), Text(before), pair.template)
        if len(clean) != len(corrupt):
            self.unequal.setdefault(pair.template, []).append(pair)
            return Misalignment.LENGTH
        places, misplaced = self._places(pair, clean_ranges, corrupt_ranges)
        slots, beside = self._slots(pair, clean_ranges, corrupt_ranges)
        if reason := misplaced or beside:
            return reason
        target = self.answers.target(number, pair, drawn.answers)
        if isinstance(target, Misalignment):
            return target
        shown = tuple(self.tokenizer.show(token) for token in clean)
        ids = tuple(clean), tuple(corrupt), target
        return TokenizedPair(pair.template, *ids, places, slots, shown, number)

    def _slots(
        self, pair: PromptPair, clean: Ranges, corrupt: Ranges
    ) -> tuple[tuple[int, ...], Misalignment | None]:
        """First and last token of every slot, which must be the same in both worlds.

        A word that is longer in one prompt and made up for by a shorter one elsewhere would leave
        the lengths equal and every token between them beside its counterpart. A slot that the
        corrupt prompt does not have has no counterpart.
        """
        found: list[int] = []
        reason = None
        opposite = {place[:2]: place for place in pair.corrupt.places}
        for place in pair.clean.places:
            tokens = tokens_between(*place[2:], clean)
            found += (tokens[0], tokens[-1]) if tokens else (-1, -1)
            other = opposite.get(place[:2])
            if other is None:
                continue
            others = tokens_between(*other[2:], corrupt)
            if (tokens[:1], tokens[-1:]) == (others[:1], others[-1:]):
                continue
            reason = Misalignment.POSITION
            if not self.found:
                words = f"{words_at(pair.clean, place)} and {words_at(pair.corrupt, other)}"
                message = (
                    f"{words} do not stand on the same tokens of `{pair.clean.text}` and "
                    f"`{pair.corrupt.text}`"
                )
                hint = "give the slots words of equal token counts"
                if self.circuit.prompts.corrupt_templates:
                    hint = "write both templates so that their slots stand on the same tokens"
                span = self.circuit.prompts.templates[pair.template].span
                self.report((pair.template, "slots"), "CL314", span, message, hint)
        return tuple(found), reason

    def _places(
        self, pair: PromptPair, clean: Ranges, corrupt: Ranges
    ) -> tuple[dict[Position, int], Misalignment | None]:
        """Token index of every named position, which must lie inside and be the same twice.

        One that the corrupt prompt does not have is where it is in the clean one.
        """
        span = self.circuit.prompts.templates[pair.template].span
        found: dict[Position, int] = {}
        reason: Misalignment | None = None
        for position in self.positions:
            one = token_index(position, pair.clean, clean)
            other = one
            if has_place(position, pair.corrupt):
                other = token_index(position, pair.corrupt, corrupt)
            key: object = (pair.template, position)
            if not (0 <= one < len(clean) and 0 <= other < len(corrupt)):
                message = f"`{position}` falls outside the prompt `{pair.clean.text}`"
                # The same mistake in every template, where the file says the position itself.
                written = bool(position.span.end)
                at = position.span if written else span
                hint = f"this prompt has {counted(len(clean), 'token')}"
                self.report(position if written else key, "CL313", at, message, hint)
                reason = Misalignment.OUTSIDE
            elif one != other:
                message = (
                    f"`{position}` is token {one + 1} of `{pair.clean.text}` but token "
                    f"{other + 1} of `{pair.corrupt.text}`"
                )
                hint = "give the slots before it words of equal token counts"
                if self.circuit.prompts.data is not None:
                    hint = "it must stand on the same tokens in both prompts"
                self.report(key, "CL314", span, message, hint)
                reason = reason or Misalignment.POSITION
            found[position] = one
        return found, reason

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
        opposite = {place[:2]: place for place in pair.corrupt.places}
        places = [(p, opposite[p[:2]]) for p in pair.clean.places if p[:2] in opposite]
        counts = [
            f"{words_at(pair.clean, one)} and {words_at(pair.corrupt, other)} have "
            f"{count_at(pair.clean, one, clean_ranges)} and "
            f"{count_at(pair.corrupt, other, corrupt_ranges)}"
            for one, other in places
            if count_at(pair.clean, one, clean_ranges)
            != count_at(pair.corrupt, other, corrupt_ranges)
        ]
        hint = "give the slots words of equal token counts"
        if counts:
            hint += f"; here {counts[0]}"
        if self.circuit.prompts.data is not None:
            return message, "give both texts of the row the same number of tokens"
        if self.circuit.prompts.templates[pair.template].texts[0] == "":
            hint += (
                "; a word that begins the prompt has no space before it, which changes its count"
            )
        return message, hint

    def of_one_layout(
        self, pairs: Sequence[PromptPair], outcomes: Sequence[TokenizedPair | Misalignment]
    ) -> list[TokenizedPair | Misalignment]:
        """A mean by position needs prompts whose positions fall on the same tokens.

        The layout that most prompts of a template have is the template's; of equally frequent ones,
        the one that was drawn first.
        """
        faultless = not (self.found or self.unequal or self.unknown)
        per_template = self.circuit.settings.per_template
        layouts: dict[int, Counter[tuple[int, ...]]] = {}
        for outcome in outcomes:
            if isinstance(outcome, TokenizedPair):
                layouts.setdefault(outcome.template * per_template, Counter())[outcome.layout] += 1
        usual = {key: counts.most_common(1)[0][0] for key, counts in layouts.items()}
        result: list[TokenizedPair | Misalignment] = []
        like, unlike = dict[int, tuple[int, PromptPair]](), dict[int, tuple[int, PromptPair]]()
        for index, (pair, outcome) in enumerate(zip(pairs, outcomes, strict=True)):
            key = pair.template * per_template
            if isinstance(outcome, TokenizedPair):
                aligned = outcome.layout == usual[key]
                (like if aligned else unlike).setdefault(key, (index, pair))
                result.append(outcome if aligned else Misalignment.LAYOUT)
            else:
                result.append(outcome)
        if faultless:  # what follows from another mistake is not told a second time
            for key, odd in unlike.items():
                (_, earlier), (_, later) = sorted((like[key], odd), key=lambda drawn: drawn[0])
                self._report_layouts(key, earlier, later)
        return result

    def _report_layouts(self, key: int, earlier: PromptPair, later: PromptPair) -> None:
        per_template = self.circuit.settings.per_template
        templates = self.circuit.prompts.templates
        group = template_in_words(templates, later.template + 1) if per_template else "the file"
        message = (
            f"prompts of {group} do not align, so no mean by position exists: "
            f"`{earlier.clean.text}` and `{later.clean.text}`"
        )
        hint = "give each slot words of one token count" + (
            "" if per_template else ", or write `ablation mean per template`"
        )
        span = self.circuit.prompts.templates[later.template].span
        self.report(key, "CL312", span, message, hint)
