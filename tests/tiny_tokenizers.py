"""Byte-level BPE tokenizers made of chosen pieces, behaving as GPT-2's does."""

from typing import Any

SPACE = "Ġ"


def bpe(pieces: tuple[str, ...]) -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens and merges under which each piece is one token; any other text falls into bytes.

    Every merge lengthens a beginning by one character, so the beginnings of pieces are tokens too.
    """
    from tokenizers import pre_tokenizers

    tokens = dict.fromkeys(sorted(pre_tokenizers.ByteLevel.alphabet()))
    merges: dict[tuple[str, str], None] = {}
    # Pieces that begin with a space merge first: their space must not be left alone.
    for piece in sorted(pieces, key=lambda text: not text.startswith(" ")):
        text = piece.replace(" ", SPACE)
        for end in range(2, len(text) + 1):
            merges[text[: end - 1], text[end - 1]] = None
            tokens[text[:end]] = None
    return list(tokens), list(merges)


def bpe_tokenizer(*pieces: str) -> Any:
    """A `tokenizers.Tokenizer` of these pieces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens, merges = bpe(pieces)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def word_tokenizer(*words: str) -> Any:
    """One token a word, `<unk>` for every other one."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(("<unk>", *words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer
