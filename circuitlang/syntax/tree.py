"""What a file says, word for word: the syntax tree, before any name has a meaning.

Spans do not take part in comparison: two trees are equal when they say the same.
"""

from dataclasses import dataclass, field

from circuitlang.source import Span


@dataclass(frozen=True, slots=True)
class Word:
    """A name, a component or the inside of a string, with its place in the file."""

    text: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A signed number and its unit: `%`, a word such as `logits`, or nothing (a fraction)."""

    text: str
    value: float
    unit: str
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Term:
    """A name or, when ``literal``, a quoted text."""

    word: Word
    literal: bool


@dataclass(frozen=True, slots=True)
class CircuitSection:
    """`circuit ioi "title"`."""

    span: Span = field(compare=False)
    name: Word
    title: Word | None


@dataclass(frozen=True, slots=True)
class ModelSection:
    """`model "gpt2" dtype float32`; `kind` is name, builtin or gguf."""

    span: Span = field(compare=False)
    kind: str
    value: Word
    options: tuple[tuple[Word, Word], ...]


@dataclass(frozen=True, slots=True)
class CleanLine:
    """`clean "template"`."""

    span: Span = field(compare=False)
    template: Word


@dataclass(frozen=True, slots=True)
class CorruptRule:
    """`S2 = IO`; `literal` tells a quoted value from a name."""

    span: Span = field(compare=False)
    target: Word
    value: Word
    literal: bool


@dataclass(frozen=True, slots=True)
class CorruptLine:
    """`corrupt IO = fresh, S1 = fresh`, or `corrupt "template"`."""

    span: Span = field(compare=False)
    rules: tuple[CorruptRule, ...]
    template: Word | None = None


@dataclass(frozen=True, slots=True)
class WordRange:
    """`"02".."98"`."""

    span: Span = field(compare=False)
    first: Word
    last: Word


@dataclass(frozen=True, slots=True)
class WordsLine:
    """`IO, S from names` (`list_name`) or `PLACE from "store", "park"` (`literals`)."""

    span: Span = field(compare=False)
    slots: tuple[Word, ...]
    list_name: Word | None
    literals: tuple[Word | WordRange, ...]


@dataclass(frozen=True, slots=True)
class SampleLine:
    """`sample 100 seed 0`."""

    span: Span = field(compare=False)
    count: Quantity
    seed: Quantity | None


@dataclass(frozen=True, slots=True)
class FileLine:
    """`from "pairs.jsonl"`."""

    span: Span = field(compare=False)
    path: Word


@dataclass(frozen=True, slots=True)
class Argument:
    """`length = 50`."""

    span: Span = field(compare=False)
    name: Word
    value: Term | Quantity


@dataclass(frozen=True, slots=True)
class GeneratorLine:
    """`repeated_tokens(length = 50, repeats = 2)`."""

    span: Span = field(compare=False)
    name: Word
    arguments: tuple[Argument, ...]


PromptLine = CleanLine | CorruptLine | WordsLine | SampleLine | FileLine | GeneratorLine


@dataclass(frozen=True, slots=True)
class PromptsSection:
    """The `prompts` block."""

    span: Span = field(compare=False)
    lines: tuple[PromptLine, ...]


@dataclass(frozen=True, slots=True)
class TokenSet:
    """`IO`, `" he"`, or `NEXT > YY`: a name, and what its words are compared with.

    ``choice`` is the word before it that says what is taken of a set: `max LETTERS != L`.
    """

    span: Span = field(compare=False)
    term: Term
    comparison: str = ""
    limit: Word | None = None
    choice: Word | None = None


@dataclass(frozen=True, slots=True)
class MetricSection:
    """`metric logit_diff(IO, S)`, `metric prob_diff(NEXT > YY, NEXT <= YY)`, `metric kl`.

    ``spacing`` are the two words after it, as in `metric logit_diff(L, X) without space`.
    """

    span: Span = field(compare=False)
    name: Word
    arguments: tuple[TokenSet, ...]
    spacing: tuple[Word, ...] = ()

    @property
    def spacing_span(self) -> Span:
        """Where these two words stand."""
        return Span(self.spacing[0].span.start, self.spacing[-1].span.end)


@dataclass(frozen=True, slots=True)
class PositionRef:
    """`S1`, `END`, `S1+1`; an offset that is no whole number is refused later."""

    span: Span = field(compare=False)
    slot: Word
    offset: float


@dataclass(frozen=True, slots=True)
class NodeLine:
    """`DTH L0.H1, L0.H10 at S2 "duplicate token heads"`."""

    span: Span = field(compare=False)
    name: Word
    components: tuple[Word, ...]
    positions: tuple[PositionRef, ...]
    label: Word | None


@dataclass(frozen=True, slots=True)
class NodesSection:
    """The `nodes` block."""

    span: Span = field(compare=False)
    lines: tuple[NodeLine, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`IH.K`, `L5.H5`, `logits`."""

    span: Span = field(compare=False)
    node: Word
    slot: Word | None


@dataclass(frozen=True, slots=True)
class BoundClause:
    """`>= 20%`, `<= -5%`, `in 10%..30%`, `within 2%`; `kind` is the rule's name in the grammar."""

    span: Span = field(compare=False)
    kind: str
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True, slots=True)
class ByClause:
    """`by denoising`, `by mean`."""

    span: Span = field(compare=False)
    word: Word


@dataclass(frozen=True, slots=True)
class DifferenceClause:
    """`by 2 * (clean - corrupt)`; ``sign`` is the one between the terms."""

    span: Span = field(compare=False)
    factor: Quantity
    first: Term
    sign: str
    second: Term


Clause = BoundClause | ByClause | DifferenceClause


@dataclass(frozen=True, slots=True)
class Hop:
    """`-> C.Q`: a further step of a path."""

    arrow: str
    receiver: Endpoint


@dataclass(frozen=True, slots=True)
class PlacesClause:
    """`from S2 to END`: positions written on an edge."""

    span: Span = field(compare=False)
    start: tuple[PositionRef, ...]
    end: tuple[PositionRef, ...] = ()


@dataclass(frozen=True, slots=True)
class EdgeLine:
    """`no each A ~> B.Q within 2%`; ``onward`` are the hops of a path after its first edge.

    ``places`` holds every such clause; a second one is refused later.
    """

    span: Span = field(compare=False)
    negated: bool
    each: bool
    sender: Endpoint
    arrow: str
    receiver: Endpoint
    clauses: tuple[Clause, ...]
    onward: tuple[Hop, ...] = ()
    places: tuple[PlacesClause, ...] = ()

    @property
    def receivers(self) -> tuple[Endpoint, ...]:
        """The receiver of every hop."""
        return (self.receiver, *(hop.receiver for hop in self.onward))

    @property
    def arrows(self) -> tuple[str, ...]:
        """The arrow of every hop."""
        return (self.arrow, *(hop.arrow for hop in self.onward))


@dataclass(frozen=True, slots=True)
class EdgesSection:
    """The `edges` block."""

    span: Span = field(compare=False)
    lines: tuple[EdgeLine, ...]


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """`faithfulness >= 80%`, `ablate SIH >= 50% by mean`, `attention NMH END -> IO >= 0.5`.

    ``positions`` follow `at`; ``route`` holds the two ends of `END -> IO`, or nothing. ``corrupt``
    tells `baseline corrupt` from `baseline`.
    """

    span: Span = field(compare=False)
    kind: str
    subject: Endpoint | None
    clauses: tuple[Clause, ...]
    positions: tuple[PositionRef, ...] = ()
    route: tuple[PositionRef, ...] = ()
    corrupt: bool = False

    @property
    def kind_span(self) -> Span:
        """Where the claim's first word stands."""
        return Span(self.span.start, self.span.start + len(self.kind))


@dataclass(frozen=True, slots=True)
class ClaimsSection:
    """The `claims` block."""

    span: Span = field(compare=False)
    lines: tuple[ClaimLine, ...]


@dataclass(frozen=True, slots=True)
class SettingLine:
    """One line of the `test` block: its name, its words and its quantities in order."""

    span: Span = field(compare=False)
    kind: str
    words: tuple[Word, ...]
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True, slots=True)
class TestSection:
    """The `test` block."""

    __test__ = False  # not a pytest class

    span: Span = field(compare=False)
    lines: tuple[SettingLine, ...]


Section = (
    CircuitSection
    | ModelSection
    | PromptsSection
    | MetricSection
    | NodesSection
    | EdgesSection
    | ClaimsSection
    | TestSection
)
BlockSection = PromptsSection | NodesSection | EdgesSection | ClaimsSection | TestSection
BlockLine = PromptLine | NodeLine | EdgeLine | ClaimLine | SettingLine


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment from its `#` to the line's end."""

    span: Span = field(compare=False)
    text: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A statement with a syntax error: the keyword of its section and its first word.

    ``section`` is empty where not even the section is known. What a skipped statement would have
    defined must not be called missing a second time.
    """

    section: str
    word: str


@dataclass(frozen=True, slots=True)
class Document:
    """A whole file: its sections and comments in order, and what could not be read."""

    sections: tuple[Section, ...]
    comments: tuple[Comment, ...] = ()
    skipped: tuple[Skipped, ...] = ()
