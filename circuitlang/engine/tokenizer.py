"""A tokenizer as the prompts need it: which token covers which characters. No torch here."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from circuitlang.engine.errors import ModelError, one_line
from circuitlang.source.characters import hidden_characters

_ESCAPES = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})


class Tokenizer(Protocol):
    """What is needed of a tokenizer: ids with the characters that each covers."""

    unknown_id: int | None

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and half-open character ranges; nothing is added before or after."""
        ...

    def show(self, token: int) -> str:
        """A token as readable text."""
        ...

    def words(self) -> Sequence[int]:
        """Tokens that are text of their own, by their ids: what random tokens are drawn from."""
        ...


class FastTokenizer:
    """A `tokenizers.Tokenizer`, from a `tokenizer.json` or from a transformers tokenizer."""

    def __init__(self, backend: Any) -> None:  # noqa: ANN401 - tokenizers is untyped
        self._backend = backend
        # A saved tokenizer may cut prompts or fill them up, which would move END.
        backend.no_truncation()
        backend.no_padding()
        self.unknown_id: int | None = _unknown_id(backend)
        self._shown: dict[int, str] = {}

    @classmethod
    def from_folder(cls, folder: Path) -> "FastTokenizer":
        """Read `tokenizer.json`.

        Raises:
            FileNotFoundError: there is none.
            ModelError: it cannot be read.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise FileNotFoundError(f"{folder} has no tokenizer.json")
        from tokenizers import Tokenizer as Backend

        try:
            backend = Backend.from_file(str(path))
        except Exception as error:
            # The library raises plain Exceptions.
            raise ModelError(f"{path} is not a tokenizer: {one_line(error, 160)}") from error
        return cls(backend)

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids and character ranges."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return list(encoding.ids), list(encoding.offsets)

    def show(self, token: int) -> str:
        """Decoded text of one token, its leading space kept and its line ends escaped."""
        if token not in self._shown:
            piece = self._backend.id_to_token(token) or "?"
            text = self._backend.decode([token], skip_special_tokens=False)
            space = " " if piece.startswith(("Ġ", "▁")) and not text.startswith(" ") else ""
            self._shown[token] = (space + text).translate(_ESCAPES)
        return self._shown[token]

    def words(self) -> Sequence[int]:
        """All tokens but special ones, blanks, hidden characters and parts of a character."""
        return self._words

    @cached_property
    def _words(self) -> tuple[int, ...]:
        special = {*self._backend.get_added_tokens_decoder(), self.unknown_id}
        ids = sorted(set(self._backend.get_vocab().values()) - special)
        texts = self._backend.decode_batch([[i] for i in ids], skip_special_tokens=False)
        return tuple(i for i, text in zip(ids, texts, strict=True) if _can_be_read(text))


def _can_be_read(text: str) -> bool:
    return bool(text.strip()) and "\ufffd" not in text and not hidden_characters(text)


def _unknown_id(backend: Any) -> int | None:  # noqa: ANN401
    """Id that every unknown word gets; None where words fall into bytes or characters instead."""
    unknown = getattr(backend.model, "unk_token", None)
    found = backend.token_to_id(unknown) if unknown else getattr(backend.model, "unk_id", None)
    return found if isinstance(found, int) else None
