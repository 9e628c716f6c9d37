"""Bias-corrected and accelerated bootstrap: where on the resamples a percentile has to be read."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from circuitlang.statistics.bootstrap import Array, Resampler

_LEVEL = 1e-12
"""Squares below this share of the estimate's own are rounding, and no variation."""


@dataclass(frozen=True, slots=True)
class Shift:
    """BCa (Efron 1987, Journal of the American Statistical Association 82:171-185).

    ``bias`` is z0, the normal quantile of the share of resamples below the estimate;
    ``acceleration`` is a, how fast the standard error changes with the estimand. Both are zero for
    a plain percentile.
    """

    bias: float
    acceleration: float

    def resampled(self, z: float) -> float:
        """Where on the resamples (a normal quantile) the corrected quantile ``z`` is read."""
        total = self.bias + z
        scale = 1.0 - self.acceleration * total
        return self.bias + total / scale if scale > 0 else math.copysign(math.inf, total)

    def corrected(self, z: float) -> float:
        """Inverse of `resampled`."""
        beyond = z - self.bias
        scale = 1.0 + self.acceleration * beyond
        return beyond / scale - self.bias if scale > 0 else math.copysign(math.inf, beyond)

    @property
    def mirrored(self) -> "Shift":
        """The shift of the same estimate with its sign changed."""
        return Shift(-self.bias, -self.acceleration)


PERCENTILE = Shift(0.0, 0.0)


def bca_shift(resampled: Array, estimate: float, left_out: Array, draws: Resampler) -> Shift | None:
    """The shift of one estimate; None where BCa is not defined.

    Args:
        resampled: the estimate in every resample ``[resample]``.
        estimate: the estimate itself.
        left_out: the estimate without each prompt ``[prompt]``.
        draws: what the resamples were drawn by; prompts are left out inside their template, and
            with several templates the acceleration is that of their weighted sum.

    It is not defined when the estimate does not vary, when a resample or a jackknife value has no
    number, and when all resamples lie on one side of the estimate.
    """
    if not (np.isfinite(resampled).all() and np.isfinite(left_out).all()):
        return None
    influence = -draws.centred(left_out)
    squares = float((influence**2).sum())
    if squares <= (_LEVEL * max(1.0, abs(estimate))) ** 2:
        return None
    # Resamples equal to the estimate count half on either side, as SciPy has it.
    below = np.count_nonzero(resampled < estimate) + np.count_nonzero(resampled <= estimate)
    share = below / (2 * len(resampled))
    if not 0.0 < share < 1.0:
        return None
    bias = float(special.ndtri(share))
    return Shift(bias, float((influence**3).sum()) / (6 * squares**1.5))
