"""`from "pairs.jsonl"`: a data file found, confined and read into records."""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuitlang.circuit.prompts import Prompts, WordList
from circuitlang.circuit.resolve.limits import MAX_COLUMNS, MAX_DATA_BYTES, MAX_ROWS
from circuitlang.circuit.resolve.rows import Record, prompts_of
from circuitlang.circuit.resolve.scope import Scope
from circuitlang.source.characters import visible
from circuitlang.syntax import tree as syntax

_FORMATS = (".jsonl", ".csv")
_ROOT_MARKS = (".git", "pyproject.toml")


class UnusableError(ValueError):
    """A data file that cannot be used as a whole, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def resolve_data(
    line: syntax.FileLine,
    sample: tuple[int | None, int],
    lists: tuple[WordList, ...],
    scope: Scope,
) -> Prompts | None:
    """The pairs of a data file; None, with every bad row reported, when it cannot be used.

    ``lists`` are those that stand beside it.
    """
    name = line.path.text
    try:
        data = _read(_inside(scope.folder, name))
        records = [*_records(data.decode("utf-8-sig"), name)]
    except UnicodeDecodeError as error:
        found = f"`{name}` is not UTF-8 text: byte 0x{error.object[error.start]:02x}"
        row = error.object[: error.start].count(b"\n") + 1
        scope.error("CL321", line.path.span, f"{found} in line {row}", "save it as UTF-8")
        return None
    except UnusableError as error:
        scope.error("CL321", line.path.span, str(error), error.hint)
        return None
    digest = hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()
    return prompts_of(records, digest, line, sample, lists, scope)


def _inside(folder: Path, name: str) -> Path:
    """The file, which must lie in the project that the `.circuit` file belongs to.

    The project is the nearest folder above with a `.git` or a `pyproject.toml`, or else the file's
    own. Symbolic links count as what they lead to.
    """
    if Path(name).suffix.lower() not in _FORMATS:
        hint = "one JSON object a line (`.jsonl`), or a table with a header (`.csv`)"
        raise UnusableError(f"`{name}` is neither a `.jsonl` nor a `.csv` file", hint)
    try:
        home = folder.resolve()
        path = (home / name).resolve()
        marked = (at for at in (home, *home.parents) if any((at / m).exists() for m in _ROOT_MARKS))
        root = next(marked, home)
        if not path.is_relative_to(root):
            hint = "copy the file beside the circuit, so that the two stay together"
            raise UnusableError(f"`{name}` lies outside of the circuit's project", hint)
        if not path.is_file():
            reason = "is not a file" if path.exists() else "does not exist"
            raise UnusableError(f"`{name}` {reason}", "paths start at the circuit's folder")
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, UnusableError):
            raise
        raise UnusableError(f"`{name}` cannot be found: {_reason(error)}") from error
    return path


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_DATA_BYTES + 1)
    except OSError as error:
        raise UnusableError(f"`{path.name}` cannot be read: {_reason(error)}") from error
    if len(data) > MAX_DATA_BYTES:
        message = f"`{path.name}` is larger than {MAX_DATA_BYTES:,} bytes, the most it may have"
        raise UnusableError(message, "take a sample of its lines")
    return data


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _records(text: str, name: str) -> Iterator[Record]:
    found = _csv(text) if name.lower().endswith(".csv") else _jsonl(text)
    for count, record in enumerate(found, 1):
        if count > MAX_ROWS:
            message = f"`{name}` has more than {MAX_ROWS:,} rows, the most it may have"
            raise UnusableError(message, "take a sample of its lines")
        yield record


def _csv(text: str) -> Iterator[Record]:
    """Records of a table with a header; a row of another width is a problem of its own."""
    if "\0" in text:
        raise UnusableError("the table holds a NUL character, so it is no text")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise UnusableError("the table has no header", "its first line names the columns")
        columns = [column.strip() for column in header]
        if len(columns) > MAX_COLUMNS:
            raise UnusableError(f"the table has more than {MAX_COLUMNS:,} columns")
        twice, times = Counter(columns).most_common(1)[0]
        if times > 1:
            raise UnusableError(f"the table has two columns `{twice}`", "delete one of them")
        line = reader.line_num + 1
        for values in reader:
            if values and len(values) != len(columns):
                problem = f"{len(values)} values for {len(columns)} columns"
                yield Record(line, {}, problem)
            elif values:
                yield Record(line, dict(zip(columns, values, strict=True)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise UnusableError(f"line {reader.line_num} is no line of a table: {error}") from error


def _jsonl(text: str) -> Iterator[Record]:
    """Records of lines that are a JSON object each; what is none is a problem of its own."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(
                line, object_pairs_hook=_object, parse_constant=_refuse, parse_int=_integer
            )
        except RecursionError:
            yield Record(number, {}, "too many brackets inside each other")
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield Record(number, {}, f"not JSON: {visible(reason)}")
        else:
            if isinstance(value, dict):
                yield Record(number, value)
            else:
                yield Record(number, {}, "not a JSON object, which is written in braces")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"`{twice[:40]}` stands twice")
    return found


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _integer(digits: str) -> int | float:
    """Whole numbers; what has more digits than any number of tokens is none that is used."""
    return int(digits) if len(digits) <= 9 else float("inf")
