"""Measuring sweeps on the first pairs alone: a stage after everything else."""

from circuitlang.cli.searching import MeasureOn
from circuitlang.evidence import Evidence, added, distrust, numbers_of
from circuitlang.plan import Plan


def sweep(cells: Plan, few: int, evidence: Evidence, measure: MeasureOn) -> Evidence:
    """Evidence with a plan's ``cells``, measured on the first ``few`` pairs of those it has.

    Nothing is measured for evidence that is cut short or cannot be believed. An interrupt keeps
    what was measured.
    """
    if not evidence.complete or distrust(evidence):
        return evidence
    numbers = numbers_of(evidence)[:few]
    try:
        part = measure(cells, numbers, "sweeps")
    except KeyboardInterrupt:
        return evidence.model_copy(update={"complete": False})
    return added(evidence, part).model_copy(update={"swept": numbers})
