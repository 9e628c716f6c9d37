"""How effects vary from prompt to prompt: a number for every word of a list."""

from enum import StrEnum

import numpy as np

from known.program import Array


class Variation(StrEnum):
    """The flavour of a known model.

    Noiseless: every word counts the same. Symmetric: numbers are spaced evenly. Skewed: they are
    the quantiles of an exponential distribution, so that a few words count for many.
    """

    NOISELESS = "noiseless"
    SYMMETRIC = "symmetric"
    SKEWED = "skewed"


def gains(variation: Variation, words: int) -> Array:
    """What a word's effect is multiplied with, ``[word]``; the mean is 1."""
    match variation:
        case Variation.NOISELESS:
            return np.ones(words)
        case Variation.SYMMETRIC:
            return np.linspace(0.5, 1.5, words)
        case Variation.SKEWED:
            values = _exponential(words)
            return values / values.mean()


def shares(variation: Variation, words: int) -> Array:
    """How much of its attention a head keeps where a word could draw it off, ``[word]``."""
    match variation:
        case Variation.NOISELESS:
            return np.ones(words)
        case Variation.SYMMETRIC:
            return np.linspace(0.2, 0.9, words)
        case Variation.SKEWED:
            values = _exponential(words)
            return 0.02 + 0.93 * values / values.max()


SCORE = 128.0
"""Of a match: scores that differ by half of it make softmax 0 or 1 in floating point."""


def draws(variation: Variation, words: int) -> Array:
    """The score that a word offers, beside :data:`SCORE` for a match, ``[word]``.

    Softmax leaves 1 / (1 + exp(draw - SCORE)) of the attention to the match, the word's share.
    Where nothing matches, the word gets all of it.
    """
    kept = shares(variation, words)
    varied = kept < 1
    free = np.log(1 / np.where(varied, kept, 0.5) - 1)
    return np.where(varied, SCORE + free, SCORE / 2)


def _exponential(words: int) -> Array:
    return np.asarray(-np.log(1 - (np.arange(words) + 0.5) / words))
