"""Whole paths as jobs: nested edges, plain arithmetic up to the last receivers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitlang.circuit import MLP, Component, Embed, Head, Logits, Neuron, Receiver, Slot
from circuitlang.engine.fast.attention import attend
from circuitlang.engine.fast.changes import at_end
from circuitlang.engine.fast.edges import receive
from circuitlang.engine.fast.jobs import Job
from circuitlang.engine.fast.setting import Setting
from circuitlang.engine.fast.worlds import FastWorld, at, prompts_of
from circuitlang.plan import PatchPath


def path_job(setting: Setting, index: int, path: PatchPath) -> Job:
    """Only what flows along the path reaches its end."""
    base, _ = setting.worlds.base_and_source(path.direction)
    job = setting.nothing(index, base)
    changes = {s: setting.worlds.change(s, (), path.direction) for s in path.senders}
    for hop in path.hops:
        columns = setting.worlds.columns(hop.positions)
        reached = [r for r in hop.receivers if any(setting.feeds(s, r) for s in changes)]
        through = _through_mlps if hop.through_mlps else _directly
        arriving = through(setting, base, reached, columns, changes)
        values = {r: _enter(setting, base, r, columns, arriving[r]) for r in reached}
        if not values:
            return job
        if hop is path.hops[-1]:
            receive(setting, job, tuple(values), columns, values)
            return job
        changes = _outputs(setting, base, columns, values)
    raise ValueError("a path has at least one hop")


def _directly(
    setting: Setting,
    base: FastWorld,
    receivers: Sequence[Receiver],
    columns: Tensor,
    changes: dict[Component, Tensor],
) -> dict[Receiver, Tensor]:
    """How much receivers' inputs change by some writes alone, ``[prompt, position, d_model]``."""
    zero = torch.zeros_like(at(base.final, columns))
    found = {}
    for receiver in receivers:
        feeding = [at(c, columns) for s, c in changes.items() if setting.feeds(s, receiver)]
        found[receiver] = sum(feeding, zero)
    return found


def _through_mlps(
    setting: Setting,
    base: FastWorld,
    receivers: Sequence[Receiver],
    columns: Tensor,
    changes: dict[Component, Tensor],
) -> dict[Receiver, Tensor]:
    """As `_directly`, with every MLP on the way recomputed and all other heads frozen.

    A sending MLP, or neuron, writes its own change and not what it would recompute.
    """
    change = torch.zeros_like(at(base.final, columns))
    found: dict[Receiver, Tensor] = {}
    layers = [setting.layer_of(receiver) for receiver in receivers]

    def arrive(layer: int, *kinds: type[object]) -> None:
        for receiver, own in zip(receivers, layers, strict=True):
            if own == layer and isinstance(receiver.component, kinds):
                found[receiver] = change.clone()

    def send(layer: int, kind: type[Component]) -> None:
        for sender, write in changes.items():
            if sender.layer == layer and isinstance(sender, kind):
                change.add_(at(write, columns))

    send(-1, Embed)
    first = max(0, min(sender.layer for sender in changes))
    for layer in range(first, max(layers, default=-1) + 1):
        arrive(layer, Head, Logits)
        if not setting.anatomy.parallel:
            send(layer, Head)
        arrive(layer, MLP, Neuron)
        if layer < max(layers):
            change += _recomputed(setting, base, layer, columns, changes, change)
        if setting.anatomy.parallel:
            send(layer, Head)
        send(layer, MLP)
        send(layer, Neuron)
    return found


def _recomputed(
    setting: Setting,
    base: FastWorld,
    layer: int,
    columns: Tensor,
    changes: dict[Component, Tensor],
    change: Tensor,
) -> Tensor:
    """How much an MLP's write moves when its input does, but for the parts of it that send."""
    block = setting.anatomy.blocks[layer]
    if block.mlp is None or MLP(layer) in changes:
        return torch.zeros_like(change)
    normed = block.mlp_norm(at(base.mid(layer), columns) + change)
    moved = block.mlp(normed) - at(base.mlp_out(layer), columns)
    for sender in changes:
        if isinstance(sender, Neuron) and sender.layer == layer:
            now = block.mlp.neuron(sender.index, normed) - base.neuron(sender, columns)
            moved = moved - block.mlp.neuron_write(sender.index, now)
    return moved


def _enter(
    setting: Setting, base: FastWorld, receiver: Receiver, columns: Tensor, change: Tensor
) -> Tensor:
    """A receiver's value (as in `changes.Received`) when its input changes so much."""
    component = receiver.component
    if isinstance(component, Logits):
        return at_end(change, columns, setting.length - 1)
    block = setting.anatomy.blocks[component.layer]
    if isinstance(component, MLP):
        if block.mlp is None:
            raise ValueError(f"the model has no {component}")
        return block.mlp(block.mlp_norm(at(base.mid(component.layer), columns) + change))
    if isinstance(component, Neuron):
        normed = block.mlp_norm(at(base.mid(component.layer), columns) + change)
        return block.neurons.neuron(component.index, normed)
    if receiver.slot is None:
        raise TypeError(f"{receiver} has no slot")
    project = block.slot(receiver.slot, block.head_of(receiver.slot, component.head))
    return project(block.attention_norm(at(base.pre(component.layer), columns) + change))


def _outputs(
    setting: Setting, base: FastWorld, columns: Tensor, values: dict[Receiver, Tensor]
) -> dict[Component, Tensor]:
    """How receivers' writes change, ``[prompt, pos, d_model]``, all else being the base."""
    prompts = prompts_of(columns)
    found: dict[Component, Tensor] = {}
    for component in dict.fromkeys(receiver.component for receiver in values):
        if isinstance(component, Logits):
            raise ValueError("a path ends at the logits")
        if isinstance(component, MLP):
            change = torch.zeros_like(base.final)
            old = at(base.mlp_out(component.layer), columns)
            change[prompts, columns] = values[Receiver(component)] - old
            found[component] = change
            continue
        if isinstance(component, Neuron):
            change = torch.zeros_like(base.final)
            moved = values[Receiver(component)] - base.neuron(component, columns)
            mlp = setting.anatomy.blocks[component.layer].neurons
            change[prompts, columns] = mlp.neuron_write(component.index, moved)
            found[component] = change
            continue
        block, layer = setting.anatomy.blocks[component.layer], component.layer
        parts = {}
        for slot in (Slot.Q, Slot.K, Slot.V):
            own = block.head_of(slot, component.head)
            part = base.turned(layer, slot)[:, :, own : own + 1].clone()
            # Heads of a group share keys and values: what enters one of them enters this one.
            sharing = [Receiver(Head(layer, h), slot) for h in block.heads_at(slot, own)]
            value = next((values[r] for r in sharing if r in values), None)
            if value is not None:
                part[prompts, columns] = base.turn(layer, slot, value.unsqueeze(-2), columns)
            parts[slot] = part[None]
        nothing = parts[Slot.K][0, :, :0]
        z = attend(parts[Slot.Q], parts[Slot.K], parts[Slot.V], (nothing, nothing),
                   block.scale, block.window)[0, :, :, 0]  # fmt: skip
        change = z - base.z(layer)[:, :, component.head]
        found[component] = block.head_write(component.head, change)
    return found
