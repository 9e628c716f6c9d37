"""Text from files and models, made safe to print."""

import unicodedata

# Signs that this package itself prints, with what stands for them where only ASCII can be printed.
_ASCII = str.maketrans(
    {"\u2013": "-", "\u2212": "-", "\u2026": "...", "\u2265": ">=", "\u2264": "<="}
    | {"\u00d7": "x", "\u00b1": "+/-", "\u00b7": "-", "\u2018": "'", "\u2019": "'"}
    | {"\u201c": '"', "\u201d": '"'}
)


def plain(text: str) -> str:
    """One line without anything that acts: no control, bidi or other invisible format characters.

    White space becomes a plain space. What is left of an escape sequence is shown as the letters
    that it is.
    """
    kept = (" " if char.isspace() else char for char in text)
    return "".join(char for char in kept if not _acts(char)).strip()


def ascii_only(text: str) -> str:
    """ASCII for the same text; characters without a likeness appear as `\\u4e2d`."""
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def _acts(char: str) -> bool:
    # Cn holds U+FFFE and U+FFFF, which no XML document may have, and Cs lone surrogates, which
    # cannot be encoded.
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn"}
