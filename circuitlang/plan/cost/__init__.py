"""What experiments and runs cost, known before anything runs and without weights."""

from circuitlang.plan.cost.duration import Machine, seconds
from circuitlang.plan.cost.geometry import Geometry, rows_of_batches
from circuitlang.plan.cost.run import EngineCost, KindCost, RunCost, operations, run_cost
from circuitlang.plan.cost.work import Work

__all__ = [
    "EngineCost",
    "Geometry",
    "KindCost",
    "Machine",
    "RunCost",
    "Work",
    "operations",
    "rows_of_batches",
    "run_cost",
    "seconds",
]
