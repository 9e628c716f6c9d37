"""The measurements that circuit-level tests are made of, and the one door to the bootstrap."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuitlang.circuit import Bound, CircuitTestClaim, Unit
from circuitlang.evidence import Evidence, numbers_of, on_prompts
from circuitlang.plan import Experiments, Intervention, Plan, experiment_id
from circuitlang.plan.design import MIN_PER_TEMPLATE
from circuitlang.report import EstimateUnit, Interval, unit_of
from circuitlang.statistics.bootstrap import Array, Resampler
from circuitlang.verdict.effect import Effect, NotMeasuredError, finite, measured
from circuitlang.verdict.gate import Gated
from circuitlang.verdict.sampling import Tested, sample_effects
from circuitlang.verdict.whole import Family


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One claim's experiments and the metric in each of them, ``[prompt]``.

    ``level`` is the declared significance and ``family`` the number of claims that share it.
    """

    claim: CircuitTestClaim
    plan: Plan
    gated: Gated
    draws: Resampler
    level: float
    family: int

    @property
    def evidence(self) -> Evidence:
        """Of the pairs that are judged."""
        return self.gated.evidence

    @property
    def templates(self) -> tuple[int, ...]:
        """Of each prompt."""
        return self.draws.templates

    def unsearched(self) -> "Measured":
        """The same on the judged pairs that no search has seen.

        Raises:
            NotMeasuredError: they are too few to show how they vary.
        """
        evidence, searched = self.evidence, set(self.evidence.searched)
        rows = [row for row, n in enumerate(numbers_of(evidence)) if n not in searched]
        left = on_prompts(evidence, rows)
        draws = replace(self.draws, templates=tuple(prompt.template for prompt in left.prompts))
        if set(draws.templates) < set(self.templates) or draws.sizes.min() < MIN_PER_TEMPLATE:
            raise NotMeasuredError(
                f"a template has fewer than {MIN_PER_TEMPLATE} pairs that the greedy search did "
                "not see: sample more, or write `greedy searches 0`"
            )
        return replace(self, gated=replace(self.gated, evidence=left), draws=draws)

    @property
    def experiments(self) -> Experiments:
        """What stands for what."""
        return Experiments(self.claim, self.plan.circuit)

    @property
    def model(self) -> Array:
        """s(M): the clean run."""
        return finite(self.evidence.clean, "clean run", self.evidence)

    def of(self, intervention: Intervention) -> Array:
        """s of an experiment.

        Raises:
            NotMeasuredError: it has no finite measurement.
        """
        return measured(self.evidence, experiment_id(intervention))

    @property
    def circuit(self) -> Array:
        """s(C)."""
        return self.of(self.experiments.circuit_alone())

    @property
    def noise(self) -> float:
        """Which difference of s says nothing."""
        return self.plan.circuit.metric.noise

    @property
    def unit(self) -> EstimateUnit:
        """Of differences of F: that of the bound."""
        return unit_of(self.claim.bound.unit)

    @property
    def whole(self) -> Array | None:
        """F(M) - F(empty), per prompt: what a fraction is of; None for bounds in F's own unit."""
        if self.claim.bound.unit is not Unit.FRACTION:
            return None
        return self.model - self.of(self.experiments.empty())

    def mean_tests(
        self, columns: Sequence[Array], whole: Array | None, bound: Bound, definition: str
    ) -> list[Tested]:
        """mean(column) / mean(whole) against a bound, for every column, by the paired bootstrap.

        Raises:
            NotMeasuredError: one of them cannot be tested.
        """
        effects = [
            (Effect(column, whole, definition, noise=self.noise), bound) for column in columns
        ]
        found: list[Tested] = []
        for result in sample_effects(effects, self.draws, Family(self.level, self.family)):
            if isinstance(result, str):
                raise NotMeasuredError(result)
            found.append(result)
        return found


def interval_of(tested: Tested, error: float) -> Interval:
    """The interval of a mean with an error on each side."""
    low, high, level = tested.distribution.limits(error)
    return Interval(low=low, high=high, level=level)


def squared(one: Array, other: Array, noise: float) -> Array:
    """Squared differences, where what is less than float noise counts as none."""
    difference = one - other
    return np.where(np.abs(difference) < noise, 0.0, difference**2)
