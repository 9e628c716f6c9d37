"""How much two columns of numbers depend on each other: HSIC, and distance correlation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]

Array = NDArray[np.float64]

MIN_PAIRS = 30
"""Below so many pairs the upper bound of the distance correlation is not trusted."""


def hsic(x: Array, y: Array) -> float:
    """tr(K H L H) / (n - 1)^2 with Gaussian kernels (Gretton et al. 2005).

    The width of each kernel is the median distance between two values of its own column.
    """
    return _hsic(_centred(_kernel(x)), _kernel(y))


def _hsic(kernel: Array, other: Array) -> float:
    return float((kernel * other).sum()) / (len(kernel) - 1) ** 2


def hsic_p(x: Array, y: Array, permutations: int, seed: int) -> float:
    """Permutation p-value of dependence: (1 + permuted HSIC at least as large) / (1 + permuted)."""
    kernel, other = _centred(_kernel(x)), _kernel(y)
    # Beyond rounding: a constant column gives zero whatever the order.
    own = _hsic(kernel, other) * (1 - 1e-12)
    random = np.random.RandomState(seed)
    larger = 0
    for _ in range(permutations):
        order = random.permutation(len(x))
        larger += _hsic(kernel, other[np.ix_(order, order)]) >= own
    return (1 + larger) / (1 + permutations)


def _distances(values: Array) -> Array:
    return np.abs(values[:, None] - values[None, :])


def _kernel(values: Array) -> Array:
    distances = _distances(values)
    width = float(np.median(distances[np.triu_indices(len(values), 1)]))
    if width == 0:  # half of all pairs are equal
        positive = distances[distances > 0]
        width = float(positive.mean()) if positive.size else 1.0
    return np.exp(-(distances**2) / (2 * width**2))


def _centred(matrix: Array) -> Array:
    rows = matrix.mean(axis=0, keepdims=True)
    return matrix - rows - rows.T + matrix.mean()


@dataclass(frozen=True, slots=True)
class DistanceCorrelation:
    """The squared distance correlation, estimated without bias of its parts, and its error.

    ``square`` is that of Székely and Rizzo 2013 (Journal of Multivariate Analysis 117:193-213),
    which is 0 on average for independent columns and can be negative; ``error`` its standard error
    by the jackknife.
    """

    square: float
    error: float
    pairs: int

    @property
    def value(self) -> float:
        """The distance correlation, 0 where its square came out negative."""
        return float(np.sqrt(max(0.0, self.square)))
