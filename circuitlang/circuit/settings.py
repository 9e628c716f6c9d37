"""The `test` block: how things are measured and judged. Every default is printed in the report."""

from dataclasses import dataclass
from enum import StrEnum


class Ablation(StrEnum):
    """What replaces an ablated output (semantics: node ablation).

    ZERO depends on where biases were folded. MEAN is over the corrupt prompts, per position.
    RESAMPLE is the output on the paired corrupt prompt.
    """

    ZERO = "zero"
    MEAN = "mean"
    RESAMPLE = "resample"


class Direction(StrEnum):
    """NOISING patches corrupt into clean (necessity), DENOISING the reverse (sufficiency)."""

    NOISING = "noising"
    DENOISING = "denoising"


class Correction(StrEnum):
    """How the level is shared by the claims of a file.

    HOLM keeps the chance of any wrong conclusion at the level, BH the expected share of wrong ones
    (for searches through many edges, where some mistakes are affordable).
    """

    HOLM = "holm"
    BH = "bh"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TestSettings:
    """Values of the `test` block; the defaults are those of this class."""

    __test__ = False  # not a pytest class

    ablation: Ablation = Ablation.MEAN
    per_template: bool = True
    direction: Direction = Direction.NOISING
    significance: float = 0.05
    correction: Correction = Correction.HOLM
    resamples: int = 10_000
    seed: int = 0
    minimum_effect: float = 0.01
    random_edges: int = 100
    """Matched random edges that each edge is set against, at most; 0 for none."""
    looks: int = 1
    """Stages after which a run may stop, all claims decided; each spends a part of the level."""
