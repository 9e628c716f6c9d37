"""Laws that must hold before any number is believed; run with every report, at a small cost.

Most silent mistakes of the field are one of these: a hook that did not fire, a freeze that does not
hold, a cache of the wrong world, a write that is not what the residual stream receives. What each
check catches, and what it cannot catch, is in `docs/self_checks.md`.
"""

from circuitlang.engine.self_checks.books import all_fired, engines_agree, same_again, unchanged
from circuitlang.engine.self_checks.law import (
    Found,
    bridging_tolerance,
    engine_tolerance,
    guarded,
    tolerance,
)
from circuitlang.engine.self_checks.laws import LAWS, self_checks
from circuitlang.engine.self_checks.neurons import check_neurons, neurons_add_up
from circuitlang.engine.self_checks.positions import acts_at_positions
from circuitlang.engine.self_checks.witness import Witness
from circuitlang.engine.self_checks.words import tokens_are_the_prompts

__all__ = [
    "LAWS",
    "Found",
    "Witness",
    "acts_at_positions",
    "all_fired",
    "bridging_tolerance",
    "check_neurons",
    "engine_tolerance",
    "engines_agree",
    "guarded",
    "neurons_add_up",
    "same_again",
    "self_checks",
    "tokens_are_the_prompts",
    "tolerance",
    "unchanged",
]
