"""From measurements to verdicts; sees evidence and never a model."""

from circuitlang.verdict.judging import judge
from circuitlang.verdict.looks import judge_look

__all__ = ["judge", "judge_look"]
