"""Records of a data file as prompt pairs, with every row that cannot be one."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from circuitlang.circuit.position import END
from circuitlang.circuit.prompts import (
    ANSWER,
    DISTRACTOR,
    DataFile,
    Prompts,
    Row,
    Template,
    Text,
    WordList,
)
from circuitlang.circuit.resolve.limits import (
    MAX_TEMPLATE_SLOTS,
    MAX_TEMPLATES,
    MAX_WORDS,
)
from circuitlang.circuit.resolve.places import Places
from circuitlang.circuit.resolve.row_values import (
    RowError,
    prompt_in,
    text_in,
    token_in,
    word_in,
    words_in,
)
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.source import clip, closest, counted
from circuitlang.syntax import tree as syntax

CLEAN, CORRUPT, TEMPLATE = "clean", "corrupt", "template"
_AT_TOKEN, _IN_CORRUPT = "@token", "@corrupt"
_NUMBERED = re.compile(r"(.+?)[1-9][0-9]{0,3}")
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Record:
    """The values of a line, or the ``problem`` for which it has none."""

    line: int
    values: Mapping[str, object]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which columns are read: those with a meaning, and those that the file names."""

    known: Sequence[str]
    words: Sequence[str]
    sets: Sequence[str]
    """Those of the metric that have a list in most rows."""
    places: Sequence[str]
    tokens: Sequence[str]
    joined: bool
    """Whether words follow the prompt without a space."""

    @classmethod
    def of(cls, records: Sequence[Record], scope: Scope) -> "_Columns":
        known = list(dict.fromkeys(name for record in records for name in record.values))
        own = {CLEAN, CORRUPT, TEMPLATE}
        named = {*scope.metric_names, ANSWER, DISTRACTOR} - own
        places: dict[str, None] = {}
        tokens: dict[str, None] = {}
        for name in sorted(scope.position_names - {END}):
            numbered = _NUMBERED.fullmatch(name)
            if name + _AT_TOKEN in known:
                tokens[name] = None
            elif name in known and name not in own:
                places[name] = None
            elif numbered and numbered[1] in known and numbered[1] not in own:
                places[numbered[1]] = None
        words = [name for name in known if name in named]
        sets = [name for name in words if _has_lists(records, name)]
        words = [name for name in words if name not in sets]
        return cls(known, words, sets, [*places], [*tokens], scope.metric_is_joined)

    def positions(self) -> frozenset[str]:
        """What could be named as a position, for those who misspell it."""
        own = (CLEAN, CORRUPT, TEMPLATE, ANSWER, DISTRACTOR)
        return frozenset(name.split("@")[0] for name in self.known if name not in own)


@dataclass(slots=True)
class _Reading:
    """Rows read one by one; problems by their line."""

    columns: _Columns
    labels: dict[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        try:
            if record.problem:
                raise RowError(record.problem)
            self.rows.append(self._row(record))
        except RowError as error:
            self.problems[record.line] = str(error)

    def _row(self, record: Record) -> Row:
        values, columns = record.values, self.columns
        clean, corrupt = prompt_in(values, CLEAN), prompt_in(values, CORRUPT)
        if clean == corrupt:
            raise RowError("`clean` and `corrupt` are the same")
        words = tuple((name, word_in(values, name, columns.joined)) for name in columns.words)
        sets = tuple((name, words_in(values, name, columns.joined)) for name in columns.sets)
        template = self._template(values)
        tokens = tuple((name, token_in(values, name + _AT_TOKEN)) for name in columns.tokens)
        own: list[tuple[str, int, int, int]] = []
        others: list[tuple[str, int, int, int]] = []
        for name in columns.places:
            here = _occurrences(name, word_in(values, name), clean, CLEAN)
            own += here
            if name + _IN_CORRUPT in values:
                there = _occurrences(name, word_in(values, name + _IN_CORRUPT), corrupt, CORRUPT)
                if len(here) != len(there):
                    raise RowError(
                        f"`{name}` stands {_times(len(here))} in the clean prompt and "
                        f"`{name}{_IN_CORRUPT}` {_times(len(there))} in the corrupt one"
                    )
                others += there
        own.sort(key=lambda place: place[2])
        return Row(
            record.line,
            template,
            Text(clean, tuple(own), tokens),
            Text(corrupt, tuple(others), tokens),
            words,
            sets,
        )

    def _template(self, values: Mapping[str, object]) -> int:
        if TEMPLATE not in self.columns.known:
            return 0
        value = values.get(TEMPLATE)
        label = str(value) if isinstance(value, int | float) else text_in(values, TEMPLATE)
        return self.labels.setdefault(label, len(self.labels))

    def check_counts(self) -> None:
        """A position that is numbered by its occurrences must have equally many in every row."""
        for name in self.columns.places:
            found: dict[int, Counter[int]] = {}
            for row in self.rows:
                found.setdefault(row.template, Counter())[_count(row, name)] += 1
            usual = {template: counts.most_common(1)[0][0] for template, counts in found.items()}
            for row in self.rows:
                count = _count(row, name)
                if count != usual[row.template]:
                    self.problems.setdefault(
                        row.line,
                        f"the text of `{name}` stands {_times(count)} in the clean prompt, "
                        f"and {_times(usual[row.template])} in most rows",
                    )

    def templates(self, line: syntax.FileLine) -> tuple[Template, ...]:
        """The strata, whose slots are the positions that the file names."""
        first: dict[int, tuple[str, ...]] = {}
        alike: dict[int, bool] = {}
        for row in self.rows:
            slots = tuple(place[0] for place in row.clean.places)
            before = first.setdefault(row.template, slots)
            alike[row.template] = alike.get(row.template, True) and before == slots
        names = {number: label for label, number in self.labels.items()}
        tokens = tuple(self.columns.tokens)
        return tuple(
            Template(
                ("",) * (len(slots) + len(tokens) + 1),
                (*slots, *tokens),
                line.span,
                label=names.get(number, line.path.text),
                ordered=alike[number] and not tokens,
            )
            for number, slots in sorted(first.items())
        )


def prompts_of(
    records: Sequence[Record],
    digest: str,
    line: syntax.FileLine,
    sample: tuple[int | None, int],
    beside: tuple[WordList, ...],
    scope: Scope,
) -> Prompts | None:
    """Prompts of the records; None, with every problem reported, when some cannot be used."""
    name, span = line.path.text, line.path.span
    if not records:
        scope.error("CL321", span, f"`{name}` has no rows")
        return None
    columns = _Columns.of(records, scope)
    # A name that is only misspelled is reported where the metric writes it.
    listed = {slot: words.span for words in beside for slot in words.slots}
    for column in sorted({*listed} & {*columns.known}):
        message = f"`{column}` has its words already, in `{name}`"
        scope.error("CL309", listed[column], message, "give the list another name")
    named = sorted(scope.metric_names - {*listed})
    strange = (n for n in named if closest(n, [*columns.words, *columns.sets, *listed]) is None)
    needed = (CLEAN, CORRUPT, *(n for n in strange if n not in (CLEAN, CORRUPT)))
    missing = [column for column in needed if column not in columns.known]
    if missing and columns.known:
        message = f"`{name}` has no column {' and no column '.join(f'`{x}`' for x in missing)}"
        found = {x: closest(x, {*columns.known} - {*needed}) for x in missing}
        meant = [f"`{other}` to `{x}`" for x, other in found.items() if other]
        scope.error("CL322", span, message, f"rename {' and '.join(meant)}" if meant else "")
        if {CLEAN, CORRUPT} & {*missing}:
            return None  # every row would only say so again
    reading = _Reading(columns)
    for record in records:
        reading.add(record)
    reading.check_counts()
    if reading.problems:
        _tell(reading.problems, len(records), line, scope)
        return None
    if len(reading.labels) > MAX_TEMPLATES:
        message = f"`{name}` has {len(reading.labels):,} templates; a file may have {MAX_TEMPLATES}"
        scope.error("CL228", span, message)
        return None
    if missing:
        return None
    rows, (wanted, seed) = tuple(reading.rows), sample
    if wanted is not None and wanted > len(rows):
        message = f"the sample asks for {wanted:,} of {counted(len(rows), 'row')}"
        scope.error("CL224", span, message, "rows never repeat; leave `sample` out to take all")
        return None
    words = {column: [dict(row.words)[column] for row in rows] for column in columns.words}
    for column in columns.sets:
        words[column] = [word for row in rows for word in dict(row.sets)[column]]
        if len({*words[column]}) > MAX_WORDS:
            message = f"the lists of `{column}` have more than {MAX_WORDS:,} different words"
            scope.error("CL228", span, message)
            return None
    lists = tuple(
        WordList((column,), tuple(dict.fromkeys(own)), None, span) for column, own in words.items()
    )
    data = DataFile(digest, name, rows)
    templates = reading.templates(line)
    scope.places = Places(templates, columns.positions())
    return Prompts(templates, (*lists, *beside), (), wanted or len(rows), seed, (), data)


def _has_lists(records: Sequence[Record], column: str) -> bool:
    """Whether most values of a column are lists."""
    found = [isinstance(r.values[column], list) for r in records if column in r.values]
    return 2 * sum(found) > len(found)


def _tell(problems: Mapping[int, str], of: int, line: syntax.FileLine, scope: Scope) -> None:
    """Every bad row with its place, the first ones with their reason."""
    lines = sorted(problems)
    for number in lines[:_SHOWN]:
        message = f"{clip(line.path.text, 80)}:{number}: {problems[number]}"
        scope.error("CL323", line.path.span, message)
    if more := lines[_SHOWN:]:
        message = f"{len(more):,} more of {of:,} rows cannot be used"
        shown = ", ".join(map(str, more[:_SHOWN])) + (", ..." if more[_SHOWN:] else "")
        scope.error("CL323", line.path.span, message, f"lines {shown}")


def _occurrences(name: str, word: str, text: str, where: str) -> list[tuple[str, int, int, int]]:
    """Every place where a word stands, counted from 1."""
    found: list[tuple[str, int, int, int]] = []
    start = text.find(word)
    while start >= 0:
        found.append((name, len(found) + 1, start, start + len(word)))
        start = text.find(word, start + len(word))
        if len(found) > MAX_TEMPLATE_SLOTS:
            raise RowError(f"its `{name}` stands more than {MAX_TEMPLATE_SLOTS} times")
    if not found:
        raise RowError(f"`{clip(word, 40)}`, which is its `{name}`, is not in its {where} prompt")
    return found


def _count(row: Row, name: str) -> int:
    return sum(place[0] == name for place in row.clean.places)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
