"""Path patching with one hooked forward pass an edge: passes A to C replaced by arithmetic.

The receiver's input in pass C is the base run's residual stream plus what the sender writes
differently, and for `~>` plus what the MLPs between make of it. So a slot's value needs a
projection, not a pass; only D remains. Both worlds are shared, and the MLPs' answers to a sender
are shared by all of its receivers: the best that is to be had from whole forward passes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.literal import heads_of
from circuitlang.circuit import Direction, Head, Position
from circuitlang.engine.batch import Batch
from circuitlang.engine.site import Kind, Site, Write
from circuitlang.engine.transformer import Activations, Transformer
from circuitlang.plan import PatchActivation, PatchEdge

_Sent = tuple[Direction, Head, tuple[Position, ...], bool]


class OneForward:
    """One pass an edge; unembeds END only. ``forwards`` counts whole passes."""

    def __init__(self, model: Transformer, batch: Batch) -> None:
        self.model, self.batch = model, batch
        self.forwards = 0
        self._clean = self._corrupt = Activations({}, torch.empty(0))
        self._changes: dict[_Sent, dict[int, Tensor]] = {}

    def prepare(self, edges: Sequence[PatchEdge]) -> None:
        """Both worlds, and the change that each sender makes to the streams that are read."""
        self._clean, self._corrupt = (
            self._world(tokens) for tokens in (self.batch.clean, self.batch.corrupt)
        )
        self._changes.clear()
        wanted: dict[_Sent, set[int]] = {}
        for edge in edges:
            sender, receiver, _ = heads_of(edge)
            key = (edge.direction, sender, edge.positions, edge.through_mlps)
            wanted.setdefault(key, set()).add(receiver.layer)
        for key, layers in wanted.items():
            self._changes[key] = self._change(key, layers)

    def _world(self, tokens: Tensor) -> Activations:
        kinds = [Kind.RESID_PRE, Kind.Z, Kind.MLP_OUT]
        kinds += [] if self.model.shape.parallel else [Kind.RESID_MID]
        sites = [Site(kind, x) for x in range(self.model.shape.layers) for kind in kinds]
        self.forwards += 1
        return self.model.run(tokens, sites)

    def _base_and_source(self, direction: Direction) -> tuple[Tensor, Activations, Activations]:
        if direction is Direction.NOISING:
            return self.batch.clean, self._clean, self._corrupt
        return self.batch.corrupt, self._corrupt, self._clean

    @torch.no_grad()
    def _change(self, key: _Sent, layers: set[int]) -> dict[int, Tensor]:
        """What is added to the residual stream that enters each of the layers."""
        direction, sender, positions, through_mlps = key
        _, base, source = self._base_and_source(direction)
        mask = self.batch.mask(positions)[..., None]
        site = Site(Kind.Z, sender.layer)
        difference = (source[site] - base[site])[:, :, sender.head]
        change = self.model.head_write(sender.layer, sender.head, difference) * mask
        found = {}
        for layer in range(sender.layer, max(layers) + 1):
            # In a parallel block the MLP reads the same stream as the sender itself.
            hears = layer > sender.layer or not self.model.shape.parallel
            if layer in layers:
                found[layer] = change
            if through_mlps and hears and layer < max(layers):
                stream = base[self.model.input_site(layer, mlp=True)] + change
                answer = self.model.mlp(layer, stream) - base[Site(Kind.MLP_OUT, layer)]
                change = change + answer * mask
        return found

    def logits(self, edge: PatchEdge) -> Tensor:
        """Logits at END, ``[prompt, vocab]``, of an edge between two heads."""
        sender, receiver, slot = heads_of(edge)
        tokens, base, _ = self._base_and_source(edge.direction)
        key = (edge.direction, sender, edge.positions, edge.through_mlps)
        stream = base[Site(Kind.RESID_PRE, receiver.layer)] + self._changes[key][receiver.layer]
        slots = self.model.project(receiver.layer, slot, stream)
        index = receiver.head * slots.shape[2] // self.model.shape.heads
        write = Write(
            self.model.slot_site(receiver.layer, slot),
            slots[:, :, index],
            self.batch.mask(edge.positions),
            index,
        )
        self.forwards += 1
        return self.model.run(tokens, (), [write]).logits


class OneForwardSweep:
    """One pass a patched head output."""

    def __init__(self, model: Transformer, batch: Batch) -> None:
        self.model, self.batch = model, batch
        self.forwards = 0
        self._outputs: dict[Direction, Activations] = {}

    def prepare(self) -> None:
        """Head outputs of the source world of each direction."""
        sites = [Site(Kind.Z, layer) for layer in range(self.model.shape.layers)]
        sources = {Direction.NOISING: self.batch.corrupt, Direction.DENOISING: self.batch.clean}
        for direction, tokens in sources.items():
            self._outputs[direction] = self.model.run(tokens, sites)
            self.forwards += 1

    def logits(self, patch: PatchActivation) -> Tensor:
        """Logits at END, ``[prompt, vocab]``."""
        if patch.head is None:
            raise ValueError("a sweep patches one head at a time")
        site = Site(Kind.Z, patch.layer)
        value = self._outputs[patch.direction][site][:, :, patch.head]
        noising = patch.direction is Direction.NOISING
        tokens = self.batch.clean if noising else self.batch.corrupt
        write = Write(site, value, self.batch.mask(patch.positions), patch.head)
        self.forwards += 1
        return self.model.run(tokens, (), [write]).logits
