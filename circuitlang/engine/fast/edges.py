"""Edges as jobs: receivers with new inputs, and what a group edge carries to later ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitlang.circuit import MLP, Component, Head, Logits, Receiver
from circuitlang.engine.entrance import in_order
from circuitlang.engine.fast.changes import Received, Sent
from circuitlang.engine.fast.jobs import Carried, Job, Phase, Rewrite, SlotEdit
from circuitlang.engine.fast.setting import Setting
from circuitlang.engine.fast.worlds import FastWorld, at, prompts_of
from circuitlang.plan import PatchEdge

Wanted = tuple[Sent, tuple[Receiver, ...]]
"""Changed senders, and the receivers whose values an edge starts from."""


def wanted(setting: Setting, edge: PatchEdge) -> Wanted | None:
    """What an edge starts from; None when its senders reach none of its receivers."""
    groups = _groups(setting, edge)
    if not groups:
        return None
    if edge.through_mlps:
        reached = tuple(receiver for group in groups for receiver in group)
        into_logits = tuple(r for r in reached if isinstance(r.component, Logits))
        return Sent(edge.senders, edge.positions, edge.direction, True), into_logits or reached
    senders = tuple(s for s in edge.senders if setting.feeds(s, groups[0][0]))
    return Sent(senders, edge.positions, edge.direction, False), tuple(groups[0])


def edge_job(setting: Setting, index: int, edge: PatchEdge, values: Received) -> Job:
    """One edge or a group; ``values`` holds what :func:`wanted` asked for."""
    base, source = setting.worlds.base_and_source(edge.direction)
    job = setting.nothing(index, base)
    want = wanted(setting, edge)
    if want is None:
        return job
    sent, first = want
    columns = setting.worlds.columns(edge.positions)
    receive(setting, job, first, columns, {r: values[sent, r] for r in first})
    if edge.through_mlps:
        return job
    later = [receiver for group in _groups(setting, edge)[1:] for receiver in group]
    if later:
        late = [s for s in edge.senders if s not in sent.senders]
        _carry(setting, job, edge, sent, later, late, source)
    return job


def receive(
    setting: Setting,
    job: Job,
    receivers: Sequence[Receiver],
    columns: Tensor,
    values: dict[Receiver, Tensor],
) -> None:
    """Give receivers new values (as in `changes.Received`) and set where the job enters."""
    if any(isinstance(r.component, Logits) for r in receivers):
        job.final = next(v for r, v in values.items() if isinstance(r.component, Logits))
        return
    job.start = min(job.start, int(columns.min()))
    heads = [r for r in receivers if isinstance(r.component, Head)]
    mlps = {r.component.layer: values[r] for r in receivers if isinstance(r.component, MLP)}
    for receiver in heads:
        _edit(setting, job, receiver, columns, values[receiver])
    first_head = min((r.component.layer for r in heads), default=setting.layers)  # type: ignore[union-attr]
    if mlps and min(mlps) < first_head:
        first = min(mlps)
        change = mlps.pop(first) - at(job.base.mlp_out(first), columns)
        job.added, job.enter = (columns, change), (first + 1, Phase.BEFORE)
    else:
        job.enter = (first_head, Phase.ATTENTION)
        if setting.anatomy.parallel and first_head in mlps:
            job.enter = (first_head, Phase.BEFORE)
    prompts = prompts_of(columns)
    for layer, new in mlps.items():
        value = job.base.mlp_out(layer).clone()
        value[prompts, columns] = new
        mask = torch.zeros_like(job.base.tokens, dtype=torch.bool)
        mask[prompts, columns] = True
        job.mlps[layer] = Rewrite(mask, value)


def _groups(setting: Setting, edge: PatchEdge) -> list[list[Receiver]]:
    """Receivers that a sender reaches, by the residual stream they read, in order."""
    reached = [r for r in edge.receivers if any(setting.feeds(s, r) for s in edge.senders)]
    return in_order(reached)


def _carry(
    setting: Setting,
    job: Job,
    edge: PatchEdge,
    sent: Sent,
    later: Sequence[Receiver],
    late: Sequence[Component],
    source: FastWorld,
) -> None:
    """Let later receivers of a direct group edge be entered from the job's own stream."""
    columns = setting.worlds.columns(edge.positions)
    change = sum(setting.worlds.change(s, edge.positions, edge.direction) for s in sent.senders)
    job.carried = Carried(columns, torch.as_tensor(change).clone())
    for sender in late:
        write = setting.write(source, sender)
        job.carried.late.setdefault(sender.layer, []).append((sender, write))
    for receiver in later:
        component = receiver.component
        if isinstance(component, Logits):
            job.carried_to_logits = True
        elif isinstance(component, MLP):
            job.mlp_inputs.add(component.layer)
        else:
            _edit(setting, job, receiver, columns, None)
    layer, phase = job.enter
    if job.added is not None and late:
        # A late sender of the first receiver's layer must be seen to run: undo the shortcut.
        first = layer - 1
        value = job.base.mlp_out(first).clone()
        prompts = prompts_of(columns)
        value[prompts, columns] += job.added[1]
        job.mlps[first] = Rewrite(setting.worlds.batch.mask(edge.positions), value)
        job.added, job.enter = None, (first, Phase.BEFORE)
    elif phase is Phase.ATTENTION and (late or setting.anatomy.parallel):
        job.enter = (layer, Phase.BEFORE)


def _edit(
    setting: Setting, job: Job, receiver: Receiver, columns: Tensor, value: Tensor | None
) -> None:
    head, slot = receiver.component, receiver.slot
    if not isinstance(head, Head) or slot is None:
        raise TypeError(f"{receiver} is not entered by a slot")
    own = setting.anatomy.blocks[head.layer].head_of(slot, head.head)
    edits = job.slots.setdefault(head.layer, [])
    # Heads of a group share a key and a value: one edit serves them all.
    if not any((e.slot, e.head) == (slot, own) for e in edits):
        edits.append(SlotEdit(slot, own, columns, value))
