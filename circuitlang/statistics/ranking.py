"""Whether something is larger than a share of a population, each comparison with its own noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from circuitlang.statistics.proportion import binomial_at_least, drawn_at_least, share_bounds

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Ranking:
    """One thing compared with some drawn from a population.

    ``wins`` and ``losses`` are p-values of it being larger, and of it being smaller, one each for
    every thing drawn. ``population``: how many there are to draw from, none drawn twice; None for
    independent draws from endlessly many.

    Two things can go wrong, and either gets half of the level: that fewer comparisons are really
    won than seem to be, and that the draw flatters. The first is a partial conjunction (Benjamini
    and Heller 2008, Biometrics 64:1215): that ``k`` of ``n`` nulls are false has the p-value
    (n - k + 1) p_(k). The second is an exact binomial or hypergeometric tail. Where all of the
    population was drawn, only the first is left and gets the whole level.
    """

    wins: tuple[float, ...]
    losses: tuple[float, ...]
    population: int | None

    @property
    def draws(self) -> int:
        """Number of things drawn."""
        return len(self.wins)

    def p_at_least(self, share: float) -> float:
        """p-value of being larger than at least a share of the population."""
        return self._p(self.wins, share)

    def p_less(self, share: float) -> float:
        """p-value of being larger than less than a share of the population."""
        if self.population is None:
            return self._p(self.losses, 1 - share)
        left = self.population - self._count(share) + 1
        return self._p(self.losses, left / self.population)

    def bounds(self, error: float) -> tuple[float, float]:
        """A lower and an upper bound of the share, each with an error of its own."""
        return self._least(self.wins, error), 1 - self._least(self.losses, error)

    def _count(self, share: float) -> int:
        return math.ceil(share * (self.population or 0) - _ROUNDING)

    def _p(self, p_values: Sequence[float], share: float) -> float:
        shown = _shown(p_values)
        if self.population == self.draws:
            needed = self._count(share)
            return shown[needed - 1] if needed else 1.0
        found = (max(p, self._drawn(k, share)) for k, p in enumerate(shown, 1))
        return min(1.0, 2 * min(found, default=1.0))

    def _drawn(self, successes: int, share: float) -> float:
        """The largest chance of so many successes when the share is too small."""
        if self.population is None:
            return binomial_at_least(successes, self.draws, share)
        good = self._count(share) - 1
        return drawn_at_least(successes, self.draws, good, self.population)

    def _least(self, p_values: Sequence[float], error: float) -> float:
        """The largest share that is shown at an error."""
        if self.population is None:
            shown = sum(p <= error / 2 for p in _shown(p_values))
            return share_bounds(shown, self.draws, error / 2)[0] if shown else 0.0
        counts = range(self.population, 0, -1)
        shares = (count / self.population for count in counts)
        return next((share for share in shares if self._p(p_values, share) <= error), 0.0)


def _shown(p_values: Sequence[float]) -> list[float]:
    """p-values of at least 1, 2, ... nulls being false, made to rise."""
    found, largest = [], 0.0
    for k, p in enumerate(sorted(p_values), 1):
        largest = max(largest, min(1.0, (len(p_values) - k + 1) * p))
        found.append(largest)
    return found


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
