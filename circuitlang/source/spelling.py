"""`did you mean`: the nearest known word to an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint naming the closest known word, or listing the known ones when few, or nothing."""
    words = sorted(set(known))
    if word.lower() in (lowered := {w.lower(): w for w in words}):
        return f"did you mean `{lowered[word.lower()]}`?"
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    if 0 < len(words) <= 12:
        return "known: " + ", ".join(words)
    return ""
