"""Outputs that are replaced under the fast engine: ablations, and circuits alone.

Mirrors `outputs` of `engine/fast`.
"""

from collections.abc import Sequence

from circuitlang.circuit import MLP, Ablation, Component, Embed, Head, Neuron
from circuitlang.plan.cost.resumption import Assembly, Phase, Resumption, in_mlp
from circuitlang.plan.intervention import RunCircuitAlone


def circuit_alone(at: Assembly, run: RunCircuitAlone) -> Resumption:
    """Of a circuit with all else ablated: every head of the first layer is written anew."""
    shape = at.size.shape
    components: list[Component] = [Head(0, head) for head in range(shape.heads)]
    if shape.mlps and not run.keep_mlps:
        components.append(MLP(0))
    kept = dict.fromkeys(each.component for each in run.kept)
    neurons = [part for part in kept if isinstance(part, Neuron) and not run.keep_mlps]
    return rewritten(at, components, 0, run.reference, neurons)


def rewritten(
    at: Assembly,
    components: Sequence[Component],
    start: int,
    reference: Ablation,
    kept: Sequence[Neuron] = (),
) -> Resumption:
    """A clean pass with outputs of components replaced, and neurons put back into MLPs."""
    neurons = [*kept, *(c for c in components if isinstance(c, Neuron))]
    tokens = sum(at.in_pass(neuron.layer, start) for neuron in neurons)
    if reference is Ablation.RESAMPLE:  # worlds do not keep what neurons do
        tokens += len(neurons) * at.geometry.length
    extra = tokens * at.size.neuron
    heads = [c.layer for c in components if isinstance(c, Head)]
    first_head = min(heads, default=at.layers)
    first_mlp = min((c.layer for c in components if in_mlp(c)), default=at.layers)
    if any(isinstance(component, Embed) for component in components):
        return Resumption(False, start, (0, Phase.BEFORE), extra=extra)
    if first_mlp < first_head or (first_mlp == first_head and at.parallel):
        return Resumption(False, start, (first_mlp, Phase.BEFORE), extra=extra)
    enter = (first_head, Phase.ATTENTION)
    return Resumption(False, start, enter, written=heads.count(first_head), extra=extra)
