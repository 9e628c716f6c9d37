"""`completeness` and `minimality` of Wang et al. 2022, section 4, over the sets that were tried."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from circuitlang.circuit import Bound
from circuitlang.evidence import numbers_of
from circuitlang.plan import KnockedOut
from circuitlang.plan.circuit_tests import Sites
from circuitlang.plan.greedy import Search
from circuitlang.report import EstimateUnit, GreedySearch, GreedyStep, Interval
from circuitlang.source import counted
from circuitlang.statistics.bootstrap import Array
from circuitlang.statistics.permutations import smallest_p
from circuitlang.verdict.circuit_tests.measured import Measured, interval_of
from circuitlang.verdict.circuit_tests.searching import ended_searches
from circuitlang.verdict.circuit_tests.tested import (
    CircuitTested,
    IntervalAt,
    TestedPart,
    every_part,
)
from circuitlang.verdict.decision import Tests, sides
from circuitlang.verdict.effect import Effect
from circuitlang.verdict.sampling import Tested


def completeness(measured: Measured) -> CircuitTested:
    """|F(C \\ K) - F(M \\ K)| is small for every set K of the circuit's parts that was tried.

    To pass, each set must be shown to lie inside the margin (two one-sided tests each), and as all
    of them must, no level is shared. To fail, one set outside is enough, so the smallest p-value is
    multiplied by their number.

    What a greedy search found is tested on the pairs that it did not see, so given those that it
    saw it is a set like any other. Every search counts as one set, whether it found a new one or
    not: the number that p-values are multiplied by is fixed before anything is measured.
    """
    experiments = measured.experiments
    sets = experiments.knocked_out()
    searches = ended_searches(experiments, measured.gated.measured)
    found = _found(sets, searches)
    chances = len(sets) + len(searches)
    parts = _gaps(sets, measured, chances)
    if found:
        parts += _gaps(found, measured.unsearched(), chances)
    parts.sort(key=lambda part: -abs(part.value))
    return CircuitTested(
        tests=every_part(parts, chances),
        parts=tuple(parts),
        definition=(
            f"{_gap_in_words(measured.whole)} for {len(parts)} sets K: nothing, each node, all "
            f"nodes, random components; {_searches_in_words(searches, measured)}"
        ),
        also=f"worst of {len(parts)} sets: {parts[0].name}{_also(parts[0], searches)}",
        short=_short(parts, measured.level),
        noise=_noise(parts),
        searches=tuple(_searched(one, measured) for one in searches),
        least_fail=sides(measured.claim.bound) * chances * _smallest_p(parts, measured),
    )


def _gaps(sets: Sequence[KnockedOut], measured: Measured, chances: int) -> list[TestedPart]:
    """F(C \\ K) - F(M \\ K) of every set, tested; one of ``chances`` is enough to fail."""
    experiments, columns = measured.experiments, []
    for knocked in sets:
        circuit = measured.of(experiments.alone(experiments.sites - knocked.sites))
        model = measured.model
        if knocked.sites:
            model = measured.of(experiments.model_without(knocked.sites))
        columns.append(circuit - model)
    whole = measured.whole
    definition = _gap_in_words(whole)
    return [
        TestedPart(
            f"K = {knocked.name}",
            one.effect.value,
            measured.unit,
            one.tests,
            _at(one, chances),
            float(one.effect.numerator.mean()),
            measured.templates,
            one.effect,
        )
        for knocked, one in zip(
            sets,
            measured.mean_tests(columns, whole, measured.claim.bound, definition),
            strict=True,
        )
    ]


def _gap_in_words(whole: Array | None) -> str:
    over = "" if whole is None else " / (F(M) - F(empty))"
    return f"(F(C \\ K) - F(M \\ K)){over}"


def _found(sets: Sequence[KnockedOut], searches: Sequence[Search]) -> tuple[KnockedOut, ...]:
    """The sets that searches ended with and that are not tried anyway, each once."""
    known, found = {knocked.sites for knocked in sets}, dict[Sites, KnockedOut]()
    for one in searches:
        if one.sites not in known:
            found.setdefault(one.sites, KnockedOut(_set_of(one), one.sites))
    return tuple(found.values())


def _set_of(search: Search) -> str:
    return f"{', '.join(map(str, search.components))} (found by greedy search {search.number})"


def _searches_in_words(searches: Sequence[Search], measured: Measured) -> str:
    if not searches:
        return "no greedy search was made"
    seen = counted(len(measured.gated.measured.searched), "pair")
    return (
        f"and what {counted(len(searches), 'greedy search')} on {seen} found, tested on the "
        "others: components taken away one by one, the one that makes the gap largest, until none "
        "makes it larger"
    )


def _also(worst: TestedPart, searches: Sequence[Search]) -> str:
    """How the searches came to what they found."""
    if not searches:
        return ""
    steps, tried = max(len(one.steps) for one in searches), sum(one.tried for one in searches)
    made = counted(len(searches), "greedy search")
    up_to = "up to " if len(searches) > 1 else ""
    return f"; {made} of {up_to}{counted(steps, 'step')} tried {counted(tried, 'set')}"


def _searched(search: Search, measured: Measured) -> GreedySearch:
    """A search for the report."""
    searched = set(measured.gated.measured.searched)
    judged = sum(number not in searched for number in numbers_of(measured.evidence))
    return GreedySearch(
        number=search.number,
        pairs=len(searched),
        judged=judged,
        tried=search.tried,
        start=search.start,
        steps=tuple(
            GreedyStep(component=str(step.component), candidates=step.candidates, gap=step.gap)
            for step in search.steps
        ),
    )


def minimality(measured: Measured) -> CircuitTested:
    """Every component v has a set K with |F(C \\ (K u {v})) - F(C \\ K)| at least the bound.

    To pass, every component must be shown to matter for one of its sets: over components no level
    is shared, over a component's sets and the two signs it is. To fail, one component must be shown
    not to matter for any of its sets that was tried.
    """
    experiments, limit = measured.experiments, measured.claim.bound.low or 0.0
    whole = None if measured.whole is None else measured.model
    over = "" if whole is None else " / F(M)"
    definition = f"max over K of |F(C \\ (K u v)) - F(C \\ K)|{over}"
    margin = Bound(-limit, limit, measured.claim.bound.unit, is_margin=True)
    parts, tried = [], 0
    for component in experiments.components:
        own, columns, names = experiments.of(component), [], []
        for knocked in experiments.knocked_out_beside(component):
            rest = experiments.sites - knocked.sites
            columns.append(
                measured.of(experiments.alone(rest - own)) - measured.of(experiments.alone(rest))
            )
            names.append(knocked.name)
        tested = measured.mean_tests(columns, whole, margin, definition)
        parts.append(_most(str(component), names, tested, measured.unit, measured.templates))
        tried += len(columns)
    parts.sort(key=lambda part: part.value)
    return CircuitTested(
        tests=every_part(parts),
        parts=tuple(parts),
        definition=(
            f"{definition}, for the component v whose largest is smallest; {tried} pairs of a "
            "component and a set were tried: nothing, nodes, and random components"
        ),
        also=f"least of {len(parts)} components: {parts[0].name}",
        short=_short(parts, measured.level),
        noise=_noise(parts),
        least_fail=len(parts) * _smallest_p(parts, measured),
    )


def _smallest_p(parts: Sequence[TestedPart], measured: Measured) -> float:
    """The smallest p-value that the part with the worst estimate can have."""
    return smallest_p(parts[0].prompts, measured.draws.resamples)


def _most(
    component: str,
    names: list[str],
    tested: list[Tested],
    unit: EstimateUnit,
    templates: tuple[int, ...],
) -> TestedPart:
    """A component with the set for which it matters most.

    `tested` is against the margin around zero, so to pass it is to matter less than the bound.
    """
    best = int(np.argmax([abs(one.effect.value) for one in tested]))

    def interval(level: float, fails: bool) -> Interval:
        error = level if fails else level / (2 * len(tested))
        each = [interval_of(one, error) for one in tested]
        low = max(0.0, *(max(i.low, -i.high) for i in each))
        high = max(max(i.high, -i.low) for i in each)
        return Interval(low=low, high=high, level=1 - 2 * error)

    tests = Tests(
        min(1.0, len(tested) * min(one.tests.p_fail for one in tested)),
        max(one.tests.p_pass for one in tested),
    )
    name = f"{component} (K = {names[best]})"
    effect, change = tested[best].effect, float(tested[best].effect.numerator.mean())
    return TestedPart(
        name, abs(effect.value), unit, tests, interval, change, templates, _positive(effect)
    )


def _positive(effect: Effect) -> Effect:
    """An effect whose sign does not matter, with the sign that its bound speaks of."""
    return effect if effect.value >= 0 else replace(effect, numerator=-effect.numerator)


def _at(one: Tested, sets: int) -> IntervalAt:
    def interval(level: float, fails: bool) -> Interval:
        return interval_of(one, level / (2 * sets) if fails else level)

    return interval


def _noise(parts: Sequence[TestedPart]) -> float:
    """How close to a limit rounding alone could decide, for the roughest of the parts."""
    return max(part.effect.tolerance for part in parts if part.effect is not None)


def _short(parts: list[TestedPart], level: float) -> str:
    left = sum(part.tests.p_pass > level for part in parts)
    return f"not shown for {left} of {len(parts)}" if left else ""
