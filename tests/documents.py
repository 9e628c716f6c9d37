"""Syntax trees made up by Hypothesis, and a printer that writes them as untidily as is allowed."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from hypothesis import strategies as st

from circuitlang.circuit import CircuitTest
from circuitlang.source import Span
from circuitlang.syntax import tree
from circuitlang.syntax.grammar import keywords

NOWHERE = Span(0, 0)


def word(text: str) -> tree.Word:
    """A word without a place; places do not take part in comparison."""
    return tree.Word(text, NOWHERE)


names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True).filter(
    lambda text: text not in keywords()
)
words = names.map(word)
# Hidden characters are an error of their own; everything else may stand between quotes.
texts = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Zl", "Zp"), blacklist_characters='"'),
    max_size=12,
)
strings = texts.map(word)
small = st.integers(0, 30)
components = st.one_of(
    st.builds("L{}.H{}".format, small, small),
    st.builds("L{}.MLP".format, small),
    st.builds("L{}.MLP[{}]".format, small, small),
    st.just("embed"),
).map(word)
terms = st.one_of(
    st.builds(tree.Term, words, st.just(False)), st.builds(tree.Term, strings, st.just(True))
)
numbers = st.one_of(small.map(str), st.builds("{}.{}".format, small, small))
counts = numbers.map(lambda text: tree.Quantity(text, float(text), "", NOWHERE))


@st.composite
def quantities(draw: st.DrawFn) -> tree.Quantity:
    number, unit = draw(numbers), draw(st.one_of(st.sampled_from(["", "%"]), names))
    sign = draw(st.sampled_from(["", "-"]))
    text = f"{sign}{number}" + (unit if unit in ("", "%") else f" {unit}")
    return tree.Quantity(text, float(sign + number), unit, NOWHERE)


def some(strategy: st.SearchStrategy, least: int = 1, most: int = 3) -> st.SearchStrategy:
    """A tuple of a few."""
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


rules = st.one_of(
    st.builds(tree.CorruptRule, st.just(NOWHERE), words, words, st.just(False)),
    st.builds(tree.CorruptRule, st.just(NOWHERE), words, strings, st.just(True)),
)
ranges = st.builds(tree.WordRange, st.just(NOWHERE), strings, strings)
arguments = st.builds(tree.Argument, st.just(NOWHERE), words, terms | counts)
prompt_lines = st.one_of(
    st.builds(tree.CleanLine, st.just(NOWHERE), strings),
    st.builds(tree.CorruptLine, st.just(NOWHERE), some(rules)),
    st.builds(tree.CorruptLine, st.just(NOWHERE), st.just(()), strings),
    st.builds(tree.WordsLine, st.just(NOWHERE), some(words), words, st.just(())),
    st.builds(tree.WordsLine, st.just(NOWHERE), some(words), st.none(), some(strings | ranges)),
    st.builds(tree.SampleLine, st.just(NOWHERE), counts, st.none() | counts),
    st.builds(tree.FileLine, st.just(NOWHERE), strings),
    st.builds(tree.GeneratorLine, st.just(NOWHERE), words, some(arguments, least=0)),
)
positions = st.builds(tree.PositionRef, st.just(NOWHERE), words, st.integers(-9, 9).map(float))
node_lines = st.builds(
    tree.NodeLine,
    st.just(NOWHERE),
    words,
    some(components),
    some(positions, least=0),
    st.none() | strings,
)
endpoints = st.builds(tree.Endpoint, st.just(NOWHERE), words | components, st.none() | words)
worlds = st.sampled_from(["clean", "corrupt"]).map(lambda text: tree.Term(word(text), False))
clauses = st.one_of(
    st.builds(
        tree.BoundClause,
        st.just(NOWHERE),
        st.sampled_from(["at_least", "at_most", "within"]),
        st.tuples(quantities()),
    ),
    st.builds(
        tree.BoundClause,
        st.just(NOWHERE),
        st.just("between"),
        st.tuples(quantities(), quantities()),
    ),
    st.builds(tree.ByClause, st.just(NOWHERE), words),
    st.builds(
        tree.DifferenceClause,
        st.just(NOWHERE),
        quantities(),
        terms | worlds,
        st.sampled_from(["+", "-"]),
        terms | worlds,
    ),
)
edge_lines = st.builds(
    tree.EdgeLine,
    st.just(NOWHERE),
    st.booleans(),
    st.booleans(),
    endpoints,
    st.sampled_from(["->", "~>"]),
    endpoints,
    some(clauses, least=0),
    some(st.builds(tree.Hop, st.sampled_from(["->", "~>"]), endpoints), least=0),
    some(
        st.builds(tree.PlacesClause, st.just(NOWHERE), some(positions), some(positions, least=0)),
        least=0,
        most=2,
    ),
)
claim_lines = st.one_of(
    st.builds(
        tree.ClaimLine,
        st.just(NOWHERE),
        st.sampled_from(["faithfulness", *CircuitTest]).map(str),
        st.none(),
        some(clauses, least=0),
    ),
    st.builds(
        tree.ClaimLine, st.just(NOWHERE), st.just("ablate"), endpoints, some(clauses, least=0)
    ),
    st.builds(
        tree.ClaimLine,
        st.just(NOWHERE),
        names,
        endpoints,
        some(clauses, least=0),
        some(positions, least=0),
    ),
    st.builds(
        tree.ClaimLine,
        st.just(NOWHERE),
        names,
        endpoints,
        some(clauses, least=0),
        st.just(()),
        st.tuples(positions, positions),
    ),
    st.builds(
        tree.ClaimLine,
        st.just(NOWHERE),
        names,
        st.none(),
        some(clauses, least=0),
        corrupt=st.booleans(),
    ),
)


def _setting(kind: str, words: st.SearchStrategy, numbers: st.SearchStrategy) -> st.SearchStrategy:
    return st.builds(tree.SettingLine, st.just(NOWHERE), st.just(kind), words, numbers)


settings_lines = st.one_of(
    _setting("ablation", some(words, most=2), st.just(())),
    _setting("significance", some(words, least=0, most=1), st.tuples(quantities())),
    _setting("direction", st.tuples(words), st.just(())),
    _setting("resamples", st.just(()), st.tuples(counts)),
    _setting("seed", st.just(()), st.tuples(counts)),
    _setting("minimum effect", st.just(()), st.tuples(quantities())),
    _setting("random edges", st.just(()), st.tuples(counts)),
    _setting("random circuits", st.just(()), st.tuples(counts)),
    _setting("random subsets", st.just(()), st.tuples(counts)),
    _setting("greedy searches", st.just(()), st.tuples(counts)),
    _setting("looks", st.just(()), st.tuples(counts)),
    _setting("pairs", some(words, least=2, most=2), st.just(())),
    _setting("sweep pairs", st.just(()), st.tuples(counts)),
)
token_sets = st.one_of(
    st.builds(tree.TokenSet, st.just(NOWHERE), terms),
    st.builds(
        tree.TokenSet,
        st.just(NOWHERE),
        words.map(lambda name: tree.Term(name, False)),
        st.sampled_from([">", "<", ">=", "<=", "!="]),
        words,
        st.none() | words,
    ),
    st.builds(
        tree.TokenSet,
        st.just(NOWHERE),
        words.map(lambda name: tree.Term(name, False)),
        choice=words,
    ),
)
options = st.tuples(words, words | texts.map(word))
sections = st.one_of(
    st.builds(tree.CircuitSection, st.just(NOWHERE), words, st.none() | strings),
    st.builds(tree.ModelSection, st.just(NOWHERE), st.just("name"), strings, some(options, 0)),
    st.builds(tree.ModelSection, st.just(NOWHERE), st.just("gguf"), strings, some(options, 0)),
    st.builds(tree.ModelSection, st.just(NOWHERE), st.just("builtin"), words, some(options, 0)),
    st.builds(
        tree.MetricSection,
        st.just(NOWHERE),
        words,
        some(token_sets, least=0),
        st.just(()) | st.tuples(words, words),
    ),
    st.builds(tree.PromptsSection, st.just(NOWHERE), some(prompt_lines, 0, 5)),
    st.builds(tree.NodesSection, st.just(NOWHERE), some(node_lines, 0, 5)),
    st.builds(tree.EdgesSection, st.just(NOWHERE), some(edge_lines, 0, 5)),
    st.builds(tree.ClaimsSection, st.just(NOWHERE), some(claim_lines, 0, 5)),
    st.builds(tree.TestSection, st.just(NOWHERE), some(settings_lines, 0, 5)),
)
comments = st.builds("#{}".format, texts).map(str.rstrip)
SPACE = ("space",)
LINE = ("line",)
MAYBE_LINE = ("maybe a line",)
Token = str | tuple[str]


def tokens_of(section: tree.Section) -> list[Token]:
    """The tokens of a section, with marks where its lines end."""
    match section:
        case tree.CircuitSection():
            title = [_string(section.title)] if section.title else []
            return ["circuit", section.name.text, *title]
        case tree.ModelSection():
            kind = [] if section.kind == "name" else [section.kind]
            value = section.value.text if kind == ["builtin"] else _string(section.value)
            pairs = [[name.text, _option(value)] for name, value in section.options]
            return ["model", *kind, value, *_flat(pairs)]
        case tree.MetricSection():
            sets = _flat([[",", *_token_set(tokens)] for tokens in section.arguments])[1:]
            given = ["(", *sets, ")"] if sets else []
            return ["metric", section.name.text, *given, *(w.text for w in section.spacing)]
    keyword = type(section).__name__.removesuffix("Section").lower()
    lines = [[*_line(line), LINE] for line in section.lines]
    body = [*_flat(lines)[:-1], MAYBE_LINE] if lines else []
    return [keyword, "{", MAYBE_LINE, *body, "}"]


def _flat(lists: Iterable[list[Token]]) -> list[Token]:
    return list(chain.from_iterable(lists))


def _string(word: tree.Word) -> str:
    return f'"{word.text}"'


def _option(word: tree.Word) -> str:
    bare = word.text.isascii() and word.text.isidentifier() and word.text not in keywords()
    return word.text if bare else _string(word)


def _list(items: tuple[tree.Word, ...]) -> list[str]:
    return _flat([[",", item.text] for item in items])[1:]


def _line(line: tree.BlockLine) -> list[str]:
    match line:
        case tree.CleanLine():
            return ["clean", _string(line.template)]
        case tree.CorruptLine(template=tree.Word() as template):
            return ["corrupt", _string(template)]
        case tree.CorruptLine():
            values = [_string(r.value) if r.literal else r.value.text for r in line.rules]
            parts = [[",", r.target.text, "=", v] for r, v in zip(line.rules, values, strict=True)]
            return ["corrupt", *_flat(parts)[1:]]
        case tree.WordsLine():
            strings = _flat([[",", *_literal(w)] for w in line.literals])[1:]
            values = [line.list_name.text] if line.list_name else strings
            return [*_list(line.slots), "from", *values]
        case tree.SampleLine():
            return ["sample", line.count.text, *(["seed", line.seed.text] if line.seed else [])]
        case tree.FileLine():
            return ["from", _string(line.path)]
        case tree.GeneratorLine():
            given = _flat([[",", *_argument(argument)] for argument in line.arguments])[1:]
            return [line.name.text, "(", *given, ")"]
        case tree.NodeLine():
            at = ["at", *_positions(line.positions)] if line.positions else []
            label = [_string(line.label)] if line.label else []
            return [line.name.text, *_list(line.components), *at, *label]
        case tree.EdgeLine():
            prefix = ["no"] * line.negated + ["each"] * line.each
            ends = [*_endpoint(line.sender), line.arrow, *_endpoint(line.receiver)]
            onward = _flat([[hop.arrow, *_endpoint(hop.receiver)] for hop in line.onward])
            places = _flat([_places(clause) for clause in line.places])
            return [*prefix, *ends, *onward, *_tail(line.clauses), *places]
        case tree.ClaimLine():
            subject = _endpoint(line.subject) if line.subject else ["corrupt"] * line.corrupt
            at = ["at", *_positions(line.positions)] if line.positions else []
            route = _flat([["->", *_position(end)] for end in line.route])[1:]
            return [line.kind, *subject, *at, *route, *_tail(line.clauses)]
    between = {"ablation": "per", "significance": "correction"}.get(line.kind, "")
    parts = [*(_quantity(q) for q in line.quantities), *([w.text] for w in line.words)]
    first, *rest = parts
    return [*line.kind.split(), *first, *_flat([[between, *part][not between :] for part in rest])]


def _token_set(tokens: tree.TokenSet) -> list[str]:
    limit = [tokens.comparison, tokens.limit.text] if tokens.limit else []
    chosen = [tokens.choice.text] if tokens.choice else []
    return [*chosen, _term(tokens.term), *limit]


def _term(term: tree.Term) -> str:
    return _string(term.word) if term.literal else term.word.text


def _literal(literal: tree.Word | tree.WordRange) -> list[str]:
    if isinstance(literal, tree.Word):
        return [_string(literal)]
    return [_string(literal.first), "..", _string(literal.last)]


def _argument(argument: tree.Argument) -> list[str]:
    value = argument.value
    return [argument.name.text, "=", _term(value) if isinstance(value, tree.Term) else value.text]


def _places(clause: tree.PlacesClause) -> list[str]:
    end = ["to", *_positions(clause.end)] if clause.end else []
    return ["from", *_positions(clause.start), *end]


def _positions(positions: Iterable[tree.PositionRef]) -> list[str]:
    return _flat([[",", *_position(position)] for position in positions])[1:]


def _position(position: tree.PositionRef) -> list[str]:
    if not position.offset:
        return [position.slot.text]
    sign = "-" if position.offset < 0 else "+"
    return [position.slot.text, sign, str(abs(int(position.offset)))]


def _endpoint(endpoint: tree.Endpoint) -> list[str]:
    return [endpoint.node.text, *([".", endpoint.slot.text] if endpoint.slot else [])]


def _tail(clauses: tuple[tree.Clause, ...]) -> list[str]:
    found: list[str] = []
    for clause in clauses:
        if isinstance(clause, tree.ByClause):
            found += ["by", clause.word.text]
            continue
        if isinstance(clause, tree.DifferenceClause):
            terms = [_term(clause.first), clause.sign, _term(clause.second)]
            found += ["by", *_quantity(clause.factor), "*", "(", *terms, ")"]
            continue
        sign = {"at_least": ">=", "at_most": "<=", "between": "in", "within": "within"}[clause.kind]
        ends = [_quantity(quantity) for quantity in clause.quantities]
        found += [sign, *ends[0], *([".."] + ends[1] if len(ends) == 2 else [])]
    return found


def _quantity(quantity: tree.Quantity) -> list[str]:
    number = quantity.text.removesuffix(quantity.unit).strip()
    sign = ["-"] if number.startswith("-") else []
    return [*sign, number.lstrip("-"), *([quantity.unit] if quantity.unit else [])]


@dataclass(frozen=True)
class Messy:
    """A document, one of the many texts that say it, and the comments in that text."""

    document: tree.Document
    text: str
    comments: tuple[str, ...]


@st.composite
def messy(draw: st.DrawFn) -> Messy:
    """A random document in a random layout, with comments wherever comments may stand."""
    chosen = draw(some(sections, 0, 5))
    text, found = "", []

    def line_end() -> str:
        ends = ""
        for _ in range(draw(st.integers(1, 3))):
            comment = draw(st.one_of(st.just(""), comments))
            if comment:
                found.append(comment)
            ends += draw(spaces) + comment + draw(spaces) * (not comment) + "\n"
        return ends

    spaces = st.sampled_from(["", " ", "   ", "\t", " \t "])
    text += line_end() if draw(st.booleans()) else ""
    for number, section in enumerate(chosen):
        before = ""
        for token in tokens_of(section):
            if token == LINE or (token == MAYBE_LINE and draw(st.booleans())):
                text += line_end()
                before = ""
            elif isinstance(token, str):
                touching = bool(before) and _joins(before[-1], token[0])
                gap = draw(spaces)
                text += (gap or " " * touching) + token
                before = token
        last = number == len(chosen) - 1
        text += line_end() if not last or draw(st.booleans()) else ""
    document = tree.Document(chosen, tuple(tree.Comment(NOWHERE, c) for c in found))
    return Messy(document, text, tuple(found))


def _joins(left: str, right: str) -> bool:
    """Whether two tokens would run together: two words, or a number and the dots of a range."""
    return all(char.isalnum() or char in "_." for char in left + right) or left + right in ("->",)
