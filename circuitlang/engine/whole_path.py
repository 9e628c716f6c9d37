"""Whole paths: nested edges, each hop carrying only what came in over the hop before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitlang.circuit import Component, Logits, Neuron, Receiver, can_feed
from circuitlang.engine.batch import Batch
from circuitlang.engine.entrance import enter, in_order, input_site
from circuitlang.engine.site import Site, Write
from circuitlang.engine.transformer import Activations, Transformer
from circuitlang.engine.world import (
    World,
    frozen_heads,
    output_site,
    outputs_of,
    rewrite,
    written_by,
)
from circuitlang.plan import Hop, PatchPath


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """A part's changed output: at its output site, and what it adds to the base world's stream.

    ``change`` is ``[prompt, pos, d_model]``.
    """

    output: Tensor
    change: Tensor


_Sending = Mapping[Component, _Sent]


def path_logits(
    model: Transformer, path: PatchPath, base: World, source: World, batch: Batch
) -> Tensor:
    """Logits at END of the base world with a path carrying the source world, ``[prompt, vocab]``.

    Every hop's receivers read the base world's stream plus the change; those of the last hop then
    stand in an otherwise recomputed base world. Receivers of one hop do not see each other. Where
    logits are among the last receivers, nothing but what they read can matter.

    Raises:
        ValueError: there is no hop, or the path goes on after the logits.
    """
    if not path.hops:
        raise ValueError("a path has at least one hop")
    receivers = [receiver for hop in path.hops for receiver in hop.receivers]
    reads = dict.fromkeys(input_site(model, receiver) for receiver in receivers)
    carriers = (*path.senders, *(receiver.component for receiver in receivers))
    reads |= dict.fromkeys(output_site(c) for c in carriers if isinstance(c, Neuron))
    inputs = model.run(base.tokens, tuple(reads)).sites
    old = Activations({**base.activations.sites, **inputs}, base.logits)
    new = outputs_of(model, source, path.senders)
    sending: _Sending = {sender: _sent(model, sender, new, old) for sender in path.senders}
    for hop in path.hops[:-1]:
        sending = _carried(model, hop, sending, old, base, batch.mask(hop.positions))
    last = path.hops[-1]
    mask = batch.mask(last.positions)
    streams = in_order(last.receivers)
    residuals = _residuals(model, last, sending, inputs, base, mask)
    if isinstance(streams[-1][0].component, Logits):
        return model.read_out(residuals[-1])
    return model.run(base.tokens, (), _entries(model, streams, residuals, mask)).logits


def _sent(model: Transformer, component: Component, now: Activations, old: Activations) -> _Sent:
    change = written_by(model, component, now) - written_by(model, component, old)
    return _Sent(now[output_site(component)], change)


def _carried(
    model: Transformer,
    hop: Hop,
    sending: _Sending,
    old: Activations,
    base: World,
    mask: Tensor,
) -> dict[Component, _Sent]:
    """How the outputs of a hop's receivers change.

    One pass for every stream that is read: the outputs of a pass that enters only receivers of one
    stream have seen no other receiver's change, as if all else were frozen.
    """
    carried: dict[Component, _Sent] = {}
    streams = in_order(hop.receivers)
    residuals = _residuals(model, hop, sending, old.sites, base, mask)
    for stream, residual in zip(streams, residuals, strict=True):
        writes = _entries(model, [stream], [residual], mask)
        components = [r.component for r in stream if not isinstance(r.component, Logits)]
        reads = tuple(output_site(component) for component in components)
        current = model.run(base.tokens, reads, writes)
        carried |= {own: _sent(model, own, current, old) for own in components}
    return carried


def _residuals(
    model: Transformer,
    hop: Hop,
    sending: _Sending,
    inputs: Mapping[Site, Tensor],
    base: World,
    mask: Tensor,
) -> list[Tensor]:
    """What a hop's receivers read, one for each stream of `in_order`; off the mask, the base's.

    Through MLPs it is read in a pass in which the senders write their changed outputs, all other
    heads are frozen, and MLPs recompute.
    """
    readers = [stream[0] for stream in in_order(hop.receivers)]
    if not hop.through_mlps:
        return [_changed(model, receiver, sending, inputs, mask) for receiver in readers]
    sites = dict.fromkeys(input_site(model, receiver) for receiver in readers)
    writes = [rewrite(part, sent.output, mask) for part, sent in sending.items()]
    read = model.run(base.tokens, tuple(sites), (*frozen_heads(model, base), *writes))
    return [read[input_site(model, receiver)] for receiver in readers]


def _changed(
    model: Transformer,
    receiver: Receiver,
    sending: _Sending,
    inputs: Mapping[Site, Tensor],
    mask: Tensor,
) -> Tensor:
    """The stream that a receiver reads, with the changes that reach it at the masked positions."""
    stream = inputs[input_site(model, receiver)]
    change = torch.zeros_like(stream)
    for sender, sent in sending.items():
        if can_feed(sender, receiver, parallel=model.shape.parallel):
            change += sent.change
    return torch.where(mask[..., None], stream + change, stream)


def _entries(
    model: Transformer,
    streams: Sequence[Sequence[Receiver]],
    residuals: Sequence[Tensor],
    mask: Tensor,
) -> list[Write]:
    """The writes that enter every receiver of the streams.

    Raises:
        ValueError: logits are among the receivers.
    """
    entered = [(r, x) for stream, x in zip(streams, residuals, strict=True) for r in stream]
    if any(isinstance(receiver.component, Logits) for receiver, _ in entered):
        raise ValueError("a path ends at the logits")
    return [enter(model, receiver, residual, mask) for receiver, residual in entered]
