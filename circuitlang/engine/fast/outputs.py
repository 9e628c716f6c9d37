"""Replaced activations and outputs as jobs: activation patching, ablations, a circuit alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitlang.circuit import MLP, Ablation, Component, Embed, Head, Neuron, Slot
from circuitlang.engine.fast.jobs import Job, Phase, Rewrite, SlotEdit
from circuitlang.engine.fast.neurons import How, NeuronEdit
from circuitlang.engine.fast.setting import Setting
from circuitlang.engine.fast.worlds import FastWorld, at
from circuitlang.engine.world import output_site
from circuitlang.plan import (
    AblateNodes,
    Activation,
    Kept,
    PatchActivation,
    RunCircuitAlone,
    RunWithout,
)


def activation_job(setting: Setting, index: int, patch: PatchActivation) -> Job:
    """Activation patching: one site of the base takes the source's value."""
    base, source = setting.worlds.base_and_source(patch.direction)
    job = setting.nothing(index, base)
    columns = setting.worlds.columns(patch.positions)
    mask = setting.worlds.batch.mask(patch.positions)
    layer, block = patch.layer, setting.anatomy.blocks[patch.layer]
    job.start = int(columns.min())
    heads = range(block.heads) if patch.head is None else (patch.head,)
    match patch.activation:
        case Activation.Q | Activation.K | Activation.V:
            slot = Slot(patch.activation.upper())
            value = source.slot(layer, slot)
            for own in dict.fromkeys(block.head_of(slot, head) for head in heads):
                edit = SlotEdit(slot, own, columns, at(value[:, :, own], columns))
                job.slots.setdefault(layer, []).append(edit)
            job.enter = (layer, Phase.ATTENTION)
        case Activation.Z:
            z = source.z(layer)
            job.heads[layer] = [(head, Rewrite(mask, z[:, :, head])) for head in heads]
            job.enter = (layer, Phase.ATTENTION)
        case Activation.PATTERN:
            attention = source.attention(layer)
            values = base.slot(layer, Slot.V)
            job.heads[layer] = []
            for head in heads:
                z = attention[:, head] @ values[:, :, block.head_of(Slot.V, head)]
                job.heads[layer].append((head, Rewrite(mask, z)))
            job.enter = (layer, Phase.ATTENTION)
        case _:
            _stream(setting, job, patch, base, source, columns)
    return job


def _stream(
    setting: Setting,
    job: Job,
    patch: PatchActivation,
    base: FastWorld,
    source: FastWorld,
    columns: Tensor,
) -> None:
    """A residual stream or a whole write is replaced: a change of the stream."""
    layer, parallel = patch.layer, setting.anatomy.parallel
    before, after = (layer, Phase.BEFORE), (layer + 1, Phase.BEFORE)
    match patch.activation:
        case Activation.RESID_PRE:
            pair, job.enter = (base.pre(layer), source.pre(layer)), before
        case Activation.RESID_POST:
            pair, job.enter = (base.pre(layer + 1), source.pre(layer + 1)), after
        case Activation.POST if patch.head is not None:
            neuron = Neuron(layer, patch.head)
            old, new = (world.neuron(neuron, columns) for world in (base, source))
            write = setting.anatomy.blocks[layer].neurons.neuron_write(neuron.index, new - old)
            job.added, job.enter = (columns, write), after
            return
        case Activation.MLP_OUT | Activation.POST:  # all neurons and the bias, which is the same
            pair, job.enter = (base.mlp_out(layer), source.mlp_out(layer)), after
        case Activation.ATTN_OUT:
            block = setting.anatomy.blocks[layer]
            old, new = (block.out(world.z(layer).flatten(-2)) for world in (base, source))
            pair = (old, new)
            job.enter = after if parallel or block.mlp is None else (layer, Phase.MIDDLE)
        case _:
            if parallel or setting.anatomy.blocks[layer].mlp is None:
                raise ValueError("these blocks have no residual stream in the middle")
            pair, job.enter = (base.mid(layer), source.mid(layer)), (layer, Phase.MIDDLE)
    job.added = (columns, at(pair[1], columns) - at(pair[0], columns))


def ablation_job(setting: Setting, index: int, ablation: AblateNodes) -> Job:
    """Node ablation in the clean world."""
    base = setting.worlds.clean
    job = setting.nothing(index, base)
    mask = setting.worlds.batch.mask(ablation.positions)
    job.start = int(setting.worlds.columns(ablation.positions).min())
    for component in ablation.components:
        _rewrite(setting, job, component, ablation.reference, mask)
    return _placed(setting, job)


def circuit_alone_job(setting: Setting, index: int, run: RunCircuitAlone) -> Job:
    """The clean world with everything outside the circuit ablated."""
    job = setting.nothing(index, setting.worlds.clean)
    job.start = 0
    kept = _places(setting, run.kept)
    everywhere = setting.worlds.batch.mask(())
    components: list[Component] = [
        Head(layer, head)
        for layer, block in enumerate(setting.anatomy.blocks)
        for head in range(block.heads)
    ]
    if not run.keep_mlps:
        components += [
            MLP(layer) for layer, block in enumerate(setting.anatomy.blocks) if block.mlp
        ]
    for component in components:
        mask = everywhere & ~kept[component] if component in kept else everywhere
        _rewrite(setting, job, component, run.reference, mask)
    for component, mask in kept.items():
        if isinstance(component, Neuron) and not run.keep_mlps:
            value = _replacement(setting, component, run.reference)
            mask = mask & job.mlps[component.layer].mask
            edit = NeuronEdit(How.KEEP, component.index, mask, value)
            job.neurons.setdefault(component.layer, []).append(edit)
    return _placed(setting, job)


def without_job(setting: Setting, index: int, run: RunWithout) -> Job:
    """The clean world with components ablated, each at its own positions."""
    job = setting.nothing(index, setting.worlds.clean)
    job.start = min(int(setting.worlds.columns(each.positions).min()) for each in run.removed)
    spared = _places(setting, run.spared)
    for component, places in _places(setting, run.removed).items():
        mask = places & ~spared[component] if component in spared else places
        _rewrite(setting, job, component, run.reference, mask)
    return _placed(setting, job)


def _places(setting: Setting, listed: Sequence[Kept]) -> dict[Component, Tensor]:
    """Boolean ``[prompt, pos]`` for every component of a list: where it is named."""
    found: dict[Component, Tensor] = {}
    for each in listed:
        mask = setting.worlds.batch.mask(each.positions)
        found[each.component] = found.get(each.component, torch.zeros_like(mask)) | mask
    return found


def _rewrite(
    setting: Setting, job: Job, component: Component, reference: Ablation, mask: Tensor
) -> None:
    """Replace a component's output by its ablation."""
    value = _replacement(setting, component, reference)
    match component:
        case Embed():
            columns = setting.worlds.columns(())[:, job.start :]
            change = torch.where(mask[..., None], value - job.base.embedding, 0.0)
            job.added = (columns, at(change.to(job.base.embedding.dtype), columns))
        case MLP(layer=layer):
            job.mlps[layer] = Rewrite(mask, value)
        case Neuron(layer=layer, index=index):
            edit = NeuronEdit(How.REPLACE, index, mask, value)
            job.neurons.setdefault(layer, []).append(edit)
        case Head(layer=layer, head=head):
            job.heads.setdefault(layer, []).append((head, Rewrite(mask, value)))


def _replacement(setting: Setting, component: Component, reference: Ablation) -> Tensor:
    """What stands in for an output: a head's ``z``, a neuron's activation, else what is written."""
    corrupt = setting.worlds.corrupt
    match component:
        case Embed():
            value = corrupt.embedding
        case MLP(layer=layer):
            value = corrupt.mlp_out(layer)
        case Neuron() if reference is Ablation.RESAMPLE:
            value = setting.neuron(corrupt, component)
        case Neuron():
            value = corrupt.embedding[..., 0]  # for its shape
        case Head(layer=layer, head=head):
            value = corrupt.z(layer)[:, :, head]
    match reference:
        case Ablation.ZERO:
            return value.new_zeros(()).expand_as(value)
        case Ablation.MEAN:
            rows = setting.mean_rows(output_site(component))
            if isinstance(component, Head | Neuron):
                return rows[
                    :, :, component.head if isinstance(component, Head) else component.index
                ]
            return rows
        case Ablation.RESAMPLE:
            return value


def _placed(setting: Setting, job: Job) -> Job:
    """Let a job of rewritten outputs enter where the first of them is."""
    first_head = min(job.heads, default=setting.layers)
    first_mlp = min((*job.mlps, *job.neurons), default=setting.layers)
    if job.added is not None:
        job.enter = (0, Phase.BEFORE)
    elif first_mlp < first_head:
        job.enter = (first_mlp, Phase.BEFORE)
    elif first_mlp == first_head and setting.anatomy.parallel:
        job.enter = (first_head, Phase.BEFORE)
    else:
        job.enter = (first_head, Phase.ATTENTION)
    return job
