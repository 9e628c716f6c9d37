"""How long a run takes on one machine, from its operations and a few measured constants."""

from dataclasses import dataclass

from circuitlang.models import ModelSize
from circuitlang.plan.cost.memory import bytes_of
from circuitlang.plan.cost.run import RunCost
from circuitlang.plan.cost.work import Work


@dataclass(frozen=True, slots=True)
class Machine:
    """``rate``: operations a second of a large matrix product in the model's number type."""

    rate: float


# Measured with one thread on a 2-core 2.1 GHz server (about 105 G float32 operations a second) in
# processor time, on blocks and passes of the built-in model, SmolLM2-135M and a random model of
# GPT-2's size, with 1, 4 and 24 prompts of 16 tokens, whole and stacked 1 to 16 times. At that rate
# runs of circuits/smollm2_ioi.circuit, predicted to take 31 s (fast) and 97 s (reference), took 31
# and 93 s; those of circuits/builtin_ioi.circuit, predicted 6.9 and 7.5 s, took 6.7 and 7.9 s.
_WHOLE_SHARE, _STACKED_SHARE = 0.65, 0.9
"""Of the rate, in blocks of the model library and of the fast engine."""
_NARROW = 60
"""d_model at which half of the time goes into norms, activations and small products."""
_WHOLE_VISIT, _STACKED_VISIT = 1e-3, 0.25e-3
"""Seconds of a layer whatever the number of tokens."""
_WEIGHT_BYTES = 10e9
"""Bytes of weights a second: a pass over few tokens waits for them."""
_EXPERIMENT = 0.3e-3
"""Seconds to assemble an experiment for a batch."""
_START = 6.0
"""Seconds to import torch, transformers and TransformerLens."""
_LOAD_BYTES = 250e6
"""Bytes of weights a second: read, hashed, rearranged, and summed twice in float64."""
_RESAMPLES = 25e6
"""Claims x prompts x resamples a second when claims are judged."""


def seconds(cost: RunCost, size: ModelSize, machine: Machine, dtype: str, draws: int) -> float:
    """From start to report; ``draws`` are claims x prompts x resamples."""
    weights = size.parameters * bytes_of(dtype)
    number = bytes_of(dtype)
    return (
        _START
        + weights / _LOAD_BYTES
        + _passes(cost.whole, size, machine, _WHOLE_SHARE, _WHOLE_VISIT, number)
        + _passes(cost.stacked, size, machine, _STACKED_SHARE, _STACKED_VISIT, number)
        + cost.measured * _EXPERIMENT
        + draws / _RESAMPLES
    )


def _passes(
    work: Work, size: ModelSize, machine: Machine, share: float, visit: float, number: int
) -> float:
    rate = machine.rate * share * size.d_model / (size.d_model + _NARROW)
    return work.operations / rate + work.visits * visit + work.weights * number / _WEIGHT_BYTES
