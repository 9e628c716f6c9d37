"""From measurements to verdicts; sees evidence and never a model."""

from circuitlang.verdict.judging import judge

__all__ = ["judge"]
