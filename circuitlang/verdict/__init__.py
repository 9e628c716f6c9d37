"""From measurements to verdicts; sees evidence and never a model."""

from circuitlang.verdict.judging import judge
from circuitlang.verdict.looks import is_over, judge_look

__all__ = ["is_over", "judge", "judge_look"]
