"""Laws that must hold before any number is believed; run with every report, on a few prompts.

Most silent mistakes of the field are one of these: a hook that did not fire, a freeze that does not
hold, a cache of the wrong world, a write that is not what the residual stream receives.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from circuitlang.circuit import Direction, Head, Logits, Receiver, Slot
from circuitlang.engine.reference import ReferenceEngine, Worlds
from circuitlang.engine.site import Kind, Site, Write
from circuitlang.engine.transformer import Transformer
from circuitlang.engine.world import final_site, output_sites
from circuitlang.evidence import SelfCheck
from circuitlang.plan import Intervention, PatchEdge

_RELATIVE = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def self_checks(
    engine: ReferenceEngine,
    worlds: Worlds,
    edge: PatchEdge | None,
    batched: Tensor | None = None,
) -> tuple[SelfCheck, ...]:
    """Every law, on a few prompts.

    ``edge`` is the experiment used where a law needs one. ``batched`` are the clean logits
    ``[prompt, vocab]`` of a whole batch that begins with the same prompts.
    """
    whole = worlds.clean.logits if batched is None else batched
    logits = tolerance(engine.model, worlds.clean.logits)
    final = worlds.clean.activations[final_site(engine.model)]
    stream = tolerance(engine.model, final)
    probe = edge or _any_edge(engine)
    laws: tuple[tuple[str, str, float, Callable[[], float], str], ...] = (
        (
            "patching nothing gives the clean run",
            "logits",
            logits,
            lambda: _patch_nothing(engine, worlds),
            "every output and slot rewritten with its own value",
        ),
        (
            "patching everything gives the corrupt run",
            "logits",
            logits,
            lambda: _patch_everything(engine, worlds),
            "clean tokens with the corrupt embedding",
        ),
        (
            "all direct edges into logits add up to the corrupt run",
            "logits",
            logits,
            lambda: _all_edges_into_logits(engine, worlds),
            "every head and MLP, and the embedding",
        ),
        (
            "corrupt = clean gives no effect",
            "logits",
            logits,
            lambda: _same_worlds(engine, worlds, probe),
            "an edge patched from the same world",
        ),
        (
            "the parts' writes sum to the residual stream",
            "residual stream",
            stream,
            lambda: _writes_add_up(engine, worlds),
            "embedding + heads + biases + MLPs",
        ),
        (
            "slots computed from the residual stream are the model's",
            "slot values",
            stream,
            lambda: _slots_agree(engine, worlds),
            "Q, K, V and MLPs of the first, middle and last layer",
        ),
        (
            "frozen heads did not move",
            "residual stream",
            stream,
            lambda: _frozen_hold(engine, worlds),
            "attention outputs of the corrupt run with heads frozen at the clean one",
        ),
        (
            "batched prompts equal single prompts",
            "logits",
            logits,
            lambda: _batch_is_single(engine, worlds, whole),
            "the first prompt alone",
        ),
    )
    return tuple(_check(name, unit, tol, law, detail) for name, unit, tol, law, detail in laws)


def engine_tolerance(model: Transformer, like: Tensor) -> float:
    """The largest gap between engines that float noise explains.

    Transformers computes norms, rotary angles and attention patterns of many families in float32
    even where the weights are float64.
    """
    return max(tolerance(model, like), 1e-5 * max(1.0, float(like.abs().max())))


def engines_agree(
    model: Transformer, gap: float, compared: int, logits: Tensor, where: str
) -> SelfCheck:
    """The two engines share no code past the hooks, so a fault in one of them shows here.

    ``gap`` is the largest difference of an answer's logit over ``compared`` experiments.
    """
    return _check(
        "fast engine and reference engine agree",
        "logits",
        engine_tolerance(model, logits),
        lambda: gap,
        f"{compared} experiments on {where}",
    )


def unchanged(before: float, after: float, hooks: int) -> SelfCheck:
    """The model is the same before and after, and no hook was left on it."""
    value = abs(after - before)
    passed = value == 0.0 and hooks == 0
    detail = f"sum of all weights; {hooks} hooks left"
    return SelfCheck(
        name="the model is the same before and after",
        passed=passed,
        value=value,
        tolerance=0.0,
        unit="weights",
        detail=detail,
    )


def all_fired(model: Transformer) -> SelfCheck:
    """Every hook of every pass fired exactly once."""
    return SelfCheck(
        name="each intervention fired",
        passed=model.missed == 0 and model.fired > 0,
        value=float(model.missed),
        tolerance=0.0,
        unit="missed",
        detail=f"{model.fired:,} hooks fired in {model.passes:,} passes",
    )


def _check(name: str, unit: str, limit: float, law: Callable[[], float], detail: str) -> SelfCheck:
    value = law()
    finite = math.isfinite(value)
    return SelfCheck(
        name=name,
        passed=finite and value <= limit,
        value=value if finite else None,
        tolerance=limit,
        unit=unit,
        detail=detail,
    )


def tolerance(model: Transformer, like: Tensor) -> float:
    """The largest gap that float noise explains; it scales with the size of what is compared."""
    return _RELATIVE[model.dtype] * max(1.0, float(like.abs().max()))


def _gap(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def _any_edge(engine: ReferenceEngine) -> PatchEdge:
    sender, receiver = Head(0, 0), Receiver(Logits())
    return PatchEdge((sender,), (receiver,), (), False, Direction.NOISING)


def _patch_nothing(engine: ReferenceEngine, worlds: Worlds) -> float:
    model = engine.model
    slots = [model.slot_site(layer, slot) for layer in range(model.shape.layers) for slot in Slot]
    own = model.run(worlds.clean.tokens, slots)
    writes = [Write(site, value) for site, value in own.sites.items()]
    writes += [Write(site, worlds.clean.activations[site]) for site in output_sites(model)]
    patched = model.run(worlds.clean.tokens, (), writes)
    return _gap(patched.logits, worlds.clean.logits)


def _patch_everything(engine: ReferenceEngine, worlds: Worlds) -> float:
    start = Site(Kind.RESID_PRE, 0)
    embedding = engine.model.run(worlds.corrupt.tokens, (start,))[start]
    patched = engine.model.run(worlds.clean.tokens, (), [Write(start, embedding)])
    return _gap(patched.logits, worlds.corrupt.logits)


def _all_edges_into_logits(engine: ReferenceEngine, worlds: Worlds) -> float:
    """The embedding's change plus every component's direct edge must turn clean into corrupt."""
    model, start = engine.model, Site(Kind.RESID_PRE, 0)
    embeddings = [model.run(w.tokens, (start,))[start] for w in (worlds.clean, worlds.corrupt)]
    residual = worlds.clean.activations[final_site(model)] + embeddings[1] - embeddings[0]
    for layer in range(model.shape.layers):
        for head in range(model.shape.heads):
            change = worlds.corrupt.z(layer)[:, :, head] - worlds.clean.z(layer)[:, :, head]
            residual = residual + model.head_write(layer, head, change)
        if model.shape.mlps:
            residual = residual + worlds.corrupt.mlp_out(layer) - worlds.clean.mlp_out(layer)
    return _gap(model.read_out(residual), worlds.corrupt.logits)


def _same_worlds(engine: ReferenceEngine, worlds: Worlds, edge: Intervention) -> float:
    same = replace(worlds, corrupt=worlds.clean)
    return _gap(engine.logits(edge, same), worlds.clean.logits)


def _writes_add_up(engine: ReferenceEngine, worlds: Worlds) -> float:
    model, start = engine.model, Site(Kind.RESID_PRE, 0)
    total = model.run(worlds.clean.tokens, (start,))[start]
    for layer in range(model.shape.layers):
        for head in range(model.shape.heads):
            total = total + model.head_write(layer, head, worlds.clean.z(layer)[:, :, head])
        bias = model.attention_bias(layer)
        total = total if bias is None else total + bias
        if model.shape.mlps:
            total = total + worlds.clean.mlp_out(layer)
    return _gap(total, worlds.clean.activations[final_site(model)])


def _slots_agree(engine: ReferenceEngine, worlds: Worlds) -> float:
    model, worst = engine.model, 0.0
    last = model.shape.layers - 1
    for layer in sorted({0, last // 2, last}):
        heads = model.input_site(layer, mlp=False)
        mlp = model.input_site(layer, mlp=True)
        sites = {model.slot_site(layer, slot): slot for slot in Slot}
        reads = (heads, *sites, *((mlp,) if model.shape.mlps else ()))
        found = model.run(worlds.clean.tokens, tuple(dict.fromkeys(reads)))
        for site, slot in sites.items():
            worst = max(worst, _gap(model.project(layer, slot, found[heads]), found[site]))
        if model.shape.mlps:
            out = worlds.clean.mlp_out(layer)
            worst = max(worst, _gap(model.mlp(layer, found[mlp]), out))
    return worst


def _frozen_hold(engine: ReferenceEngine, worlds: Worlds) -> float:
    """Freeze every head at the clean world in the corrupt run, and look at what heads write.

    The attention outputs are read behind the output projection, so a freeze that was recorded but
    not used would show.
    """
    model = engine.model
    sites = tuple(Site(Kind.ATTN_OUT, layer) for layer in range(model.shape.layers))
    before = model.run(worlds.clean.tokens, sites)
    after = model.run(worlds.corrupt.tokens, sites, engine.frozen_heads(worlds.clean))
    return max(_gap(before[site], after[site]) for site in sites)


def _batch_is_single(engine: ReferenceEngine, worlds: Worlds, batched: Tensor) -> float:
    alone = engine.model.run(worlds.clean.tokens[:1])
    return _gap(alone.logits, batched[:1])
