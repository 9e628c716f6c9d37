"""Everything a reader is told, as one value."""

from enum import StrEnum
from typing import Literal, cast

from circuitlang.circuit import Unit
from circuitlang.evidence.frozen import Frozen
from circuitlang.evidence.provenance import Provenance
from circuitlang.evidence.self_check import SelfCheck
from circuitlang.report.mutation import Mutation
from circuitlang.report.place import Place
from circuitlang.report.sweep import SweepReport


class Verdict(StrEnum):
    """PASS and FAIL are conclusions; INCONCLUSIVE says the data do not tell; ERROR that nothing
    could be measured."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    ERROR = "ERROR"


class Interval(Frozen):
    """An interval that holds the effect with probability ``level``."""

    low: float
    high: float
    level: float


class Stratum(Frozen):
    """The estimate on the prompts of one template."""

    template: int
    text: str
    prompts: int
    value: float


EstimateUnit = Literal["fraction", "logits", "nats", "prob", "ranks", "accuracy", "share", "dCor"]
"""Logits to accuracy are metrics' own. Share: of prompts, components or circuits; dCor: a distance
correlation, between 0 and 1."""


def unit_of(unit: Unit) -> EstimateUnit:
    """Of an effect whose bound has this unit."""
    return "dCor" if unit is Unit.CORRELATION else cast("EstimateUnit", unit.value)


class Estimate(Frozen):
    """An effect with its uncertainty.

    ``value`` and ``interval`` are fractions of mean(clean) - mean(corrupt) for unit `fraction`, or
    in the metric's own unit. ``change`` is the mean change of the metric that the intervention
    made, in the metric's unit; of what was read without an intervention it is the mean, and the
    ``prompts`` of a score on random tokens are its sequences. ``strata`` are the templates, the
    worst for the claim first.
    ``method`` is how the interval was read off the resamples: BCa where it is defined.
    """

    value: float
    unit: EstimateUnit
    interval: Interval
    prompts: int
    change: float
    strata: tuple[Stratum, ...]
    method: Literal["BCa", "percentile"] = "percentile"


class Part(Frozen):
    """One of the parts that a circuit-level test is made of.

    A component, a set of components that was knocked out, or one of two conditions. ``p_pass`` and
    ``p_fail`` are of this part alone, ``unit`` is that of an estimate.
    """

    name: str
    value: float
    unit: EstimateUnit
    interval: Interval
    p_pass: float
    p_fail: float


class RandomEdges(Frozen):
    """An edge's effect among those of random edges that are like it but for the heads that send.

    ``drawn`` were asked of the model and ``measured`` gave a value; ``missing`` tells why none
    could be drawn. ``compared`` says what makes an effect large: the bound asks for positive
    effects, for negative ones, or for neither. ``rank`` counts from 1, the largest of measured + 1,
    and the claim's own effect comes last among equals; p = rank / (measured + 1). ``largest`` is
    the random effect that is the largest so, with its sign; ``median`` is the median of the random
    effects, or of their absolute values when these are compared. Both are in the estimate's unit.
    Nothing here takes part in the verdict.
    """

    drawn: int = 0
    measured: int = 0
    compared: Literal["effect", "-effect", "|effect|"] = "effect"
    rank: int | None = None
    p: float | None = None
    largest: float | None = None
    median: float | None = None
    missing: str = ""


class GreedyStep(Frozen):
    """A component that was taken away, how many were tried for it, and the gap without it."""

    component: str
    candidates: int
    gap: float


class GreedySearch(Frozen):
    """How a greedy search for the worst set K of `completeness` went (Wang et al. 2022, section 4).

    Each step takes away the component that makes |F(C \\ K) - F(M \\ K)| largest; the set that was
    found is that of all steps' components. ``start`` is that gap with nothing knocked out and
    ``tried`` counts the sets that were looked at. Gaps are in the metric's unit, on the ``pairs``
    that were searched; the claim is judged by what the set does on ``judged`` other pairs.
    """

    number: int
    pairs: int
    judged: int
    tried: int
    start: float
    steps: tuple[GreedyStep, ...]


class ClaimReport(Frozen):
    """One claim with its verdict.

    ``kind`` is edge, absence, path, ablate, patch, steer, faithfulness, a circuit-level test or
    what is read; of `baseline` the value is the mean metric itself. ``bound`` is shown as it was
    judged.
    ``p_pass`` and ``p_fail`` are the unadjusted one-sided p-values of the two conclusions, each the
    larger of a bootstrap's and a sign-flip test's, and ``level`` the corrected level they were held
    against. ``senders`` and ``receivers`` are set for edges, so that a drawing can find its line;
    of a path they are its two ends.
    ``random_edges`` is None where there was nothing to compare: for other claims, without an
    estimate, and under `random edges 0`.
    ``parts`` are those of a circuit-level test, the one that speaks most against the claim first;
    the estimate is that one's. ``searches`` are those that found some of them.
    """

    text: str
    kind: Literal[
        "edge",
        "absence",
        "path",
        "ablate",
        "patch",
        "steer",
        "faithfulness",
        "completeness",
        "minimality",
        "equivalent",
        "independent",
        "minimal",
        "sufficient",
        "attention",
        "copying",
        "direct_effect",
        "induction",
        "previous_token",
        "duplicate_token",
        "baseline",
    ]
    place: Place
    bound: str
    verdict: Verdict
    reason: str
    estimate: Estimate | None
    p_pass: float | None
    p_fail: float | None
    level: float | None
    experiments: tuple[str, ...]
    senders: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()
    definition: str = ""
    also: str = ""
    random_edges: RandomEdges | None = None
    parts: tuple[Part, ...] = ()
    searches: tuple[GreedySearch, ...] = ()


class Baseline(Frozen):
    """How the model does the task untouched, in the metric's unit.

    ``clean`` and ``corrupt`` are means over the ``prompts`` pairs that are judged, and None where
    none with a finite value is left (once 0: see ``prompts``). ``preferred`` is
    the share of clean prompts on which the metric is positive, and None for a metric that is no
    difference; ``answered`` the share on which the answer is the most likely of all tokens, and
    None for one without an answer. Both are of all ``measured`` pairs that differ, whether they are
    judged or not (0 in reports from before pairs could be left out: all are judged).
    ``lower_is_better``: effects are those of minus the metric.
    """

    metric: str
    unit: str
    lower_is_better: bool = False
    prompts: int
    measured: int = 0
    clean: float | None
    corrupt: float | None
    preferred: float | None
    answered: float | None
    example: str
    example_tokens: tuple[str, ...]

    @property
    def gap(self) -> float | None:
        """mean(clean) - mean(corrupt), turned round where lower is better; None without a mean."""
        if self.clean is None or self.corrupt is None:
            return None
        return self.corrupt - self.clean if self.lower_is_better else self.clean - self.corrupt


class NamedPair(Frozen):
    """A prompt pair by its place among those drawn, from 1, and what is the matter with it."""

    number: int
    template: int
    clean: str
    corrupt: str
    reason: str


class PairGroup(Frozen):
    """The pairs of one kind, and what the file's rule does with them; `once` counts copies once."""

    rule: Literal["keep", "skip", "refuse", "once"]
    count: int
    pairs: tuple[NamedPair, ...]


class TemplatePairs(Frozen):
    """How many pairs of a template were drawn, and how many are judged."""

    template: int
    drawn: int
    judged: int


class Pairs(Frozen):
    """The account of all prompt pairs: what became of each.

    ``misaligned`` pairs are not measured. ``copies`` repeat an earlier pair word for word. Of the
    pairs that are left, the model does not prefer the answer in those in ``wrong``, and those in
    ``same`` have the same metric in both worlds; a pair can be in both. ``judged`` pairs are those
    that no rule leaves out; with a pair in a group of the rule `refuse` every verdict is ERROR.
    """

    drawn: int
    measured: int
    judged: int
    copies: PairGroup
    misaligned: PairGroup
    wrong: PairGroup
    same: PairGroup
    templates: tuple[TemplatePairs, ...]
    warnings: tuple[str, ...] = ()


class Settings(Frozen):
    """What was asked for, defaults included, in words; reports from before random edges have 0, and
    those from before the rules about pairs have none; before looks were printed it is 1.
    ``sweep_pairs`` is 0 where sweeps are made on all pairs."""

    ablation: str
    direction: str
    significance: float
    correction: str
    family: int
    resamples: int
    seed: int
    minimum_effect: float
    random_edges: int = 0
    pairs: str = ""
    looks: int = 1
    sweep_pairs: int = 0
    random_circuits: int = 0
    random_subsets: int = 0
    greedy_searches: int = 0
    interval_method: str


class Looks(Frozen):
    """How far a run with several looks came.

    The verdicts are those of look ``done`` of ``planned``, after ``prompts`` of
    ``planned_prompts``. ``level`` is what that look alone may spend of the settings' significance,
    ``spent`` with the looks before it; the levels of all looks sum to the significance.
    """

    planned: int
    done: int
    level: float
    spent: float
    prompts: int
    planned_prompts: int


class Report(Frozen):
    """A judged hypothesis, complete unless the run was interrupted.

    ``pairs`` is None in reports from before pairs were accounted for.
    ``sweeps`` take no part in any verdict.
    ``mutation`` is there when the run was made with mutants (`circuitlang mutate`).
    """

    schema_version: Literal[1] = 1
    circuitlang: str
    file: str
    file_sha256: str
    circuit: str
    title: str
    complete: bool
    provenance: Provenance
    baseline: Baseline
    pairs: Pairs | None = None
    settings: Settings
    claims: tuple[ClaimReport, ...]
    sweeps: tuple[SweepReport, ...] = ()
    self_checks: tuple[SelfCheck, ...]
    notes: tuple[str, ...]
    looks: Looks | None = None
    mutation: Mutation | None = None

    def count(self, verdict: Verdict) -> int:
        """Number of claims with a verdict."""
        return sum(claim.verdict is verdict for claim in self.claims)
