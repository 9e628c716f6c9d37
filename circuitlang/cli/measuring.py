"""Measuring a plan, with what the user sees meanwhile."""

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from circuitlang.cli.opening import Measuring
from circuitlang.cli.preparing import Ready
from circuitlang.cli.terminal import progress
from circuitlang.evidence import Evidence
from circuitlang.plan import Plan

if TYPE_CHECKING:
    from circuitlang.engine.means import MeanOutputs


def with_pairs(ready: Ready, numbers: Collection[int]) -> Ready:
    """The same with the drawn pairs of some numbers only."""
    rows = [row for row, pair in enumerate(ready.tokens) if pair.number in numbers]
    return replace(
        ready,
        pairs=[ready.pairs[row] for row in rows],
        tokens=[ready.tokens[row] for row in rows],
        skipped=[pair for pair in ready.skipped if pair.number in numbers],
    )


def measured(
    plan: Plan, ready: Ready, how: Measuring, means: "MeanOutputs | None" = None
) -> Evidence:
    """Every experiment of a plan on the prompts that are ready.

    Raises:
        RunError: a prompt is longer than the model's context, or memory ran out.
    """
    from circuitlang.engine.choice import EngineName
    from circuitlang.engine.measurement import measure

    with progress(quiet=how.quiet) as advance:
        return measure(
            plan,
            ready.model,
            ready.pairs,
            ready.tokens,
            skipped=ready.skipped,
            engine=EngineName(how.engine),
            batch_size=how.batch,
            memory=how.memory,
            progress=advance,
            means=means,
        )
