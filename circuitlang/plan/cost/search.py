"""What parts of a run cost that follow a plan's experiments: greedy searches, and some sweeps."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from circuitlang.circuit.settings import GREEDY_CANDIDATES
from circuitlang.models import ModelSize
from circuitlang.plan.circuit_tests import Experiments
from circuitlang.plan.cost.geometry import Geometry
from circuitlang.plan.cost.memory import WORLDS_MEMORY
from circuitlang.plan.cost.run import EngineCost, KindCost, RunCost, run_cost
from circuitlang.plan.greedy import measured_for, searches_of, searching
from circuitlang.plan.plan import Experiment, Plan


def search_cost(
    plan: Plan,
    size: ModelSize,
    searched: Sequence[Geometry],
    others: Sequence[Geometry],
    engine: EngineCost,
    memory: int = WORLDS_MEMORY,
) -> RunCost | None:
    """The cost of all searches of a plan, each to its last component; None where there is none.

    Every step runs its prompts clean and corrupt and makes the self-checks again, and so does what
    measures the sets that were found. ``searched`` are the batches of the pairs that are searched,
    ``others`` those of all others.
    """
    total: RunCost | None = None
    for part, batches in _parts(plan, searched, others):
        for experiments, times in Counter(part).items():
            own = run_cost(
                replace(plan, experiments=experiments, readings=()),
                size, batches, engine, memory, means_given=True,
            )  # fmt: skip
            for _ in range(times):
                total = own if total is None else with_cost(total, own)
    return None if total is None else _called(total, "greedy searches, at most")


def sweep_cost(
    cells: Plan,
    size: ModelSize,
    batches: Sequence[Geometry],
    engine: EngineCost,
    memory: int = WORLDS_MEMORY,
) -> RunCost:
    """The cost of sweeps that are made on the first pairs alone, whose ``batches`` these are."""
    prompts = sum(batch.prompts for batch in batches)
    return _called(run_cost(cells, size, batches, engine, memory), f"sweeps of {prompts:,} pairs")


def _called(cost: RunCost, kind: str) -> RunCost:
    """A part of a run with all its experiments under one name."""
    count = sum(each.experiments for each in cost.kinds)
    spent = sum(each.operations for each in cost.kinds)
    return replace(cost, kinds=(KindCost(kind, count, spent),))


def with_cost(one: RunCost, other: RunCost) -> RunCost:
    """Two parts of a run, one after the other."""
    return RunCost(
        one.engine,
        (*one.kinds, *other.kinds),
        one.whole + other.whole,
        one.stacked + other.stacked,
        one.worlds + other.worlds,
        one.checks + other.checks,
        one.measured + other.measured,
        max(one.bytes, other.bytes),
    )


def _parts(
    plan: Plan, searched: Sequence[Geometry], others: Sequence[Geometry]
) -> list[tuple[list[tuple[Experiment, ...]], Sequence[Geometry]]]:
    """Experiments of every part that is measured by itself, and the batches it is measured on.

    Which sets are tried is not known; that of all components stands for each.
    """
    claims = [tests for tests in searching(plan) if searches_of(tests)]
    if not claims or not searched:
        return []
    longest = max(len(tests.components) for tests in claims)
    each: list[tuple[Experiment, ...]] = []
    for step in range(longest):
        sets = {
            index: searches_of(tests) * min(GREEDY_CANDIDATES, max(0, len(tests.components) - step))
            for index, tests in enumerate(claims)
        }
        each.append(_standing_for(claims, sets))
    found = _standing_for(claims, {i: searches_of(tests) for i, tests in enumerate(claims)})
    return [(each, searched), *([([found], others)] if others else [])]


def _standing_for(claims: Sequence[Experiments], sets: dict[int, int]) -> tuple[Experiment, ...]:
    return tuple(
        Experiment(f"{index} {number} {kind}", run)
        for index, tests in enumerate(claims)
        for number in range(sets[index])
        for kind, run in enumerate((tests.alone(tests.sites), measured_for(tests, tests.sites)[-1]))
    )
