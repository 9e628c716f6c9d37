"""Laws of a model and of the reference engine on it, each on a few prompts of the first batch."""

from dataclasses import dataclass, replace

from torch import Tensor

from circuitlang.circuit import Direction, Head, Logits, Receiver, Slot
from circuitlang.engine.reference import ReferenceEngine, Worlds
from circuitlang.engine.self_checks.law import Found, Law, gap
from circuitlang.engine.site import Kind, Site, Write
from circuitlang.engine.transformer import Activations
from circuitlang.engine.world import final_site, frozen_heads, output_sites
from circuitlang.evidence import CheckName, SelfCheck
from circuitlang.plan import PatchEdge

_START = Site(Kind.RESID_PRE, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What the laws are about.

    ``clean`` and ``corrupt`` are the worlds' runs made once more, with every site that a law reads.
    ``edge`` is the experiment used where a law needs one. ``batched`` are the clean logits
    ``[prompt, vocab]`` of a whole batch that begins with the same prompts.
    """

    engine: ReferenceEngine
    worlds: Worlds
    clean: Activations
    corrupt: Activations
    edge: PatchEdge
    batched: Tensor

    @property
    def last_layer(self) -> int:
        """Of the model, from 0."""
        return self.engine.model.shape.layers - 1

    @property
    def final(self) -> Tensor:
        """The clean stream that the final norm reads, ``[prompt, pos, d_model]``."""
        return self.worlds.clean.activations[final_site(self.engine.model)]

    @property
    def difference(self) -> float:
        """Between the logits of the two worlds."""
        return gap(self.worlds.clean.logits, self.worlds.corrupt.logits)


def self_checks(
    engine: ReferenceEngine,
    worlds: Worlds,
    edge: PatchEdge | None,
    batched: Tensor | None = None,
) -> tuple[SelfCheck, ...]:
    """Every law of :data:`LAWS`, on a few prompts; for the arguments see :class:`Subject`."""
    clean, corrupt = _all_sites(engine, worlds)
    subject = Subject(
        engine,
        worlds,
        clean,
        corrupt,
        edge or _any_edge(engine),
        worlds.clean.logits if batched is None else batched,
    )
    return tuple(law.check(engine.model, subject) for law in LAWS)


def _all_sites(engine: ReferenceEngine, worlds: Worlds) -> tuple[Activations, Activations]:
    """One more clean and corrupt run each, with what the laws read besides the outputs."""
    model = engine.model
    layers = range(model.shape.layers)
    writes = [Site(Kind.ATTN_OUT, layer) for layer in layers]
    slots = [model.slot_site(layer, slot) for layer in layers for slot in Slot]
    inputs = [model.input_site(x, mlp=mlp) for x in layers for mlp in (False, True)]
    if not model.shape.mlps:
        inputs = [model.input_site(layer, mlp=False) for layer in layers]
    clean = tuple(dict.fromkeys((_START, *writes, *slots, *inputs)))
    return (
        model.run(worlds.clean.tokens, clean),
        model.run(worlds.corrupt.tokens, (_START, *writes)),
    )


def _any_edge(engine: ReferenceEngine) -> PatchEdge:
    """All heads of the first layer into the logits: where worlds differ, it has an effect."""
    heads = tuple(Head(0, head) for head in range(engine.model.shape.heads))
    return PatchEdge(heads, (Receiver(Logits()),), (), False, Direction.NOISING)


def _patch_nothing(subject: Subject) -> Found:
    model, worlds = subject.engine.model, subject.worlds
    slots = [model.slot_site(layer, slot) for layer in range(model.shape.layers) for slot in Slot]
    writes = [Write(site, subject.clean[site]) for site in slots]
    writes += [Write(site, worlds.clean.activations[site]) for site in output_sites(model)]
    patched = model.run(worlds.clean.tokens, (), writes)
    return Found(gap(patched.logits, worlds.clean.logits))


def _patch_everything(subject: Subject) -> Found:
    worlds = subject.worlds
    writes = [Write(_START, subject.corrupt[_START])]
    patched = subject.engine.model.run(worlds.clean.tokens, (), writes)
    value = gap(patched.logits, worlds.corrupt.logits)
    return Found(value, subject.difference, "clean and corrupt differ by")


def _all_edges_into_logits(subject: Subject) -> Found:
    """The embedding's change plus every component's direct edge must turn clean into corrupt."""
    model, worlds = subject.engine.model, subject.worlds
    residual = subject.final + subject.corrupt[_START] - subject.clean[_START]
    for layer in range(model.shape.layers):
        for head in range(model.shape.heads):
            change = worlds.corrupt.z(layer)[:, :, head] - worlds.clean.z(layer)[:, :, head]
            residual = residual + model.head_write(layer, head, change)
        if model.shape.mlps:
            residual = residual + worlds.corrupt.mlp_out(layer) - worlds.clean.mlp_out(layer)
    value = gap(model.read_out(residual), worlds.corrupt.logits)
    return Found(value, subject.difference, "clean and corrupt differ by")


def _same_worlds(subject: Subject) -> Found:
    """An edge from the same world does nothing; the same edge from the corrupt one does.

    Where a plan's own edge has no effect at all, another one is tried, so that the law can fail.
    """
    engine, worlds = subject.engine, subject.worlds
    same = replace(worlds, corrupt=worlds.clean)
    found = Found(0.0)
    for edge in (subject.edge, _any_edge(engine)):
        value = gap(engine.logits(edge, same), worlds.clean.logits)
        size = gap(engine.logits(edge, worlds), worlds.clean.logits)
        found = Found(max(found.value, value), size, "from the corrupt world it moves them by")
        if size > 0:
            break
    return found


def _writes_add_up(subject: Subject) -> Found:
    model, worlds = subject.engine.model, subject.worlds
    total = subject.clean[_START]
    for layer in range(model.shape.layers):
        for head in range(model.shape.heads):
            total = total + model.head_write(layer, head, worlds.clean.z(layer)[:, :, head])
        bias = model.attention_bias(layer)
        total = total if bias is None else total + bias
        if model.shape.mlps:
            total = total + worlds.clean.mlp_out(layer)
    return Found(gap(total, subject.final))


def _slots_agree(subject: Subject) -> Found:
    model, clean, worst = subject.engine.model, subject.clean, 0.0
    for layer in sorted({0, subject.last_layer // 2, subject.last_layer}):
        stream = clean[model.input_site(layer, mlp=False)]
        for slot in Slot:
            own = clean[model.slot_site(layer, slot)]
            worst = max(worst, gap(model.project(layer, slot, stream), own))
        if model.shape.mlps:
            stream = clean[model.input_site(layer, mlp=True)]
            worst = max(worst, gap(model.mlp(layer, stream), subject.worlds.clean.mlp_out(layer)))
    return Found(worst)


def _frozen_hold(subject: Subject) -> Found:
    """Freeze every head at the clean world in the corrupt run, and look at what heads write.

    The attention outputs are read behind the output projection, so a freeze that was recorded but
    not used would show.
    """
    engine, worlds = subject.engine, subject.worlds
    sites = tuple(Site(Kind.ATTN_OUT, layer) for layer in range(subject.last_layer + 1))
    frozen = frozen_heads(engine.model, worlds.clean)
    after = engine.model.run(worlds.corrupt.tokens, sites, frozen)
    value = max(gap(subject.clean[site], after[site]) for site in sites)
    size = max(gap(subject.clean[site], subject.corrupt[site]) for site in sites)
    return Found(value, size, "not frozen they move by")


def _batch_is_single(subject: Subject) -> Found:
    alone = subject.engine.model.run(subject.worlds.clean.tokens[:1])
    whole = subject.batched
    others = gap(whole, whole[:1].expand_as(whole))
    return Found(gap(alone.logits, whole[:1]), others, "other prompts of the batch differ by")


def _logits(subject: Subject) -> Tensor:
    return subject.worlds.clean.logits


def _stream(subject: Subject) -> Tensor:
    return subject.final


LAWS: tuple[Law[Subject], ...] = (
    Law(
        CheckName.NOTHING,
        "logits",
        _patch_nothing,
        _logits,
        "every output and slot rewritten with its own value",
    ),
    Law(
        CheckName.EVERYTHING,
        "logits",
        _patch_everything,
        _logits,
        "clean tokens with the corrupt embedding",
    ),
    Law(
        CheckName.ALL_EDGES,
        "logits",
        _all_edges_into_logits,
        _logits,
        "every head and MLP, and the embedding",
    ),
    Law(
        CheckName.SAME_WORLDS,
        "logits",
        _same_worlds,
        _logits,
        "an edge patched from the same world",
    ),
    Law(
        CheckName.WRITES,
        "residual stream",
        _writes_add_up,
        _stream,
        "embedding + heads + biases + MLPs",
    ),
    Law(
        CheckName.SLOTS,
        "slot values",
        _slots_agree,
        _stream,
        "Q, K, V and MLPs of the first, middle and last layer",
    ),
    Law(
        CheckName.FROZEN,
        "residual stream",
        _frozen_hold,
        _stream,
        "attention outputs of the corrupt run with heads frozen at the clean one",
    ),
    Law(
        CheckName.BATCHED,
        "logits",
        _batch_is_single,
        _logits,
        "the first prompt alone",
    ),
)
"""In the order in which they are printed."""
