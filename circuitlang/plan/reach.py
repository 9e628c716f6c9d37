"""How small an effect a design can show, known before anything runs."""

import math
from collections import Counter
from dataclasses import dataclass

from circuitlang.circuit import (
    AblationClaim,
    BaselineClaim,
    Bound,
    Circuit,
    Claim,
    Correction,
    EdgeClaim,
    FaithfulnessClaim,
    PatchClaim,
    PathClaim,
    ReadingClaim,
    ReadingKind,
    SteerClaim,
    Unit,
    expand,
)
from circuitlang.plan.design import MIN_PER_TEMPLATE
from circuitlang.plan.looks import looks_of
from circuitlang.statistics.permutations import smallest_p

_FEWEST_LOOKED_AT = 1_000

POWERS = (0.8, 0.95)
"""Chances of a PASS that a design is described by."""


@dataclass(frozen=True, slots=True)
class Design:
    """What decides the power of a file's tests.

    ``per_template`` counts the different prompts of each template. ``first_level`` is what the
    first claim of the family must reach, ``last_level`` what the last one must once all others are
    decided; equal without a correction, and with one claim. With several looks they are those of
    the last, so the power is a little more than is said: an earlier look may have decided, too.
    """

    per_template: tuple[int, ...]
    first_level: float
    last_level: float
    resamples: int

    @classmethod
    def of(cls, circuit: Circuit) -> "Design":
        """The design of a file; prompts are drawn to see how many of them differ."""
        settings, prompts = circuit.settings, circuit.prompts
        pairs = expand(prompts, circuit.metric)
        counts = Counter(pair.template for pair in set(pairs))
        family = 1 if settings.correction is Correction.NONE else len(circuit.all_claims)
        level = looks_of(circuit)[-1].level
        return cls(
            tuple(counts[i] for i in range(len(prompts.templates))),
            level / max(1, family),
            level,
            settings.resamples,
        )

    @property
    def prompts(self) -> int:
        """Different prompts."""
        return sum(self.per_template)

    @property
    def templates(self) -> int:
        """Templates; each takes a degree of freedom."""
        return len(self.per_template)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of a standard deviation inside templates."""
        return self.prompts - self.templates

    @property
    def fewest(self) -> int:
        """Prompts below which the first level cannot be reached, whatever the effect."""
        prompts = MIN_PER_TEMPLATE * self.templates
        while prompts < _FEWEST_LOOKED_AT and (
            smallest_p(prompts, self.resamples) > self.first_level
        ):
            prompts += self.templates
        return prompts

    @property
    def levels(self) -> tuple[float, ...]:
        """The first level, and the last where it is another."""
        return tuple(dict.fromkeys((self.first_level, self.last_level)))


@dataclass(frozen=True, slots=True)
class Reach:
    """What a PASS needs at one level, for each of `POWERS`; None where nothing is enough.

    For a bound with one limit ``distance`` is how far inside the effect must lie, in standard
    deviations (sd) of the prompts' residual effects, and ``largest_sd`` is empty. For one with two
    limits it is how far both must lie from an effect in their middle, and ``largest_sd`` the sd at
    which they do, in the bound's unit.
    """

    level: float
    distance: tuple[float | None, ...]
    largest_sd: tuple[float | None, ...] = ()


def reaches(design: Design, bound: Bound) -> tuple[Reach, ...]:
    """What a PASS needs, at the family's first and last level."""
    return tuple(_reach(design, bound, level) for level in design.levels)


def judged_by_its_mean(claim: Claim) -> bool:
    """Whether a claim is decided by a mean effect, so that the power of its test is known."""
    if isinstance(claim, ReadingClaim):
        # A score has sequences and no prompts; copying has an exact test of shares besides.
        return claim.kind in (ReadingKind.ATTENTION, ReadingKind.DIRECT_EFFECT)
    if isinstance(claim, BaselineClaim):
        return claim.bound.unit is not Unit.ACCURACY
    by_mean = EdgeClaim | PathClaim | AblationClaim | FaithfulnessClaim | PatchClaim | SteerClaim
    return isinstance(claim, by_mean)


def _reach(design: Design, bound: Bound, level: float) -> Reach:
    # SciPy takes longer to import than a file to check.
    from circuitlang.statistics.power import distance_for, room_for

    prompts, freedom = design.prompts, design.freedom
    if bound.low is None or bound.high is None:
        return Reach(level, tuple(distance_for(p, prompts, freedom, level) for p in POWERS))
    room = tuple(room_for(p, prompts, freedom, level) for p in POWERS)
    half = (bound.high - bound.low) / 2
    return Reach(level, room, tuple(None if r is None else half / r for r in room))


def middle(bound: Bound) -> float:
    """The effect that a bound with two limits is passed most easily with; NaN for one limit."""
    if bound.low is None or bound.high is None:
        return math.nan
    return (bound.low + bound.high) / 2
