"""Many hypotheses at once: Holm for declared claims, Benjamini-Hochberg for a search."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """The level that a hypothesis was held against, and whether it was rejected."""

    value: float
    rejected: bool


def holm_levels(p_values: Sequence[float | None], level: float) -> list[Level]:
    """Holm's step-down procedure (1979, Scandinavian Journal of Statistics 6:65-70).

    None stands for a hypothesis that could not be tested: it counts in the family and is never
    rejected. After the first hypothesis that is not rejected the level stays where it is.
    """
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    family = max(1, len(p_values))
    result = [Level(level / family, False)] * len(p_values)
    rejected, reached = True, level / family
    for rank, (p, index) in enumerate(tested):
        if rejected:
            reached = level / (family - rank)
            rejected = p <= reached
        result[index] = Level(reached, rejected)
    return result


def plain_levels(p_values: Sequence[float | None], level: float) -> list[Level]:
    """Every hypothesis at the whole level: no correction."""
    return [Level(level, p is not None and p <= level) for p in p_values]


def bh_levels(p_values: Sequence[float | None], level: float) -> list[Level]:
    """Benjamini and Hochberg's step-up procedure (1995, Journal of the Royal Statistical Society B
    57:289-300): of what is rejected, a share of at most ``level`` is expected to be wrong.

    It holds for independent and for positively dependent tests. None as for `holm_levels`. Every
    hypothesis is held against the same level, that of the last one rejected.
    """
    tested = sorted(p for p in p_values if p is not None)
    family = max(1, len(p_values))
    steps = [level * (rank + 1) / family for rank in range(len(tested))]
    reached = max(
        (step for p, step in zip(tested, steps, strict=True) if p <= step), default=level / family
    )
    return [Level(reached, p is not None and p <= reached) for p in p_values]


def bh_adjusted(p_values: Sequence[float], family: int | None = None) -> list[float]:
    """Adjusted p-values (q-values) of Benjamini and Hochberg, in the order given.

    ``family`` counts the hypotheses where only the most promising were tested; the others stand in
    it with p = 1, so choosing what to test by looking at the same data costs nothing more.
    """
    size = len(p_values) if family is None else family
    order = sorted(range(len(p_values)), key=lambda index: p_values[index], reverse=True)
    adjusted, smallest = [1.0] * len(p_values), 1.0
    for place, index in enumerate(order):
        rank = len(p_values) - place
        smallest = min(smallest, p_values[index] * size / rank)
        adjusted[index] = smallest
    return adjusted
