"""The reference engine: every experiment straight from its definition, one at a time.

Slow on purpose: whole forward passes, nothing shared between experiments but the two worlds. It
stays as the truth that a faster engine is held against. Each pass is a `Transformer.run`, so
replacing a receiver's input needs no state: a pass reads inputs, plain arithmetic makes the new
slot value, and the next pass writes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from circuitlang.circuit import (
    MLP,
    Ablation,
    Activation,
    Component,
    Direction,
    Head,
    Logits,
    Neuron,
    can_feed,
    holds,
)
from circuitlang.engine.batch import Batch
from circuitlang.engine.entrance import enter, enter_neurons, in_order, input_site
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.put import patched_together, read_stream, steered, steered_by_texts
from circuitlang.engine.site import Kind, Site, Write
from circuitlang.engine.transformer import Transformer
from circuitlang.engine.whole_path import path_logits
from circuitlang.engine.world import (
    EMBEDDING,
    World,
    frozen_heads,
    output_site,
    outputs_of,
    rewrite,
    run_world,
    written_by,
)
from circuitlang.plan import (
    AblateNodes,
    Intervention,
    Kept,
    PatchActivation,
    PatchEdge,
    PatchPath,
    PatchTogether,
    ReadStream,
    RunCircuitAlone,
    RunWithout,
    Steer,
    SteerByTexts,
)

_KIND_OF_ACTIVATION = {activation: Kind[activation.name] for activation in Activation}


@dataclass(frozen=True, slots=True, eq=False)
class Worlds:
    """A batch with its two undisturbed runs."""

    batch: Batch
    clean: World
    corrupt: World

    @property
    def bytes(self) -> int:
        """Memory that they hold."""
        return self.clean.bytes + self.corrupt.bytes

    def held(self) -> dict[str, Tensor]:
        """Every cached tensor by name."""
        worlds = (("clean", self.clean), ("corrupt", self.corrupt))
        return {f"{own} {name}": x for own, world in worlds for name, x in world.held().items()}

    def derived(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """Nothing: this engine keeps the two runs alone."""
        return ()


class ReferenceEngine:
    """Runs one intervention on one batch.

    Assumes blocks in which heads and MLPs write to the residual stream as they are; the
    self-checks refuse models whose writes do not add up (post-norm families).
    """

    name = "reference"

    def __init__(self, model: Transformer, means: MeanOutputs | None = None) -> None:
        self.model = model
        self.means = means

    def worlds(self, batch: Batch) -> Worlds:
        """The clean and the corrupt run."""
        return Worlds(
            batch, run_world(self.model, batch.clean), run_world(self.model, batch.corrupt)
        )

    def logits(self, intervention: Intervention, worlds: Worlds) -> Tensor:
        """Logits at END of the patched world, ``[prompt, vocab]``."""
        match intervention:
            case PatchEdge(through_mlps=True):
                return self._path_through_mlps(intervention, worlds)
            case PatchEdge():
                return self._direct_edge(intervention, worlds)
            case AblateNodes():
                return self._ablate(intervention, worlds)
            case RunCircuitAlone():
                return self._circuit_alone(intervention, worlds)
            case RunWithout():
                return self._without(intervention, worlds)
            case PatchPath():
                base, source = _base_and_source(intervention.direction, worlds)
                return path_logits(self.model, intervention, base, source, worlds.batch)
            case PatchActivation():
                return self._activation(intervention, worlds)
            case PatchTogether():
                base, source = _base_and_source(intervention.direction, worlds)
                return patched_together(self.model, intervention, base, source, worlds.batch)
            case Steer():
                contrast = None if self.means is None else self.means.contrast
                return steered(self.model, intervention, worlds.clean, worlds.batch, contrast)
            case SteerByTexts():
                texts = None if self.means is None else self.means.texts
                return steered_by_texts(self.model, intervention, worlds.clean, worlds.batch, texts)
            case ReadStream():
                return read_stream(self.model, intervention, worlds.clean, worlds.batch)

    def answers(self, interventions: Sequence[Intervention], worlds: Worlds) -> Tensor:
        """What the metric reads, ``[experiment, prompt, k]``."""
        read, clean = worlds.batch.readings, worlds.clean.logits
        return torch.stack([read(self.logits(i, worlds), clean) for i in interventions])

    def attention(self, layer: int, world: World) -> Tensor:
        """A layer's attention pattern in a world, ``[prompt, head, query, key]``."""
        site = Site(Kind.PATTERN, layer)
        return self.model.run(world.tokens, (site,))[site]

    def _activation(self, patch: PatchActivation, worlds: Worlds) -> Tensor:
        """Activation patching: the source world's value, put into the base world.

        What cannot be written is put in where it acts, which nothing else has changed: the stream
        between attention and MLP by the attention's write, a pattern by its head's output.
        """
        base, source = _base_and_source(patch.direction, worlds)
        site, head = Site(_KIND_OF_ACTIVATION[patch.activation], patch.layer), patch.head
        if head is not None and not patch.activation.divides:
            raise ValueError(f"{patch.activation} belongs to no single head or neuron")
        value = self.model.run(source.tokens, (site,))[site]
        match site.kind:
            case Kind.RESID_MID:
                below = Site(Kind.RESID_PRE, patch.layer)
                value = value - self.model.run(base.tokens, (below,))[below]
                site = Site(Kind.ATTN_OUT, patch.layer)
            case Kind.PATTERN:
                values = Site(Kind.V, patch.layer)
                value = self.model.attend(value, self.model.run(base.tokens, (values,))[values])
                site = Site(Kind.Z, patch.layer)
            case Kind.K | Kind.V if head is not None:
                head = self.model.shared_head(head)
        value = value if head is None else value[:, :, head]
        write = Write(site, value, worlds.batch.mask(patch.positions), head)
        return self.model.run(base.tokens, (), [write]).logits

    def _direct_edge(self, edge: PatchEdge, worlds: Worlds) -> Tensor:
        """Direct edges (ACDC, auto-circuit): in_r + sum over s of (out_s(source) - out_s(current)).

        Receivers are entered in the order in which they compute, so that ``current`` has every
        earlier receiver's change in it.
        """
        base, source = _base_and_source(edge.direction, worlds)
        mask = worlds.batch.mask(edge.positions)
        new = outputs_of(self.model, source, edge.senders)
        writes: list[Write] = []
        for receivers in in_order(edge.receivers):
            site = input_site(self.model, receivers[0])
            parallel = self.model.shape.parallel
            senders = [s for s in edge.senders if can_feed(s, receivers[0], parallel=parallel)]
            reads = (site, *(output_site(sender) for sender in senders))
            current = self.model.run(base.tokens, reads, writes)
            change = torch.zeros_like(current[site])
            for sender in senders:
                change += written_by(self.model, sender, new)
                change -= written_by(self.model, sender, current)
            residual = torch.where(mask[..., None], current[site] + change, current[site])
            if isinstance(receivers[0].component, Logits):
                return self.model.read_out(residual)
            writes += [enter(self.model, receiver, residual, mask) for receiver in receivers]
            mlps = [r.component for r in receivers if isinstance(r.component, MLP)]
            writes += [
                enter_neurons(self.model, mlp, residual, mask)
                for mlp in mlps
                if any(holds(mlp, sender) for sender in edge.senders)
            ]
        return self.model.run(base.tokens, (), writes).logits

    def _path_through_mlps(self, edge: PatchEdge, worlds: Worlds) -> Tensor:
        """Path patching of Wang et al. 2022 (section 3.1 and appendix B), passes C and D.

        C: base world, senders from the source world at the positions, every other head frozen,
        MLPs recomputed; the receivers' inputs are recorded. D: base world with only those inputs
        replaced, at the same positions. For logits, D is C.
        """
        base, source = _base_and_source(edge.direction, worlds)
        mask = worlds.batch.mask(edge.positions)
        frozen = frozen_heads(self.model, base)
        new = outputs_of(self.model, source, edge.senders)
        sent = [rewrite(s, new[output_site(s)], mask) for s in edge.senders]
        into_logits = any(isinstance(r.component, Logits) for r in edge.receivers)
        sites = () if into_logits else {input_site(self.model, r): None for r in edge.receivers}
        inputs = self.model.run(base.tokens, tuple(sites), (*frozen, *sent))
        if into_logits:
            return inputs.logits
        entered = [(r, inputs[input_site(self.model, r)]) for r in edge.receivers]
        writes = [enter(self.model, receiver, residual, mask) for receiver, residual in entered]
        return self.model.run(base.tokens, (), writes).logits

    def _ablate(self, ablation: AblateNodes, worlds: Worlds) -> Tensor:
        mask = worlds.batch.mask(ablation.positions)
        values = self._replacements(ablation.components, ablation.reference, worlds)
        writes = [rewrite(c, values[output_site(c)], mask) for c in ablation.components]
        return self.model.run(worlds.clean.tokens, (), writes).logits

    def _circuit_alone(self, run: RunCircuitAlone, worlds: Worlds) -> Tensor:
        shape = self.model.shape
        heads = [Head(x, h) for x in range(shape.layers) for h in range(shape.heads)]
        mlps = [] if run.keep_mlps or not shape.mlps else [MLP(x) for x in range(shape.layers)]
        components: tuple[Component, ...] = (*heads, *mlps)
        neurons = [] if run.keep_mlps else _neurons(run.kept)
        values = self._replacements((*components, *neurons), run.reference, worlds)
        writes = []
        for component in components:
            mask = ~_places(component, run.kept, worlds)
            writes.append(rewrite(component, values[output_site(component)], mask))
        return self._with_neurons(run, neurons, writes, values, worlds)

    def _with_neurons(
        self,
        run: RunCircuitAlone,
        neurons: Sequence[Neuron],
        writes: list[Write],
        values: Mapping[Site, Tensor],
        worlds: Worlds,
    ) -> Tensor:
        """Logits with kept neurons put back into ablated MLPs, from the first layer on.

        An MLP writes its bias and its neurons' outputs; all of it was replaced, so the kept
        neurons' part of the replacement is taken out again.
        """
        tokens = worlds.clean.tokens
        for layer in dict.fromkeys(neuron.layer for neuron in neurons):
            own = Site(Kind.POST, layer)
            current = self.model.run(tokens, (own,), writes)[own]
            (whole,) = (w for w in writes if w.site == Site(Kind.MLP_OUT, layer))
            value = whole.value
            for neuron in neurons:
                if neuron.layer == layer:
                    change = (current - values[own])[:, :, neuron.index]
                    change = change * _places(neuron, run.kept, worlds)
                    value = value + self.model.neuron_write(layer, neuron.index, change)
            writes[writes.index(whole)] = replace(whole, value=value)
        return self.model.run(tokens, (), writes).logits

    def _without(self, run: RunWithout, worlds: Worlds) -> Tensor:
        writes = []
        components = dict.fromkeys(each.component for each in run.removed)
        values = self._replacements([*components], run.reference, worlds)
        for component in components:
            mask = _places(component, run.removed, worlds) & ~_places(component, run.spared, worlds)
            writes.append(rewrite(component, values[output_site(component)], mask))
        return self.model.run(worlds.clean.tokens, (), writes).logits

    def _replacements(
        self, components: Sequence[Component], reference: Ablation, worlds: Worlds
    ) -> Mapping[Site, Tensor]:
        """What stands in for ablated outputs; of a head, for its whole layer's ``z``."""
        sites = dict.fromkeys(map(output_site, components))
        match reference:
            case Ablation.ZERO:
                return {site: self._zeros(site, worlds) for site in sites}
            case Ablation.RESAMPLE:
                return outputs_of(self.model, worlds.corrupt, components).sites
            case Ablation.MEAN:
                if self.means is None:
                    raise ValueError("a mean ablation needs the means of the corrupt prompts")
                return {site: self.means.rows(site, worlds.batch) for site in sites}

    def _zeros(self, site: Site, worlds: Worlds) -> Tensor:
        if site.kind is Kind.POST:
            stream = worlds.corrupt.activations[EMBEDDING]
            return stream.new_zeros((*stream.shape[:2], self.model.mlp_width(site.layer)))
        return torch.zeros_like(worlds.corrupt.activations[site])


def _neurons(kept: Sequence[Kept]) -> list[Neuron]:
    """The single neurons of a list, from the first layer on."""
    found = dict.fromkeys(each.component for each in kept)
    return sorted(component for component in found if isinstance(component, Neuron))


def _places(component: Component, listed: Sequence[Kept], worlds: Worlds) -> Tensor:
    """Boolean ``[prompt, pos]``: where a list names a component."""
    mask = torch.zeros_like(worlds.clean.tokens, dtype=torch.bool)
    for each in listed:
        if each.component == component:
            mask |= worlds.batch.mask(each.positions)
    return mask


def _base_and_source(direction: Direction, worlds: Worlds) -> tuple[World, World]:
    """The world that runs, and the world that what is patched in comes from."""
    if direction is Direction.NOISING:
        return worlds.clean, worlds.corrupt
    return worlds.corrupt, worlds.clean
