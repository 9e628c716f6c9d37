"""One method a grammar rule: lark's reductions become values of `tree`."""

from typing import Any, TypeVar

from lark import Token, Transformer, v_args
from lark.tree import Meta

from circuitlang.source import Span
from circuitlang.syntax import tree

T = TypeVar("T")
# Written out: asking for an instance of a union takes twenty times as long.
_CLAUSES = (tree.BoundClause, tree.ByClause, tree.DifferenceClause)


def word(token: Token) -> tree.Word:
    """A token as a word.

    A string loses its quotes, and its span covers what is between them; a component is written
    with capitals, so that `l9.h6` and `L9.H6` are the same word everywhere.
    """
    start, end = token.start_pos or 0, token.end_pos or 0
    if token.type == "STRING":
        return tree.Word(str(token)[1:-1], Span(start + 1, end - 1))
    if token.type == "COMPONENT":
        text = str(token)
        return tree.Word(text if text == "embed" else text.upper(), Span(start, end))
    return tree.Word(str(token), Span(start, end))


def _span(meta: Meta) -> Span:
    return Span(meta.start_pos, meta.end_pos) if not meta.empty else Span(0, 0)


def _of(kind: type[T], children: list[Any]) -> tuple[T, ...]:
    return tuple(child for child in children if isinstance(child, kind))


def _tokens(children: list[Any], *types: str) -> list[Token]:
    return [c for c in children if isinstance(c, Token) and c.type in types]


@v_args(meta=True)
class TreeBuilder(Transformer[Token, tree.Document]):
    """Builds the syntax tree; meaning is left to `circuitlang.circuit`."""

    def start(self, meta: Meta, children: list[Any]) -> tree.Document:
        return tree.Document(tuple(c for c in children if not isinstance(c, Token)))

    def circuit(self, meta: Meta, children: list[Any]) -> tree.CircuitSection:
        name, *title = map(word, children)
        return tree.CircuitSection(_span(meta), name, title[0] if title else None)

    def model(self, meta: Meta, children: list[Any]) -> tree.ModelSection:
        options = tuple(c for c in children if isinstance(c, tuple))
        source = [c for c in children if isinstance(c, Token)]
        kind = {"BUILTIN": "builtin", "GGUF": "gguf"}.get(source[0].type, "name")
        return tree.ModelSection(_span(meta), kind, word(source[-1]), options)

    def option(self, meta: Meta, children: list[Any]) -> tuple[tree.Word, tree.Word]:
        return word(children[0]), word(children[1])

    def prompts(self, meta: Meta, children: list[Any]) -> tree.PromptsSection:
        return tree.PromptsSection(_span(meta), _lines(children))

    def clean(self, meta: Meta, children: list[Any]) -> tree.CleanLine:
        return tree.CleanLine(_span(meta), word(children[0]))

    def corrupt(self, meta: Meta, children: list[Any]) -> tree.CorruptLine:
        template = next(map(word, _tokens(children, "STRING")), None)
        return tree.CorruptLine(_span(meta), _of(tree.CorruptRule, children), template)

    def rule(self, meta: Meta, children: list[Any]) -> tree.CorruptRule:
        target, value = children
        literal = value.type == "STRING"
        return tree.CorruptRule(_span(meta), word(target), word(value), literal)

    def words(self, meta: Meta, children: list[Any]) -> tree.WordsLine:
        names = [word(t) for t in _tokens(children, "NAME")]
        literals = tuple(c for c in children if isinstance(c, tree.Word | tree.WordRange))
        list_name = None if literals else names.pop()
        return tree.WordsLine(_span(meta), tuple(names), list_name, literals)

    def literal(self, meta: Meta, children: list[Any]) -> tree.Word | tree.WordRange:
        first, *last = map(word, children)
        return tree.WordRange(_span(meta), first, last[0]) if last else first

    def sample(self, meta: Meta, children: list[Any]) -> tree.SampleLine:
        count, *seed = map(_number, children)
        return tree.SampleLine(_span(meta), count, seed[0] if seed else None)

    def file(self, meta: Meta, children: list[Any]) -> tree.FileLine:
        return tree.FileLine(_span(meta), word(children[0]))

    def generator(self, meta: Meta, children: list[Any]) -> tree.GeneratorLine:
        return tree.GeneratorLine(_span(meta), word(children[0]), tuple(children[1:]))

    def argument(self, meta: Meta, children: list[Any]) -> tree.Argument:
        name, value = children
        given = _number(value) if value.type == "NUMBER" else _term(value)
        return tree.Argument(_span(meta), word(name), given)

    def metric(self, meta: Meta, children: list[Any]) -> tree.MetricSection:
        name, sets = word(children[0]), _of(tree.TokenSet, children)
        spacing = next(iter(_of(tuple, children)), ())
        return tree.MetricSection(_span(meta), name, sets, spacing)

    def spacing(self, meta: Meta, children: list[Any]) -> tuple[tree.Word, ...]:
        return tuple(map(word, children))

    def token_set(self, meta: Meta, children: list[Any]) -> tree.TokenSet:
        signs = [token for token in children if token.type not in ("NAME", "STRING")]
        end = children.index(signs[0]) if signs else len(children)
        *before, name = children[:end]
        limit = word(children[end + 1]) if signs else None
        chosen = word(before[0]) if before else None
        return tree.TokenSet(_span(meta), _term(name), "".join(signs), limit, chosen)

    def nodes(self, meta: Meta, children: list[Any]) -> tree.NodesSection:
        return tree.NodesSection(_span(meta), _lines(children))

    def node(self, meta: Meta, children: list[Any]) -> tree.NodeLine:
        components = tuple(map(word, _tokens(children, "COMPONENT")))
        positions = next(iter(_of(tuple, children)), ())
        label = next(map(word, _tokens(children, "STRING")), None)
        return tree.NodeLine(_span(meta), word(children[0]), components, positions, label)

    def positions(self, meta: Meta, children: list[Any]) -> tuple[tree.PositionRef, ...]:
        return tuple(children)

    def position(self, meta: Meta, children: list[Any]) -> tree.PositionRef:
        slot, *offset = children
        value = float("".join(offset)) if offset else 0.0
        return tree.PositionRef(_span(meta), word(slot), value)

    def edges(self, meta: Meta, children: list[Any]) -> tree.EdgesSection:
        return tree.EdgesSection(_span(meta), _lines(children))

    def edge(self, meta: Meta, children: list[Any]) -> tree.EdgeLine:
        sender, *receivers = _of(tree.Endpoint, children)
        arrows = map(str, _tokens(children, "DIRECT", "THROUGH_MLPS"))
        (arrow, receiver), *onward = zip(arrows, receivers, strict=True)
        return tree.EdgeLine(
            _span(meta),
            negated=bool(_tokens(children, "NO")),
            each=bool(_tokens(children, "EACH")),
            sender=sender,
            arrow=arrow,
            receiver=receiver,
            clauses=_clauses(children),
            onward=tuple(tree.Hop(*hop) for hop in onward),
            places=_of(tree.PlacesClause, children),
        )

    def places(self, meta: Meta, children: list[Any]) -> tree.PlacesClause:
        return tree.PlacesClause(_span(meta), *children)

    def endpoint(self, meta: Meta, children: list[Any]) -> tree.Endpoint:
        node, *slot = map(word, children)
        return tree.Endpoint(_span(meta), node, slot[0] if slot else None)

    def claims(self, meta: Meta, children: list[Any]) -> tree.ClaimsSection:
        return tree.ClaimsSection(_span(meta), _lines(children))

    def whole(self, meta: Meta, children: list[Any]) -> tree.ClaimLine:
        return tree.ClaimLine(_span(meta), str(children[0]), None, _clauses(children))

    def ablate(self, meta: Meta, children: list[Any]) -> tree.ClaimLine:
        subject = _of(tree.Endpoint, children)[0]
        return tree.ClaimLine(_span(meta), "ablate", subject, _clauses(children))

    def about(self, meta: Meta, children: list[Any]) -> tree.ClaimLine:
        kind, subject, *_ = children
        return tree.ClaimLine(
            _span(meta),
            str(kind),
            subject,
            _clauses(children),
            positions=next(iter(_of(tuple, children)), ()),
            route=next((_of(tree.PositionRef, c) for c in _of(list, children)), ()),
        )

    def baseline(self, meta: Meta, children: list[Any]) -> tree.ClaimLine:
        corrupt = bool(_tokens(children, "CORRUPT"))
        kind, clauses = str(children[0]), _clauses(children)
        return tree.ClaimLine(_span(meta), kind, None, clauses, corrupt=corrupt)

    def route(self, meta: Meta, children: list[Any]) -> list[Any]:
        return children  # a list, where positions after `at` are a tuple

    def _bound(self, kind: str, meta: Meta, children: list[Any]) -> tree.BoundClause:
        return tree.BoundClause(_span(meta), kind, tuple(children))

    def at_least(self, meta: Meta, children: list[Any]) -> tree.BoundClause:
        return self._bound("at_least", meta, children)

    def at_most(self, meta: Meta, children: list[Any]) -> tree.BoundClause:
        return self._bound("at_most", meta, children)

    def between(self, meta: Meta, children: list[Any]) -> tree.BoundClause:
        return self._bound("between", meta, children)

    def within(self, meta: Meta, children: list[Any]) -> tree.BoundClause:
        return self._bound("within", meta, children)

    def by(self, meta: Meta, children: list[Any]) -> tree.ByClause:
        return tree.ByClause(_span(meta), word(children[0]))

    def by_difference(self, meta: Meta, children: list[Any]) -> tree.DifferenceClause:
        factor, first, sign, second = children
        return tree.DifferenceClause(_span(meta), factor, first, str(sign), second)

    def term(self, meta: Meta, children: list[Any]) -> tree.Term:
        return _term(children[0])

    def quantity(self, meta: Meta, children: list[Any]) -> tree.Quantity:
        sign = "-" if children[0] == "-" else ""
        number = next(t for t in children if t.type == "NUMBER")
        unit = str(children[-1]) if children[-1].type in ("PERCENT", "NAME") else ""
        text = f"{sign}{number}" + (unit if unit in ("", "%") else f" {unit}")
        return tree.Quantity(text, float(f"{sign}{number}"), unit, _span(meta))

    def test(self, meta: Meta, children: list[Any]) -> tree.TestSection:
        return tree.TestSection(_span(meta), _lines(children))

    def _setting(self, kind: str, meta: Meta, children: list[Any]) -> tree.SettingLine:
        words = tuple(map(word, _tokens(children, "NAME")))
        quantities = (*_of(tree.Quantity, children), *map(_number, _tokens(children, "NUMBER")))
        return tree.SettingLine(_span(meta), kind, words, quantities)

    def ablation(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("ablation", meta, children)

    def significance(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("significance", meta, children)

    def direction(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("direction", meta, children)

    def resamples(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("resamples", meta, children)

    def seed(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("seed", meta, children)

    def minimum_effect(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("minimum effect", meta, children)

    def random_edges(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("random edges", meta, children)

    def random_circuits(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("random circuits", meta, children)

    def random_subsets(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("random subsets", meta, children)

    def greedy_searches(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("greedy searches", meta, children)

    def looks(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("looks", meta, children)

    def pairs(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("pairs", meta, children)

    def sweep_pairs(self, meta: Meta, children: list[Any]) -> tree.SettingLine:
        return self._setting("sweep pairs", meta, children)


def _lines(children: list[Any]) -> tuple[Any, ...]:
    return tuple(child for child in children if not isinstance(child, Token))


def _clauses(children: list[Any]) -> tuple[tree.Clause, ...]:
    return tuple(c for c in children if isinstance(c, _CLAUSES))


def _term(token: Token) -> tree.Term:
    return tree.Term(word(token), token.type == "STRING")


def _number(token: Token) -> tree.Quantity:
    span = Span(token.start_pos or 0, token.end_pos or 0)
    return tree.Quantity(str(token), float(token), "", span)
