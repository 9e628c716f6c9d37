"""Activations that are put in under the fast engine, and directions that are added.

Mirrors `put` of `engine/fast`.
"""

from circuitlang.circuit import Activation, ActivationSite, Direction, Embed, Head, Neuron
from circuitlang.plan.cost.resumption import Assembly, Phase, Resumption, in_mlp
from circuitlang.plan.intervention import PatchActivation, PatchTogether, Steer, SteerByTexts


def patched(at: Assembly, patch: PatchActivation) -> Resumption:
    """Of one activation of the other world."""
    size, layer, length = at.size, patch.layer, at.geometry.length
    denoising, kind = patch.direction is Direction.DENOISING, patch.activation
    heads = size.shape.heads if patch.head is None else 1
    attended = written = extra = 0
    enter = (layer, Phase.ATTENTION)
    # Patterns are computed for all heads of a layer.
    patterns = size.attention(length, length) // 2
    match kind:
        case Activation.Q:
            attended = heads
        case Activation.K | Activation.V:
            group = 0 if patch.head is None else patch.head
            attended = heads if patch.head is None else len(size.shape.group_of(group))
        case Activation.Z:
            written = heads
        case Activation.PATTERN:
            written, extra = heads, patterns * (size.shape.heads + heads)
        case Activation.RESID_PRE:
            enter = (layer, Phase.BEFORE)
        case Activation.RESID_MID:
            enter = (layer, Phase.MIDDLE)
        case Activation.ATTN_OUT:
            extra = 2 * size.output * length
            split = size.shape.parallel or not size.shape.mlps
            enter = (layer + 1, Phase.BEFORE) if split else (layer, Phase.MIDDLE)
        case Activation.RESID_POST | Activation.MLP_OUT | Activation.POST:
            enter = (layer + 1, Phase.BEFORE)
    if kind is Activation.POST and patch.head is not None:
        extra = 2 * size.neuron * at.geometry.count(patch.positions)
    start = at.geometry.first(patch.positions)
    return Resumption(denoising, start, enter, attended, written, extra)


def together(at: Assembly, patch: PatchTogether) -> Resumption:
    """Mirrors `put`; attention is computed for all heads of a layer once a job is under way."""
    size, length = at.size, at.geometry.length
    denoising, start = (
        patch.direction is Direction.DENOISING,
        at.geometry.first(patch.positions),
    )
    parts = [site.component for site in patch.sites]
    heads = [s for s, part in zip(patch.sites, parts, strict=True) if isinstance(part, Head)]
    first = min((site.layer for site in heads), default=at.layers)
    first_mlp = min((c.layer for c in parts if c and in_mlp(c)), default=at.layers)
    neurons = [part.layer for part in parts if isinstance(part, Neuron)]
    patterns = [site for site in heads if site.activation is Activation.PATTERN]
    one = size.attention(length, length) // 2
    # The source's pattern of every head of a layer, for each site anew, and over its values.
    extra = one * (size.shape.heads + 1) * len(patterns)
    # A neuron's activation in the source, which worlds do not keep, and in the pass.
    extra += size.neuron * sum(length + at.in_pass(layer, start) for layer in neurons)
    if any(isinstance(part, Embed) for part in parts):
        return Resumption(denoising, start, (0, Phase.BEFORE), extra=extra)
    if first_mlp < first or (first_mlp == first and at.parallel):
        return Resumption(denoising, start, (first_mlp, Phase.BEFORE), extra=extra)
    own = [site for site in heads if site.layer == first]
    slots = (Activation.Q, Activation.K, Activation.V)
    attended = {head for site in own if site.activation in slots for head in _touched(at, site)}
    written = sum(site.activation not in slots for site in own)
    return Resumption(denoising, start, (first, Phase.ATTENTION), len(attended), written, extra)


def steered(at: Assembly, steer: Steer | SteerByTexts) -> Resumption:
    """Mirrors `put`: where the first direction is added to the stream.

    A mean takes the prompts' own differences, those of texts are at hand.
    """
    own = 2 * isinstance(steer, Steer)
    size, length = at.size, at.geometry.length
    split = size.shape.parallel or not size.shape.mlps
    enter, extra = at.nothing, 0
    for site in steer.sites:
        behind = (site.layer + 1, Phase.BEFORE)
        match site.activation:
            case Activation.RESID_PRE:
                behind = (site.layer, Phase.BEFORE)
            case Activation.Z | Activation.ATTN_OUT | Activation.RESID_MID if not split:
                behind = (site.layer, Phase.MIDDLE)
        if site.activation is Activation.ATTN_OUT:
            extra += own * size.output * length
        elif site.activation is Activation.POST:
            extra += own * size.neuron * length
        elif site.head is not None:
            extra += size.slot * length
        enter = min(enter, behind)
    return Resumption(False, at.geometry.first(steer.positions), enter, extra=extra)


def _touched(at: Assembly, site: ActivationSite) -> tuple[int, ...]:
    """The query heads that read a slot."""
    if site.head is None or site.activation is Activation.Q:
        return () if site.head is None else (site.head,)
    return at.size.shape.group_of(site.head)
