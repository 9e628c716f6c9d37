"""Several activations at once, and steering, as jobs."""

from torch import Tensor

from circuitlang.circuit import Activation, ActivationSite, Embed, Neuron, Slot
from circuitlang.engine.contrast import site_of
from circuitlang.engine.fast.jobs import Job, Phase, Rewrite, SlotEdit
from circuitlang.engine.fast.neurons import How, NeuronEdit
from circuitlang.engine.fast.setting import Setting
from circuitlang.engine.fast.worlds import FastWorld, at
from circuitlang.plan import PatchTogether, ReadStream, Steer, SteerByTexts


def together_job(setting: Setting, index: int, patch: PatchTogether) -> Job:
    """Activations of heads and neurons and other parts' outputs of the source, in the base."""
    base, source = setting.worlds.base_and_source(patch.direction)
    job = setting.nothing(index, base)
    columns = setting.worlds.columns(patch.positions)
    mask = setting.worlds.batch.mask(patch.positions)
    job.start = int(columns.min())
    for site in dict.fromkeys(patch.sites):
        layer, block = site.layer, setting.anatomy.blocks[site.layer]
        if isinstance(site.component, Embed):
            job.added = (columns, at(source.embedding - base.embedding, columns))
        elif isinstance(site.component, Neuron):
            value = setting.neuron(source, site.component)
            edit = NeuronEdit(How.REPLACE, site.component.index, mask, value)
            job.neurons.setdefault(layer, []).append(edit)
        elif site.head is None:
            job.mlps[layer] = Rewrite(mask, source.mlp_out(layer))
        elif site.activation is Activation.Z:
            rewrite = Rewrite(mask, source.z(layer)[:, :, site.head])
            job.heads.setdefault(layer, []).append((site.head, rewrite))
        elif site.activation is Activation.PATTERN:
            pattern = source.attention(layer)[:, site.head]
            job.patterns.setdefault(layer, []).append((site.head, Rewrite(mask, pattern)))
        else:
            slot = Slot(site.activation.name)
            own = block.head_of(slot, site.head)
            value = at(source.slot(layer, slot)[:, :, own], columns)
            edits = job.slots.setdefault(layer, [])
            # Heads of a group share a key and a value: one edit serves them all.
            if not any((e.slot, e.head) == (slot, own) for e in edits):
                edits.append(SlotEdit(slot, own, columns, value))
    return _placed(setting, job)


def _placed(setting: Setting, job: Job) -> Job:
    """Let a job enter where the first of its sites is."""
    first = min({*job.heads, *job.patterns, *job.slots}, default=setting.layers)
    first_mlp = min((*job.mlps, *job.neurons), default=setting.layers)
    parallel = setting.anatomy.parallel
    if job.added is not None:
        job.enter = (0, Phase.BEFORE)
        return job
    if first_mlp < first or (first_mlp == first and parallel):
        job.enter = (first_mlp, Phase.BEFORE)
        return job
    job.enter = (first, Phase.ATTENTION)
    # Below the layer of entrance all values are the base's: a pattern is an output there.
    for head, rewrite in job.patterns.pop(first, ()):
        block = setting.anatomy.blocks[first]
        values = job.base.slot(first, Slot.V)[:, :, block.head_of(Slot.V, head)]
        z = Rewrite(rewrite.mask, rewrite.value @ values)
        job.heads.setdefault(first, []).append((head, z))
    return job


def steer_job(setting: Setting, index: int, steer: Steer | SteerByTexts) -> Job:
    """Directions are added to the clean run's stream where the steered parts write."""
    job = setting.nothing(index, setting.worlds.clean)
    columns = setting.worlds.columns(steer.positions)
    job.start = int(columns.min())
    for site in steer.sites:
        place = _behind(setting, site)
        value = at(steer.factor * _direction(setting, steer, site), columns)
        if place in job.pushes:
            value = value + job.pushes[place][1]
        job.pushes[place] = (columns, value)
    job.enter = min(job.pushes)
    job.added = job.pushes.pop(job.enter)
    return job


def look_job(setting: Setting, index: int, look: ReadStream) -> Job:
    """The clean run's stream at a token stands in for the final one at END."""
    base = setting.worlds.clean
    job = setting.nothing(index, base)
    job.instead = at(base.pre(look.layer), setting.worlds.columns(look.positions))[:, 0]
    return job


def _behind(setting: Setting, site: ActivationSite) -> tuple[int, Phase]:
    """Where the stream has what a site writes, or is the site."""
    layer, block = site.layer, setting.anatomy.blocks[site.layer]
    serial = block.mlp is not None and not setting.anatomy.parallel
    match site.activation:
        case Activation.RESID_PRE:
            return layer, Phase.BEFORE
        case Activation.RESID_POST | Activation.MLP_OUT | Activation.POST:
            return layer + 1, Phase.BEFORE
        case Activation.RESID_MID if not serial:
            raise ValueError("these blocks have no residual stream in the middle")
        case _:
            return (layer, Phase.MIDDLE) if serial else (layer + 1, Phase.BEFORE)


def _direction(setting: Setting, steer: Steer | SteerByTexts, site: ActivationSite) -> Tensor:
    """What is added to the stream for a factor of 1, ``[prompt, pos, d_model]``.

    Raises:
        ValueError: no directions were measured, or texts do not differ.
    """
    if isinstance(steer, SteerByTexts):
        change = _of_texts(setting, steer, site)
    else:
        change = _mean(setting, site)
    block = setting.anatomy.blocks[site.layer]
    if site.head is None:
        return change
    if site.activation is Activation.POST:
        return block.neurons.neuron_write(site.head, change)
    return block.head_write(site.head, change)


def _of_texts(setting: Setting, steer: SteerByTexts, site: ActivationSite) -> Tensor:
    """The difference between two texts, the same for each prompt."""
    texts = None if setting.means is None else setting.means.texts
    if texts is None:
        raise ValueError("the texts to steer by were not run")
    change = texts.rows(steer, site, setting.length)
    return change.expand(len(setting.worlds.clean.tokens), *change.shape)


def _mean(setting: Setting, site: ActivationSite) -> Tensor:
    """The mean difference of the other prompts, of a head or neuron its own."""
    contrast = None if setting.means is None else setting.means.contrast
    if contrast is None:
        raise ValueError("steering needs the mean differences between clean and corrupt prompts")
    worlds = setting.worlds
    clean, corrupt = (_value(setting, world, site) for world in (worlds.clean, worlds.corrupt))
    own = clean - corrupt
    return contrast.rows(site_of(site), own, worlds.batch, site.head).to(own.dtype)


def _value(setting: Setting, world: FastWorld, site: ActivationSite) -> Tensor:
    """A site's value in a run, as `Kind` has it; of one head or neuron, its own."""
    layer = site.layer
    match site.activation:
        case Activation.Z if site.head is not None:
            return world.z(layer)[:, :, site.head]
        case Activation.POST if site.head is not None:
            return setting.neuron(world, Neuron(layer, site.head))
        case Activation.MLP_OUT:
            return world.mlp_out(layer)
        case Activation.ATTN_OUT:
            return setting.anatomy.blocks[layer].out(world.z(layer).flatten(-2))
        case Activation.RESID_PRE:
            return world.pre(layer)
        case Activation.RESID_MID:
            return world.mid(layer)
        case Activation.RESID_POST:
            return world.pre(layer + 1)
        case _:
            raise ValueError(f"nothing is added to {site}")
