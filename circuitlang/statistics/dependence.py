"""How much two columns of numbers depend on each other: HSIC, and distance correlation."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]

from circuitlang.statistics.pairs import LEAST_SPREAD

Array = NDArray[np.float64]


def hsic(x: Array, y: Array) -> float:
    """tr(K H L H) / (n - 1)^2 with Gaussian kernels (Gretton et al. 2005).

    The width of each kernel is the median distance between two values of its own column.
    """
    return _hsic(_centred(_kernel(x)), _kernel(y))


def hsic_p(x: Array, y: Array, permutations: int, seed: int) -> float:
    """Permutation p-value of dependence: (1 + permuted HSIC at least as large) / (1 + permuted)."""
    kernel, other = _centred(_kernel(x)), _kernel(y)
    # What is smaller by rounding alone counts as equally large.
    own = _hsic(kernel, other) * (1 - 1e-12)
    # NumPy promises the numbers of `RandomState`, and not those of `Generator`, for all time.
    random = np.random.RandomState(seed)
    larger = 0
    for _ in range(permutations):
        order = random.permutation(len(x))
        larger += _hsic(kernel, other[order][:, order]) >= own
    return (1 + larger) / (1 + permutations)


def _hsic(kernel: Array, other: Array) -> float:
    return float(np.vdot(kernel, other)) / (len(kernel) - 1) ** 2


def _distances(values: Array) -> Array:
    return np.abs(values[:, None] - values[None, :])


def _kernel(values: Array) -> Array:
    distances = _distances(values)
    width = float(np.median(distances[np.triu_indices(len(values), 1)]))
    if width == 0:  # half of all pairs are equal
        width = float(distances.mean()) or 1.0
    return np.asarray(np.exp(-(distances**2) / (2 * width**2)), dtype=np.float64)


def _centred(matrix: Array) -> Array:
    rows = matrix.mean(axis=0, keepdims=True)
    return np.asarray(matrix - rows - rows.T + matrix.mean(), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class DistanceCorrelation:
    """The distance correlation of two columns, between 0 and 1, with bounds on the true one.

    ``plain`` is that of Székely, Rizzo and Bakirov 2007 (Annals of Statistics 35:2769), which comes
    out too large on average; upper bounds start from it. ``corrected`` is the root of the square
    without that bias (Székely and Rizzo 2013, Journal of Multivariate Analysis 117:193), 0 where
    the square is negative; lower bounds start from it. Either way the bias speaks against a
    conclusion. ``error`` is a standard error by the jackknife, or `LEAST_SPREAD` / sqrt(n) where
    that is larger. A column that does not vary depends on nothing.
    """

    plain: float
    corrected: float
    error: float
    pairs: int

    @classmethod
    def of(cls, x: Array, y: Array) -> "DistanceCorrelation":
        """Of two columns of at least 5 numbers."""
        pairs = len(x)
        floor = LEAST_SPREAD / math.sqrt(pairs)
        a, b = _distances(x), _distances(y)
        both, one, other = _Covariance.of(a, b), _Covariance.of(a, a), _Covariance.of(b, b)
        scale = one.plain * other.plain
        if not scale > 0:
            return cls(0.0, 0.0, floor, pairs)
        plain = math.sqrt(max(0.0, both.plain) / math.sqrt(scale))
        below = one.unbiased * other.unbiased
        square = both.unbiased / math.sqrt(below) if below > 0 else 0.0
        scales = np.sqrt(np.maximum(one.without * other.without, 0.0))
        squares = np.divide(both.without, scales, out=np.zeros(pairs), where=scales > 0)
        roots = np.sqrt(np.maximum(squares, 0.0))
        error = math.sqrt((pairs - 1) / pairs * float(((roots - roots.mean()) ** 2).sum()))
        return cls(plain, math.sqrt(max(0.0, square)), max(error, floor), pairs)

    def p_below(self, limit: float) -> float:
        """p-value of the true distance correlation lying below a limit."""
        return float(special.stdtr(self.pairs - 1, (self.plain - limit) / self.error))

    def p_above(self, limit: float) -> float:
        """p-value of the true distance correlation lying above a limit."""
        return float(special.stdtr(self.pairs - 1, (limit - self.corrected) / self.error))

    def bounds(self, error: float) -> tuple[float, float]:
        """A lower and an upper bound, each with an error of its own."""
        reach = -float(special.stdtrit(self.pairs - 1, error)) * self.error
        return max(0.0, self.corrected - reach), min(1.0, self.plain + reach)


@dataclass(frozen=True, slots=True)
class _Covariance:
    """The squared distance covariance of two distance matrices.

    ``plain`` has divisor n^2, ``unbiased`` is the U-statistic, and ``without`` are the plain ones
    with each pair left out in turn, ``[pair]``.
    """

    plain: float
    unbiased: float
    without: Array

    @classmethod
    def of(cls, a: Array, b: Array) -> "_Covariance":
        n = len(a)
        row_a, row_b, rows = a.sum(axis=0), b.sum(axis=0), (a * b).sum(axis=0)
        same, all_a, all_b = float(rows.sum()), float(row_a.sum()), float(row_b.sum())
        cross = float(row_a @ row_b)
        unbiased = same + all_a * all_b / ((n - 1) * (n - 2)) - 2 * cross / (n - 2)
        # Leaving pair i out takes its row and its column from every sum.
        crossed = cross - row_a * row_b - a @ row_b - b @ row_a + rows
        without = _plain(same - 2 * rows, all_a - 2 * row_a, all_b - 2 * row_b, crossed, n - 1)
        return cls(
            float(_plain(np.array(same), np.array(all_a), np.array(all_b), np.array(cross), n)),
            unbiased / (n * (n - 3)),
            without,
        )


def _plain(same: Array, all_a: Array, all_b: Array, cross: Array, n: int) -> Array:
    value = same / n**2 + all_a * all_b / n**4 - 2 * cross / n**3
    return np.asarray(value, dtype=np.float64)
