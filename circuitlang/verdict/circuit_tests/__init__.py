"""Tests of a whole circuit: what Wang et al. 2022 and Shi et al. 2024 ask of one.

A test is a function of measurements that gives a `CircuitTested`: p-values of the two conclusions,
an estimate with an interval, and the parts that it was made of. Nothing outside of this package
knows more about them.
"""

from circuitlang.verdict.circuit_tests.tested import CircuitTested
from circuitlang.verdict.circuit_tests.testing import circuit_test
from circuitlang.verdict.circuit_tests.wording import circuit_test_report

__all__ = ["CircuitTested", "circuit_test", "circuit_test_report"]
