"""Words: the nearest known one to an unknown one (`did you mean`), and plurals."""

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None."""
    # A word of hundreds of letters is no slip of the finger, and comparing it takes long.
    if len(word) > 100:
        return None
    words = sorted({w for w in known if len(w) <= 100})
    if word.lower() in (lowered := {w.lower(): w for w in words}):
        return lowered[word.lower()]
    close = get_close_matches(word, words[:2_000], n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the closest known word, or listing the known ones when few, or nothing."""
    words = sorted(set(known))
    if meant := closest(word, words):
        return f"did you mean `{meant}`?"
    if 0 < len(words) <= 12:
        return "known: " + ", ".join(words)
    return ""


def counted(number: int, noun: str) -> str:
    """`1 prompt`, `1,200 prompts`, `2 passes`."""
    plural = "es" if noun.endswith(("s", "ch")) else "s"
    return f"{number:,} {noun}" + ("" if number == 1 else plural)
