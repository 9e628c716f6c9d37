"""Paired bootstrap inside templates, with the small-sample widening of its percentiles."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Resampler:
    """Resampled prompt indices ``[resample, prompt]``; the same for every claim of a report.

    Prompts are drawn with replacement inside their template, so a template's share stays what the
    design gave it, and all worlds of a prompt move together (paired).
    """

    indices: NDArray[np.intp]
    prompts: int
    templates: int

    def means(self, values: Array) -> Array:
        """Mean of ``values [prompt]`` in every resample: ``[resample]``."""
        return np.asarray(values[self.indices].mean(axis=1), dtype=np.float64)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of a mean whose templates' levels are fitted."""
        return self.prompts - self.templates

    def percentile(self, tail: float) -> float:
        """The percentile to read off for a one-sided error of ``tail``.

        Percentile intervals are too narrow for small samples: they use normal quantiles and the
        variance with divisor n. The expanded percentile (Hesterberg 2015, The American
        Statistician 69:371-386) puts back Student's t and the divisor n - templates.
        """
        wide = np.sqrt(self.prompts / self.freedom) * stats.t.isf(tail, self.freedom)
        return float(stats.norm.sf(wide))

    def p_value(self, share: float) -> float:
        """The one-sided error for which ``share`` is the percentile: inverse of `percentile`."""
        narrow = stats.norm.isf(share) * np.sqrt(self.freedom / self.prompts)
        return float(stats.t.sf(narrow, self.freedom))


def resampler(templates: NDArray[np.intp], resamples: int, seed: int) -> Resampler:
    """Draw ``resamples`` resamples of prompts whose template numbers are ``templates [prompt]``."""
    random = np.random.default_rng(seed)
    indices = np.empty((resamples, len(templates)), dtype=np.intp)
    groups = np.unique(templates)
    for template in groups:
        members = np.flatnonzero(templates == template)
        indices[:, members] = random.choice(members, size=(resamples, len(members)))
    return Resampler(indices, len(templates), len(groups))


def share_at_most(values: Array, bound: float) -> float:
    """Share of resampled values at or below a bound, with the plus-one rule: never zero."""
    return float((1 + np.count_nonzero(values <= bound)) / (len(values) + 1))


def share_at_least(values: Array, bound: float) -> float:
    """Share of resampled values at or above a bound, with the plus-one rule: never zero."""
    return float((1 + np.count_nonzero(values >= bound)) / (len(values) + 1))
