"""Whether something is larger than a share of a population, each comparison with its own noise."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from circuitlang.statistics.proportion import binomial_at_least, drawn_at_least, share_bounds

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Ranking:
    """One thing compared with some drawn from a population.

    ``wins`` and ``losses`` are p-values of it being larger, and of it being smaller, one each for
    every thing drawn. ``population``: how many there are to draw from, none drawn twice; None for
    independent draws from endlessly many. ``level`` and ``level_less`` are the levels that the
    p-values of `p_at_least` and of `p_less` will be held against at the strictest. ``different``:
    how many of the comparisons are not copies of another, None for all; ``smallest``: the smallest
    p-value that a comparison can have, whatever was measured.

    Two things can go wrong: that the draw flatters, and that fewer comparisons are really won than
    seem to be. So many wins are asked for that the first happens at most at half of the level
    (exact binomial or hypergeometric tail), and that both together can reach the level at all; the
    number is fixed before anything is measured. That ``k`` of ``n`` nulls are false
    has the p-value (n - k + 1) p_(k), however the comparisons depend on each other (partial
    conjunction, Benjamini and Heller 2008, Biometrics 64:1215), or m p_(k) when only ``m`` of them
    are different (Bonferroni over those). The two chances add up. Where all of the population was
    drawn, the first is nought.
    """

    wins: tuple[float, ...]
    losses: tuple[float, ...]
    population: int | None
    level: float
    level_less: float
    different: int | None = None
    smallest: float = 0.0

    @property
    def draws(self) -> int:
        """Number of things drawn."""
        return len(self.wins)

    def p_at_least(self, share: float) -> float:
        """p-value of being larger than at least a share of the population."""
        return self._p(self.wins, share, self.level)

    def p_less(self, share: float) -> float:
        """p-value of being larger than less than a share of the population."""
        if self.population is None:
            return self._p(self.losses, 1 - share, self.level_less)
        left = self.population - self._count(share) + 1
        return self._p(self.losses, left / self.population, self.level_less)

    def bounds(self, error: float) -> tuple[float, float]:
        """A lower and an upper bound of the share, each with an error of its own.

        As many comparisons count as won as one partial conjunction allows, which for more than the
        one number fixed beforehand is right where the comparisons do not go against each other
        (Hochberg 1988, Biometrika 75:800).
        """
        low = self._least(self.wins, error, self.level)
        return low, 1 - self._least(self.losses, error, self.level_less)

    def _count(self, share: float) -> int:
        return math.ceil(share * (self.population or 0) - _ROUNDING)

    def _p(self, p_values: Sequence[float], share: float, level: float) -> float:
        wins = range(1, self.draws + 1)
        rare = bisect_left(wins, True, key=lambda k: self._luck(k, share) <= level / 2)
        # With fewer wins than this no p-values could be small enough.
        told = bisect_left(wins, True, key=lambda k: self._best(k, share) <= level)
        needed = rare if told == self.draws else max(rare, told)
        if needed == self.draws:
            return 1.0
        return min(1.0, self._luck(wins[needed], share) + self._shown(sorted(p_values), needed + 1))

    def _best(self, k: int, share: float) -> float:
        """The smallest p-value that ``k`` wins can have."""
        return self._luck(k, share) + self._times(k) * self.smallest

    def _times(self, k: int) -> int:
        """What the p-value of ``k`` nulls being false is multiplied by."""
        return min(self.draws - k + 1, self.different or self.draws)

    def _shown(self, ordered: Sequence[float], k: int) -> float:
        """p-value of at least ``k`` nulls being false, from the p-values in order."""
        return min(1.0, self._times(k) * ordered[k - 1])

    def _luck(self, successes: int, share: float) -> float:
        """The largest chance of so many successes when the share is too small."""
        if self.population is None:
            return binomial_at_least(successes, self.draws, share)
        good = self._count(share) - 1
        return drawn_at_least(successes, self.draws, good, self.population)

    def _least(self, p_values: Sequence[float], error: float, level: float) -> float:
        """The largest share that is shown at an error."""
        exhausted = self.population == self.draws
        allowed = error if exhausted else error - min(error, level) / 2
        counts, ordered = range(self.draws, 0, -1), sorted(p_values)
        shown = next((k for k in counts if self._shown(ordered, k) <= allowed), 0)
        if not shown:
            return 0.0
        if exhausted:
            return shown / self.draws
        luck = min(error, level) / 2
        if self.population is None:
            return share_bounds(shown, self.draws, luck)[0]
        whole = self.population
        shares = range(1, whole + 1)
        least = bisect_left(shares, True, key=lambda count: self._luck(shown, count / whole) > luck)
        return least / whole


def fewest_draws(share: float, level: float) -> int:
    """Independent draws, all of them won, that can show a share at a level."""
    return math.ceil(math.log(level / 2) / math.log(share) - _ROUNDING)


def fewest_of(population: int, share: float, level: float) -> int:
    """Draws from a population, none twice and all of them won, that can show a share at a level."""
    good = math.ceil(share * population - _ROUNDING) - 1
    return next(
        (n for n in range(1, population) if drawn_at_least(n, n, good, population) <= level / 2),
        population,
    )
