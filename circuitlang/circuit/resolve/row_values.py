"""Values of a data file's row, each with what is wrong with it."""

import re
from collections.abc import Mapping

from circuitlang.circuit.resolve.limits import MAX_OFFSET, MAX_SET_WORDS, MAX_TEXT
from circuitlang.source.characters import hidden_characters

_INTEGER = re.compile(r"-?[0-9]{1,6}")
_LIST_IN_A_TEXT = ('["', "['")


class RowError(ValueError):
    """Why a row is no prompt pair."""


def text_in(values: Mapping[str, object], column: str) -> str:
    """A text that a reader sees.

    Raises:
        RowError: there is none, or it is too long or hides something.
    """
    value = values.get(column)
    if value is None:
        raise RowError(f"no `{column}`")
    if not isinstance(value, str):
        raise RowError(f"`{column}` is not a text")
    if not value.strip():
        raise RowError(f"`{column}` is empty")
    if len(value) > MAX_TEXT:
        raise RowError(f"`{column}` has more than {MAX_TEXT:,} characters")
    if value.isprintable():
        return value
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise RowError(f"`{column}` holds half a character (a lone surrogate)")
    if hidden_characters(value):
        raise RowError(f"`{column}` holds a character that hides or changes what a reader sees")
    return value


def prompt_in(values: Mapping[str, object], column: str) -> str:
    """A prompt.

    Raises:
        RowError: it is no text, or ends with a space.
    """
    text = text_in(values, column)
    if text[-1] == " ":
        raise RowError(f"`{column}` ends with a space, which the answer brings itself")
    return text


def word_in(values: Mapping[str, object], column: str, joined: bool = False) -> str:
    """A word or a text; the one space that it may begin with is the one before it in a prompt.

    One that is ``joined`` to the prompt has none.

    Raises:
        RowError: it is no text, or has more white space than that.
    """
    text = text_in(values, column)
    if joined and text.startswith(" "):
        raise RowError(f"`{column}` begins with a space, and the metric's words have none")
    if text.startswith(_LIST_IN_A_TEXT):
        raise RowError(f"`{column}` is a list in a text, and lists are for `.jsonl` files")
    word = text.removeprefix(" ")
    if word != word.strip():
        raise RowError(f"`{column}` begins or ends with white space")
    return word


def token_in(values: Mapping[str, object], column: str) -> int:
    """The number of a token.

    Raises:
        RowError: it is none.
    """
    value = values.get(column)
    if value is None:
        raise RowError(f"no `{column}`")
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 100 * MAX_OFFSET:
        raise RowError(
            f"`{column}` is not the number of a token: a whole number, below 0 from the end"
        )
    return value


def words_in(values: Mapping[str, object], column: str, joined: bool = False) -> tuple[str, ...]:
    """The words of a list, each once however often the list has it; there may be none.

    Raises:
        RowError: it is no list of words, or too long.
    """
    value = values.get(column)
    if value is None:
        raise RowError(f"no `{column}`")
    if not isinstance(value, list):
        raise RowError(f"`{column}` is no list of words, as it is in other rows")
    if len(value) > MAX_SET_WORDS:
        raise RowError(f"`{column}` has more than {MAX_SET_WORDS:,} words")
    named = {f"{column}[{number}]": word for number, word in enumerate(value)}
    return tuple(dict.fromkeys(word_in(named, name, joined) for name in named))
