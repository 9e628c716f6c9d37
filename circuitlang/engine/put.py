"""Interventions of the reference engine that put something into activations, or only look."""

import torch
from torch import Tensor

from circuitlang.circuit import Activation, ActivationSite
from circuitlang.engine.batch import Batch
from circuitlang.engine.contrast import Contrast, differences, site_of
from circuitlang.engine.site import Kind, Site, Write
from circuitlang.engine.text_contrast import TextContrast
from circuitlang.engine.transformer import Transformer
from circuitlang.engine.world import World, final_site
from circuitlang.plan import PatchTogether, ReadStream, Steer, SteerByTexts


def patched_together(
    model: Transformer, patch: PatchTogether, base: World, source: World, batch: Batch
) -> Tensor:
    """Logits at END with every site's source value in the base world, ``[prompt, vocab]``.

    A pattern cannot be written, so its head's output is: the source's pattern over the values that
    the current run has there, with all that is patched below it.
    """
    sites = tuple(dict.fromkeys(map(site_of, patch.sites)))
    values = model.run(source.tokens, sites)
    mask = batch.mask(patch.positions)
    writes: list[Write] = []
    for layer in sorted({site.layer for site in patch.sites}):
        own = [site for site in patch.sites if site.layer == layer]
        patterns = [site for site in own if site.activation is Activation.PATTERN]
        for site in own:
            if site not in patterns:
                writes.append(_write(model, site, values[site_of(site)], mask))
        if patterns:
            below = Site(Kind.V, layer)
            current = model.run(base.tokens, (below,), writes)[below]
            z = model.attend(values[site_of(patterns[0])], current)
            out = Site(Kind.Z, layer)
            writes += [Write(out, z[:, :, s.head], mask, s.head) for s in patterns]
    return model.run(base.tokens, (), writes).logits


def _write(model: Transformer, site: ActivationSite, value: Tensor, mask: Tensor) -> Write:
    head = site.head
    if head is not None and site.activation in (Activation.K, Activation.V):
        head = model.shared_head(head)
    return Write(site_of(site), value if head is None else value[:, :, head], mask, head)


def steered(
    model: Transformer, steer: Steer, clean: World, batch: Batch, contrast: Contrast | None
) -> Tensor:
    """Logits at END of the clean world with directions added, ``[prompt, vocab]``.

    Raises:
        ValueError: no directions were measured.
    """
    if contrast is None:
        raise ValueError("steering needs the mean differences between clean and corrupt prompts")
    places = tuple(dict.fromkeys(map(site_of, steer.sites)))
    own = differences(model, batch, places)
    mask = batch.mask(steer.positions)
    added: list[Write] = []
    for site in steer.sites:
        place = site_of(site)
        value = steer.factor * contrast.rows(place, own[place], batch)
        value = value if site.head is None else value[:, :, site.head]
        added.append(_added(site, value, mask))
    return model.run(clean.tokens, (), added).logits


def steered_by_texts(
    model: Transformer,
    steer: SteerByTexts,
    clean: World,
    batch: Batch,
    texts: TextContrast | None,
) -> Tensor:
    """Logits at END of the clean world with differences of texts added, ``[prompt, vocab]``.

    Raises:
        ValueError: the texts were not run, or add nothing.
    """
    if texts is None:
        raise ValueError("the texts to steer by were not run")
    mask, (prompts, length) = batch.mask(steer.positions), batch.clean.shape
    added: list[Write] = []
    for site in steer.sites:
        value = steer.factor * texts.rows(steer, site, length)
        added.append(_added(site, value.expand(prompts, *value.shape), mask))
    return model.run(clean.tokens, (), added).logits


def _added(site: ActivationSite, value: Tensor, mask: Tensor) -> Write:
    place = site_of(site)
    if place.kind is Kind.RESID_MID:  # which cannot be written: what attention adds to it can
        place = Site(Kind.ATTN_OUT, site.layer)
    return Write(place, value, mask, site.head, adds=True)


def read_stream(model: Transformer, look: ReadStream, clean: World, batch: Batch) -> Tensor:
    """Logits ``[prompt, vocab]`` of the clean world's stream, read as if it were the last one."""
    last = look.layer == model.shape.layers
    site = final_site(model) if last else Site(Kind.RESID_PRE, look.layer)
    stream = model.run(clean.tokens, (site,))[site]
    (columns,) = batch.columns(look.positions).T
    return model.read_out(stream[torch.arange(len(stream), device=stream.device), columns][:, None])
