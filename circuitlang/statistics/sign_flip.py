"""Sign-flip permutation tests of a mean."""

import numpy as np

from circuitlang.statistics.bootstrap import Array, Resampler
from circuitlang.statistics.permutations import MOST_EXACT

_CHUNK = 2**22
_TIE = 1e-11
"""Sums that differ by less than this share of the largest are equal up to rounding."""


def sign_flip_p(columns: Array, draws: Resampler) -> Array:
    """One-sided p-values of means above zero, one for each of ``columns [prompt, column]``.

    Under the null hypothesis a prompt's value is as likely as its negative. p is the share of sign
    flips whose mean is at least as large as the one observed: of all 2**n up to 13 prompts, of
    ``draws.resamples`` random ones otherwise, where the observed one counts too, so that p is
    never zero (Phipson and Smyth 2010, Statistical Applications in Genetics and Molecular Biology
    9:39).

    With several templates the null hypothesis is about the mean over all of them, and a template
    may well lie off it: each template's mean is first moved onto the mean of all, and deviations
    are stretched by sqrt(size / (size - 1) * (n - 1) / n) for the means that were estimated. For
    one template nothing is moved or stretched, and the test is exact where values are symmetric.
    """
    prompts, width = columns.shape
    values = np.stack([_levelled(column, draws) for column in columns.T], axis=1)
    observed = values.sum(0)
    reached = observed - _TIE * np.abs(values).sum(0)
    if prompts <= MOST_EXACT:
        bits = (np.arange(2**prompts)[:, None] >> np.arange(prompts)) & 1
        return np.asarray(((1.0 - 2.0 * bits) @ values >= reached).mean(0))
    # A stream of its own: flips must not hang together with resamples.
    random = np.random.RandomState((draws.seed + 0x5169) % 2**32)
    count = np.ones(width)
    step = max(1, _CHUNK // prompts)
    for first in range(0, draws.resamples, step):
        rows = min(step, draws.resamples - first)
        drawn = np.frombuffer(random.bytes(rows * ((prompts + 7) // 8)), dtype=np.uint8)
        flipped = np.unpackbits(drawn.reshape(rows, -1), axis=1, count=prompts)
        count += (observed - 2 * (flipped.astype(np.float64) @ values) >= reached).sum(0)
    return np.asarray(count / (draws.resamples + 1))


def _levelled(values: Array, draws: Resampler) -> Array:
    sizes, prompts = draws.sizes, len(values)
    if len(sizes) == 1:
        return values
    size = np.bincount(draws.number)[draws.number]
    stretch = np.sqrt(size / (size - 1) * (prompts - 1) / prompts)
    return np.asarray(values.mean() + draws.centred(values) * stretch)
