"""The one true layout: sections apart by a blank line, aligned columns, comments kept in place.

Rows come from the tree, so spacing is always the same; only line numbers (which comment belongs
to which line, where the author left a blank line) are read from the source text.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from circuitlang.source import Diagnostic, SourceText
from circuitlang.syntax import tree
from circuitlang.syntax.grammar import keywords
from circuitlang.syntax.parser import parse

_INDENT = "  "
_BOUND_WORDS = {"at_least": ">=", "at_most": "<=", "within": "within"}
_SETTING_WORDS = {"ablation": "per ", "significance": "correction "}


class NotFormattable(ValueError):
    """The text has syntax errors, so a formatter would lose what it could not read."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        super().__init__(f"the text has {len(diagnostics)} syntax error(s) and cannot be formatted")
        self.diagnostics = tuple(diagnostics)


def format_source(source: SourceText) -> str:
    """The text of a file in the one true layout.

    Raises:
        NotFormattable: the text has syntax errors; its ``diagnostics`` say which.
    """
    document, diagnostics = parse(source)
    if diagnostics:
        raise NotFormattable(diagnostics)
    return format_document(document, source)


def format_document(document: tree.Document, source: SourceText) -> str:
    """A document in the one true layout, ending with one newline (an empty file stays empty).

    ``source`` is the text that the document was parsed from. ``parse`` of the result gives an equal
    document, and formatting it again changes nothing.

    Raises:
        NotFormattable: the document lacks statements that could not be parsed.
    """
    if document.skipped:
        raise NotFormattable(())
    entries = _Formatter(document, source).entries()
    lines = [text for entry in _spaced(entries) for text in entry]
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class _Entry:
    """Output lines that stand together, and the source lines that they come from."""

    first: int
    last: int
    lines: tuple[str, ...]
    is_comment: bool = False
    trailing: str = ""


def _spaced(entries: list[_Entry]) -> list[tuple[str, ...]]:
    """Top-level entries with one blank line after each section and where the author left one."""
    found = [entry.lines for entry in entries[:1]]
    for before, entry in pairwise(entries):
        if not before.is_comment or entry.first - before.last > 1:
            found.append(("",))
        found.append(entry.lines)
    return found


class _Formatter:
    """Knows which comments stand alone and which follow something on their line."""

    def __init__(self, document: tree.Document, source: SourceText) -> None:
        self.document = document
        self.source = source
        self.alone: list[_Entry] = []
        self.trailing: dict[int, str] = {}
        for comment in document.comments:
            line, column = source.line_column(comment.span.start)
            if source.line(line)[: column - 1].strip():
                self.trailing[line] = comment.text
            else:
                self.alone.append(_Entry(line, line, (comment.text,), is_comment=True))

    def entries(self) -> list[_Entry]:
        """Sections and the comments between them, in file order."""
        comments = iter(self.alone)
        comment = next(comments, None)
        found: list[_Entry] = []
        for section in self.document.sections:
            first, last = self._lines_of(section)
            inside: list[_Entry] = []
            while comment is not None and comment.first < last:
                (inside if comment.first > first else found).append(comment)
                comment = next(comments, None)
            found.append(_Entry(first, last, self._section(section, inside)))
        if comment is not None:
            found += [comment, *comments]
        return found

    def _lines_of(self, item: tree.Section | tree.BlockLine) -> tuple[int, int]:
        first, _ = self.source.line_column(item.span.start)
        last, _ = self.source.line_column(max(item.span.start, item.span.end - 1))
        return first, last

    def _section(self, section: tree.Section, inside: list[_Entry]) -> tuple[str, ...]:
        first, last = self._lines_of(section)
        if isinstance(section, tree.BlockSection):
            return self._block(section, first, last, inside)
        return (_with_comment(_one_line(section), self.trailing.get(last, "")),)

    def _block(
        self, section: tree.BlockSection, first: int, last: int, inside: list[_Entry]
    ) -> tuple[str, ...]:
        keyword = _KEYWORDS[type(section)]
        items = self._items(section, last)
        closing = self.trailing.get(last, "")
        shared = first == last or any(item.first == first for item in items)
        opening = "" if shared else self.trailing.get(first, "")
        body = sorted([*items, *inside], key=lambda entry: entry.first)
        if not body and not opening:
            return (_with_comment(keyword + " {}", closing),)
        return (
            _with_comment(keyword + " {", opening),
            *_body(body),
            _with_comment("}", closing),
        )

    def _items(self, section: tree.BlockSection, closing_line: int) -> list[_Entry]:
        """The lines of a block; a comment after `}` on a line is that brace's, not the item's."""
        texts = _LAYOUTS[type(section)](section.lines, self.source)
        found = []
        for item, text in zip(section.lines, texts, strict=True):
            line, _ = self._lines_of(item)
            comment = self.trailing.get(line, "") if line != closing_line else ""
            found.append(_Entry(line, line, (text,), trailing=comment))
        return found


def _body(entries: list[_Entry]) -> list[str]:
    """Indented lines of a block; trailing comments of neighbouring lines are aligned."""
    found: list[str] = []
    run: list[_Entry] = []
    for before, entry in zip([None, *entries], entries, strict=False):
        gap = before is not None and entry.first - before.last > 1
        if gap or not entry.trailing:
            found += _run(run)
            run = []
        if gap:
            found.append("")
        if entry.trailing:
            run.append(entry)
        else:
            found.append(_INDENT + entry.lines[0])
    return found + _run(run)


def _run(entries: list[_Entry]) -> list[str]:
    width = max((len(entry.lines[0]) for entry in entries), default=0)
    return [f"{_INDENT}{entry.lines[0]:<{width}}  {entry.trailing}" for entry in entries]


def _with_comment(text: str, comment: str) -> str:
    return f"{text}  {comment}" if comment else text


def _columns(rows: Sequence[Sequence[str]], gaps: Sequence[int]) -> list[str]:
    """Rows of cells as aligned lines; ``gaps`` are the spaces between one column and the next.

    A column that no row fills takes no room.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    after = [gap if width else 0 for width, gap in zip(widths, (*gaps, 0), strict=False)]
    return [
        "".join(
            cell.ljust(width) + " " * gap
            for cell, width, gap in zip(row, widths, after, strict=True)
        ).rstrip(" ")
        for row in rows
    ]


def _prompt_lines(lines: Sequence[tree.PromptLine], source: SourceText) -> list[str]:
    """A generator has a single cell, for which no column is made wider."""
    rows = [_prompt_row(line) for line in lines]
    aligned = iter(_columns([row for row in rows if row[1]], (1,)))
    return [next(aligned) if row[1] else row[0] for row in rows]


def _prompt_row(line: tree.PromptLine) -> tuple[str, str]:
    match line:
        case tree.CleanLine(template=template):
            return "clean", _quoted(template)
        case tree.CorruptLine(rules=rules, template=template):
            return "corrupt", _quoted(template) if template else ", ".join(map(_rule, rules))
        case tree.WordsLine(slots=slots, list_name=name, literals=literals):
            words = name.text if name else ", ".join(map(_literal, literals))
            return ", ".join(slot.text for slot in slots), f"from {words}"
        case tree.SampleLine(count=count, seed=seed):
            return "sample", count.text + (f" seed {seed.text}" if seed else "")
        case tree.FileLine(path=path):
            return "from", _quoted(path)
        case tree.GeneratorLine(name=name, arguments=arguments):
            return f"{name.text}({', '.join(map(_argument, arguments))})", ""


def _literal(literal: tree.Word | tree.WordRange) -> str:
    if isinstance(literal, tree.Word):
        return _quoted(literal)
    return f"{_quoted(literal.first)}..{_quoted(literal.last)}"


def _argument(argument: tree.Argument) -> str:
    value = argument.value
    return f"{argument.name.text} = {_term(value) if isinstance(value, tree.Term) else value.text}"


def _term(term: tree.Term) -> str:
    return _quoted(term.word) if term.literal else term.word.text


def _rule(rule: tree.CorruptRule) -> str:
    value = _quoted(rule.value) if rule.literal else rule.value.text
    return f"{rule.target.text} = {value}"


def _node_lines(lines: Sequence[tree.NodeLine], source: SourceText) -> list[str]:
    return _columns([_node_row(line, source) for line in lines], (1, 2, 2))


def _node_row(line: tree.NodeLine, source: SourceText) -> tuple[str, str, str, str]:
    return (
        line.name.text,
        ", ".join(component.text for component in line.components),
        "at " + _positions(line.positions, source) if line.positions else "",
        _quoted(line.label) if line.label else "",
    )


def _positions(positions: Sequence[tree.PositionRef], source: SourceText) -> str:
    # The tree keeps an offset's value; its digits are the author's.
    return ", ".join("".join(source.slice(position.span).split()) for position in positions)


def _edge_lines(lines: Sequence[tree.EdgeLine], source: SourceText) -> list[str]:
    """Senders are aligned among the lines that begin alike (`no`, `each`, neither)."""
    widths: dict[str, int] = {}
    for line in lines:
        prefix = _prefix(line)
        widths[prefix] = max(widths.get(prefix, 0), len(_endpoint(line.sender)))
    rows = [
        (
            _edge(line, widths[_prefix(line)]),
            *_tail(line.clauses),
            "  ".join(_places(clause, source) for clause in line.places),
        )
        for line in lines
    ]
    return _columns(rows, (2, 2, 2))


def _places(clause: tree.PlacesClause, source: SourceText) -> str:
    end = f" to {_positions(clause.end, source)}" if clause.end else ""
    return f"from {_positions(clause.start, source)}{end}"


def _prefix(line: tree.EdgeLine) -> str:
    return "no " * line.negated + "each " * line.each


def _edge(line: tree.EdgeLine, width: int) -> str:
    sender = _endpoint(line.sender).ljust(width)
    onward = "".join(f" {hop.arrow} {_endpoint(hop.receiver)}" for hop in line.onward)
    return f"{_prefix(line)}{sender} {line.arrow} {_endpoint(line.receiver)}{onward}"


def _endpoint(endpoint: tree.Endpoint) -> str:
    return endpoint.node.text + (f".{endpoint.slot.text}" if endpoint.slot else "")


def _claim_lines(lines: Sequence[tree.ClaimLine], source: SourceText) -> list[str]:
    """Steering and sweeps, which have long `by` clauses, do not push other claims apart."""
    rows: dict[str, list[tuple[str, str, str]]] = {}
    for line in lines:
        subject = f" {_endpoint(line.subject)}" if line.subject else " corrupt" * line.corrupt
        at = f" at {_positions(line.positions, source)}" if line.positions else ""
        route = " " + " -> ".join(_positions([end], source) for end in line.route)
        row = line.kind + subject + (at or route.rstrip()), *_tail(line.clauses)
        rows.setdefault(_group(line), []).append(row)
    aligned = {group: iter(_columns(own, (2, 2))) for group, own in rows.items()}
    return [next(aligned[_group(line)]) for line in lines]


def _group(line: tree.ClaimLine) -> str:
    """Lines with the same columns."""
    return line.kind if line.kind in ("steer", "sweep") else ""


def _tail(clauses: Sequence[tree.Clause]) -> tuple[str, str]:
    """A bound and a `by`, each in its column; clauses in another order stay in their order."""
    texts = [_clause(clause) for clause in clauses]
    kinds = [type(clause) for clause in clauses]
    if len(kinds) == 2 and kinds[0] is tree.BoundClause and kinds[1] is not tree.BoundClause:
        return texts[0], texts[1]
    if kinds == [tree.BoundClause]:
        return texts[0], ""
    return "", "  ".join(texts)


def _clause(clause: tree.Clause) -> str:
    if isinstance(clause, tree.ByClause):
        return f"by {clause.word.text}"
    if isinstance(clause, tree.DifferenceClause):
        terms = f"{_term(clause.first)} {clause.sign} {_term(clause.second)}"
        return f"by {clause.factor.text} * ({terms})"
    numbers = "..".join(quantity.text for quantity in clause.quantities)
    return f"{_BOUND_WORDS.get(clause.kind, 'in')} {numbers}"


def _setting_lines(lines: Sequence[tree.SettingLine], source: SourceText) -> list[str]:
    return _columns([(line.kind, _setting(line)) for line in lines], (1,))


def _setting(line: tree.SettingLine) -> str:
    quantities = [quantity.text for quantity in line.quantities]
    first, *rest = [*quantities, *(word.text for word in line.words)]
    before = _SETTING_WORDS.get(line.kind, "")
    return " ".join([first, *(before + word for word in rest)])


def _one_line(section: tree.CircuitSection | tree.ModelSection | tree.MetricSection) -> str:
    match section:
        case tree.CircuitSection(name=name, title=title):
            return f"circuit {name.text}" + (f" {_quoted(title)}" if title else "")
        case tree.ModelSection(kind=kind, value=value, options=options):
            shown = {"builtin": f"builtin {value.text}", "gguf": f"gguf {_quoted(value)}"}
            words = [shown.get(kind, _quoted(value))]
            words += [f"{name.text} {_bare(option)}" for name, option in options]
            return " ".join(["model", *words])
        case tree.MetricSection(name=name, arguments=arguments, spacing=spacing):
            given = f"({', '.join(map(_token_set, arguments))})" if arguments else ""
            return " ".join([f"metric {name.text}{given}", *(word.text for word in spacing)])


def _token_set(tokens: tree.TokenSet) -> str:
    chosen = f"{tokens.choice.text} " if tokens.choice else ""
    limit = f" {tokens.comparison} {tokens.limit.text}" if tokens.limit else ""
    return chosen + _term(tokens.term) + limit


def _quoted(word: tree.Word) -> str:
    return f'"{word.text}"'


def _bare(word: tree.Word) -> str:
    """An option's value: quoted only where it could not stand without quotes."""
    text = word.text
    is_name = text.isascii() and text.isidentifier() and text not in keywords()
    return text if is_name else _quoted(word)


_KEYWORDS: dict[type, str] = {
    tree.PromptsSection: "prompts",
    tree.NodesSection: "nodes",
    tree.EdgesSection: "edges",
    tree.ClaimsSection: "claims",
    tree.TestSection: "test",
}
_LAYOUTS: dict[type, Callable[[Any, SourceText], list[str]]] = {
    tree.PromptsSection: _prompt_lines,
    tree.NodesSection: _node_lines,
    tree.EdgesSection: _edge_lines,
    tree.ClaimsSection: _claim_lines,
    tree.TestSection: _setting_lines,
}
