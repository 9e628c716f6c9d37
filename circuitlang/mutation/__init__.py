"""Mutation testing of hypotheses: small changes of a file that its claims should notice.

Mutants are made from the file alone, measured in one run with it, and judged as it is
(DeMillo, Lipton and Sayward 1978, Computer 11(4):34-41, for programs and their tests).
"""

from circuitlang.mutation.mutant import Mutant
from circuitlang.mutation.mutants import mutants
from circuitlang.mutation.scoring import judge_mutants, plan_with, sampled

__all__ = ["Mutant", "judge_mutants", "mutants", "plan_with", "sampled"]
