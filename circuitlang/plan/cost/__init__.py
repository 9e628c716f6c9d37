"""What experiments and runs cost, known before anything runs and without weights."""

from circuitlang.plan.cost.checks import (
    CHECKED_PROMPTS,
    check_sample,
    claimed,
    dealt,
    position_probe,
    witnessed_prompt,
)
from circuitlang.plan.cost.duration import Machine, seconds
from circuitlang.plan.cost.geometry import Geometry, rows_of_batches
from circuitlang.plan.cost.memory import LOGITS_AT_ONCE, WORLDS_MEMORY
from circuitlang.plan.cost.run import (
    STACKED_TOKENS,
    EngineCost,
    KindCost,
    RunCost,
    operations,
    run_cost,
)
from circuitlang.plan.cost.search import search_cost, sweep_cost, with_cost
from circuitlang.plan.cost.work import Work

__all__ = [
    "CHECKED_PROMPTS",
    "LOGITS_AT_ONCE",
    "STACKED_TOKENS",
    "WORLDS_MEMORY",
    "EngineCost",
    "Geometry",
    "KindCost",
    "Machine",
    "RunCost",
    "Work",
    "check_sample",
    "claimed",
    "dealt",
    "operations",
    "position_probe",
    "rows_of_batches",
    "run_cost",
    "search_cost",
    "seconds",
    "sweep_cost",
    "with_cost",
    "witnessed_prompt",
]
