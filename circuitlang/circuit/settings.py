"""The `test` block: how things are measured and judged. Every default is printed in the report."""

from dataclasses import dataclass
from enum import StrEnum

GREEDY_CANDIDATES = 10
"""Most components that a step of a greedy search tries; Wang et al. 2022 sample, too."""


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


class PairRule(StrEnum):
    """What is done with a prompt pair that is not as one would have it.

    KEEP judges it as any other, SKIP leaves it out and says so, REFUSE judges nothing.
    """

    KEEP = "keep"
    SKIP = "skip"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class PairRules:
    """A rule for each kind of doubtful pair.

    ``wrong``: the metric of the clean prompt is zero or below or, where it is no difference, the
    answer is not the likeliest token. ``same``: the metric is the same in
    both worlds. ``misaligned``: the tokens of the two prompts do not match, so that the pair cannot
    be measured (and cannot be kept). Leaving out what the model gets wrong selects on the outcome,
    so nothing is left out unless the file says so.
    """

    wrong: PairRule = PairRule.KEEP
    same: PairRule = PairRule.KEEP
    misaligned: PairRule = PairRule.REFUSE

    def __str__(self) -> str:
        return f"wrong {self.wrong}, same {self.same}, misaligned {self.misaligned}"


def greedy_sets(components: int) -> int:
    """Most sets that one greedy search tries in a circuit of so many components."""
    return sum(min(GREEDY_CANDIDATES, left) for left in range(1, components + 1))


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
    random_circuits: int = 100
    """Random circuits, or random heads in a circuit, that `sufficient` and `minimal` are set
    against, at most."""
    random_subsets: int = 10
    """Random sets of components that `completeness` and `minimality` knock out, besides the nodes'
    own, at most."""
    greedy_searches: int = 1
    """Greedy searches for the set that speaks most against `completeness`; 0 for none."""
    looks: int = 1
    """Stages after which a run may stop, all claims decided; each spends a part of the level."""
    pairs: PairRules = PairRules()
    sweep_pairs: int | None = None
    """Measured pairs, from the first, that sweeps are made on; all where it is None."""
