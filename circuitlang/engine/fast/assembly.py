"""Interventions made into jobs: what each edits, and where its pass can resume."""

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitlang.circuit import (
    MLP,
    Ablation,
    Component,
    Head,
    Logits,
    Receiver,
    Slot,
    can_feed,
)
from circuitlang.engine.fast.anatomy import Anatomy
from circuitlang.engine.fast.attention import attend
from circuitlang.engine.fast.changes import Received, Sent, at_end
from circuitlang.engine.fast.jobs import Carried, Job, Phase, Rewrite, SlotEdit
from circuitlang.engine.fast.worlds import FastWorld, FastWorlds, at
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.reference import in_order
from circuitlang.engine.site import Site
from circuitlang.engine.world import output_site
from circuitlang.plan import (
    AblateNodes,
    Activation,
    Intervention,
    PatchActivation,
    PatchEdge,
    PatchPath,
    RunCircuitAlone,
)


class Assembly:
    """Jobs of interventions on one batch."""

    def __init__(self, worlds: FastWorlds, anatomy: Anatomy, means: MeanOutputs | None) -> None:
        self.worlds, self.anatomy, self.means = worlds, anatomy, means
        self._means: dict[Site, Tensor] = {}
        self.layers = len(anatomy.blocks)
        self.length = worlds.clean.length

    def wanted(self, intervention: Intervention) -> tuple[Sent, tuple[Receiver, ...]] | None:
        """The changed senders and the receivers whose values an edge starts from.

        None for what is no edge, and for an edge whose senders reach none of its receivers.
        """
        if not isinstance(intervention, PatchEdge):
            return None
        edge = intervention
        groups = self._groups(edge)
        if not groups:
            return None
        if edge.through_mlps:
            reached = tuple(receiver for group in groups for receiver in group)
            into_logits = tuple(r for r in reached if isinstance(r.component, Logits))
            return Sent(edge.senders, edge.positions, edge.direction, True), into_logits or reached
        senders = tuple(s for s in edge.senders if self._feeds(s, groups[0][0]))
        return Sent(senders, edge.positions, edge.direction, False), tuple(groups[0])

    def job(self, index: int, intervention: Intervention, values: Received) -> Job:
        """The job of an intervention; ``values`` holds what :meth:`wanted` asked for."""
        match intervention:
            case PatchEdge():
                return self._edge(index, intervention, values)
            case PatchPath():
                return self._path(index, intervention)
            case PatchActivation():
                return self._activation(index, intervention)
            case AblateNodes():
                return self._ablation(index, intervention)
            case RunCircuitAlone():
                return self._circuit_alone(index, intervention)

    def _nothing(self, index: int, base: FastWorld) -> Job:
        """A job that changes nothing so far."""
        return Job(index, base, self.length - 1, (self.layers, Phase.BEFORE))

    def _feeds(self, sender: Component, receiver: Receiver) -> bool:
        return can_feed(sender, receiver, parallel=self.anatomy.parallel)

    def _groups(self, edge: PatchEdge) -> list[list[Receiver]]:
        """Receivers that a sender reaches, by the residual stream they read, in order."""
        reached = [r for r in edge.receivers if any(self._feeds(s, r) for s in edge.senders)]
        return in_order(reached)

    def _edge(self, index: int, edge: PatchEdge, values: Received) -> Job:
        base, source = self.worlds.base_and_source(edge.direction)
        job = self._nothing(index, base)
        wanted = self.wanted(edge)
        if wanted is None:
            return job
        sent, first = wanted
        columns = self.worlds.columns(edge.positions)
        self._receive(job, first, columns, {r: values[sent, r] for r in first})
        if edge.through_mlps:
            return job
        later = [receiver for group in self._groups(edge)[1:] for receiver in group]
        if later:
            late = [s for s in edge.senders if s not in sent.senders]
            self._carry(job, edge, sent, later, late, source)
        return job

    def _carry(
        self,
        job: Job,
        edge: PatchEdge,
        sent: Sent,
        later: Sequence[Receiver],
        late: Sequence[Component],
        source: FastWorld,
    ) -> None:
        """Let later receivers of a direct group edge be entered from the job's own stream."""
        columns = self.worlds.columns(edge.positions)
        change = sum(self.worlds.change(s, edge.positions, edge.direction) for s in sent.senders)
        job.carried = Carried(columns, torch.as_tensor(change).clone())
        for sender in late:
            write = self._write(source, sender)
            job.carried.late.setdefault(sender.layer, []).append((sender, write))
        for receiver in later:
            component = receiver.component
            if isinstance(component, Logits):
                job.carried_to_logits = True
            elif isinstance(component, MLP):
                job.mlp_inputs.add(component.layer)
            else:
                self._edit(job, receiver, columns, None)
        layer, phase = job.enter
        if job.added is not None and late:
            # A late sender of the first receiver's layer must be seen to run: undo the shortcut.
            first = layer - 1
            value = job.base.mlp_out(first).clone()
            prompts = torch.arange(len(columns), device=columns.device)[:, None]
            value[prompts, columns] += job.added[1]
            job.mlps[first] = Rewrite(self.worlds.batch.mask(edge.positions), value)
            job.added, job.enter = None, (first, Phase.BEFORE)
        elif phase is Phase.ATTENTION and (late or self.anatomy.parallel):
            job.enter = (layer, Phase.BEFORE)

    def _write(self, world: FastWorld, component: Component) -> Tensor:
        """What a component adds to the residual stream in a world, ``[prompt, pos, d_model]``."""
        if isinstance(component, MLP):
            return world.mlp_out(component.layer)
        block = self.anatomy.blocks[component.layer]
        return block.head_write(component.head, world.z(component.layer)[:, :, component.head])

    def _receive(
        self,
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
            self._edit(job, receiver, columns, values[receiver])
        first_head = min((r.component.layer for r in heads), default=self.layers)  # type: ignore[union-attr]
        if mlps and min(mlps) < first_head:
            first = min(mlps)
            change = mlps.pop(first) - at(job.base.mlp_out(first), columns)
            job.added, job.enter = (columns, change), (first + 1, Phase.BEFORE)
        else:
            job.enter = (first_head, Phase.ATTENTION)
            if self.anatomy.parallel and first_head in mlps:
                job.enter = (first_head, Phase.BEFORE)
        prompts = torch.arange(len(columns), device=columns.device)[:, None]
        for layer, new in mlps.items():
            value = job.base.mlp_out(layer).clone()
            value[prompts, columns] = new
            mask = torch.zeros_like(job.base.tokens, dtype=torch.bool)
            mask[prompts, columns] = True
            job.mlps[layer] = Rewrite(mask, value)

    def _edit(self, job: Job, receiver: Receiver, columns: Tensor, value: Tensor | None) -> None:
        head, slot = receiver.component, receiver.slot
        if not isinstance(head, Head) or slot is None:
            raise TypeError(f"{receiver} is not entered by a slot")
        own = self.anatomy.blocks[head.layer].head_of(slot, head.head)
        edits = job.slots.setdefault(head.layer, [])
        # Heads of a group share a key and a value: one edit serves them all.
        if not any((e.slot, e.head) == (slot, own) for e in edits):
            edits.append(SlotEdit(slot, own, columns, value))

    def _path(self, index: int, path: PatchPath) -> Job:
        """Nested direct edges: plain arithmetic on the base world up to the last receivers."""
        base, _ = self.worlds.base_and_source(path.direction)
        job = self._nothing(index, base)
        changes = {s: self.worlds.change(s, (), path.direction) for s in path.senders}
        for hop in path.hops:
            columns = self.worlds.columns(hop.positions)
            values = {
                receiver: self._enter(base, receiver, columns, changes)
                for receiver in hop.receivers
                if any(self._feeds(sender, receiver) for sender in changes)
            }
            if not values:
                return job
            if hop is path.hops[-1]:
                self._receive(job, tuple(values), columns, values)
                return job
            changes = self._outputs(base, columns, values)
        raise ValueError("a path has at least one hop")

    def _enter(
        self,
        base: FastWorld,
        receiver: Receiver,
        columns: Tensor,
        changes: dict[Component, Tensor],
    ) -> Tensor:
        """A receiver's value (as in `changes.Received`) when its input changes by some writes."""
        zero = torch.zeros_like(at(base.final, columns))
        feeding = [at(c, columns) for s, c in changes.items() if self._feeds(s, receiver)]
        change = sum(feeding, zero)
        component = receiver.component
        if isinstance(component, Logits):
            return at_end(change, columns, self.length - 1)
        block = self.anatomy.blocks[component.layer]
        if isinstance(component, MLP):
            if block.mlp is None:
                raise ValueError(f"the model has no {component}")
            return block.mlp(block.mlp_norm(at(base.mid(component.layer), columns) + change))
        if receiver.slot is None:
            raise TypeError(f"{receiver} has no slot")
        project = block.slot(receiver.slot, block.head_of(receiver.slot, component.head))
        return project(block.attention_norm(at(base.pre(component.layer), columns) + change))

    def _outputs(
        self, base: FastWorld, columns: Tensor, values: dict[Receiver, Tensor]
    ) -> dict[Component, Tensor]:
        """How receivers' writes change, ``[prompt, pos, d_model]``, all else being the base."""
        prompts = torch.arange(len(columns), device=columns.device)[:, None]
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
            block, layer = self.anatomy.blocks[component.layer], component.layer
            parts = {}
            for slot in (Slot.Q, Slot.K, Slot.V):
                own = block.head_of(slot, component.head)
                part = base.turned(layer, slot)[:, :, own : own + 1].clone()
                value = values.get(Receiver(component, slot))
                if value is not None:
                    part[prompts, columns] = base.turn(layer, slot, value.unsqueeze(-2), columns)
                parts[slot] = part[None]
            nothing = parts[Slot.K][0, :, :0]
            z = attend(parts[Slot.Q], parts[Slot.K], parts[Slot.V], (nothing, nothing),
                       block.scale, block.window)[0, :, :, 0]  # fmt: skip
            change = z - base.z(layer)[:, :, component.head]
            found[component] = block.head_write(component.head, change)
        return found

    def _activation(self, index: int, patch: PatchActivation) -> Job:
        base, source = self.worlds.base_and_source(patch.direction)
        job = self._nothing(index, base)
        columns = self.worlds.columns(patch.positions)
        mask = self.worlds.batch.mask(patch.positions)
        layer, block = patch.layer, self.anatomy.blocks[patch.layer]
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
                self._stream(job, patch, base, source, columns)
        return job

    def _stream(
        self,
        job: Job,
        patch: PatchActivation,
        base: FastWorld,
        source: FastWorld,
        columns: Tensor,
    ) -> None:
        """A residual stream or a whole write is replaced: a change of the stream."""
        layer, parallel = patch.layer, self.anatomy.parallel
        before, after = (layer, Phase.BEFORE), (layer + 1, Phase.BEFORE)
        match patch.activation:
            case Activation.RESID_PRE:
                pair, job.enter = (base.pre(layer), source.pre(layer)), before
            case Activation.RESID_POST:
                pair, job.enter = (base.pre(layer + 1), source.pre(layer + 1)), after
            case Activation.MLP_OUT:
                pair, job.enter = (base.mlp_out(layer), source.mlp_out(layer)), after
            case Activation.ATTN_OUT:
                block = self.anatomy.blocks[layer]
                old, new = (block.out(world.z(layer).flatten(-2)) for world in (base, source))
                pair = (old, new)
                job.enter = after if parallel or block.mlp is None else (layer, Phase.MIDDLE)
            case _:
                if parallel:
                    raise ValueError("parallel blocks have no residual stream in the middle")
                pair, job.enter = (base.mid(layer), source.mid(layer)), (layer, Phase.MIDDLE)
        job.added = (columns, at(pair[1], columns) - at(pair[0], columns))

    def _ablation(self, index: int, ablation: AblateNodes) -> Job:
        base = self.worlds.clean
        job = self._nothing(index, base)
        mask = self.worlds.batch.mask(ablation.positions)
        job.start = int(self.worlds.columns(ablation.positions).min())
        for component in ablation.components:
            self._rewrite(job, component, ablation.reference, mask)
        return self._entered(job)

    def _circuit_alone(self, index: int, run: RunCircuitAlone) -> Job:
        job = self._nothing(index, self.worlds.clean)
        job.start = 0
        kept: dict[Component, Tensor] = {}
        for each in run.kept:
            mask = self.worlds.batch.mask(each.positions)
            kept[each.component] = kept.get(each.component, torch.zeros_like(mask)) | mask
        everywhere = self.worlds.batch.mask(())
        components: list[Component] = [
            Head(layer, head)
            for layer, block in enumerate(self.anatomy.blocks)
            for head in range(block.heads)
        ]
        if not run.keep_mlps:
            components += [
                MLP(layer) for layer, block in enumerate(self.anatomy.blocks) if block.mlp
            ]
        for component in components:
            mask = everywhere & ~kept[component] if component in kept else everywhere
            self._rewrite(job, component, run.reference, mask)
        return self._entered(job)

    def _rewrite(self, job: Job, component: Component, reference: Ablation, mask: Tensor) -> None:
        """Replace a component's output by its ablation."""
        site = output_site(component)
        corrupt = self.worlds.corrupt
        if isinstance(component, MLP):
            value = corrupt.mlp_out(component.layer)
        else:
            value = corrupt.z(component.layer)
        match reference:
            case Ablation.ZERO:
                value = torch.zeros_like(value)
            case Ablation.MEAN:
                if self.means is None:
                    raise ValueError("a mean ablation needs the means of the corrupt prompts")
                if site not in self._means:
                    self._means[site] = self.means.rows(site, self.worlds.batch).to(value.dtype)
                value = self._means[site]
        if isinstance(component, MLP):
            job.mlps[component.layer] = Rewrite(mask, value)
        else:
            rewrite = Rewrite(mask, value[:, :, component.head])
            job.heads.setdefault(component.layer, []).append((component.head, rewrite))

    def _entered(self, job: Job) -> Job:
        """Let a job of rewritten outputs enter where the first of them is."""
        first_head = min(job.heads, default=self.layers)
        first_mlp = min(job.mlps, default=self.layers)
        if first_mlp < first_head:
            job.enter = (first_mlp, Phase.BEFORE)
        elif first_mlp == first_head and self.anatomy.parallel:
            job.enter = (first_head, Phase.BEFORE)
        else:
            job.enter = (first_head, Phase.ATTENTION)
        return job
