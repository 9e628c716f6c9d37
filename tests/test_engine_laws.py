"""Laws that any correct engine keeps, whatever the model."""

from dataclasses import replace

import pytest
import torch

from circuitlang.circuit import (
    AT_END,
    MLP,
    Ablation,
    Direction,
    Head,
    Logits,
    Receiver,
    Slot,
)
from circuitlang.engine.errors import HookError, ModelError
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.engine.self_checks import self_checks
from circuitlang.engine.site import Kind, Site, Write
from circuitlang.engine.world import frozen_heads, output_site
from circuitlang.plan import (
    AblateNodes,
    Activation,
    Experiment,
    Hop,
    Kept,
    PatchActivation,
    PatchEdge,
    PatchPath,
    RunCircuitAlone,
)
from tests.engine_models import (
    FAMILIES,
    LENGTH,
    P0,
    P1,
    P2,
    WINDOW,
    bench,
    bridged,
    gemma2,
    gpt2,
    gpt_neo,
    mistral,
    olmo2,
    random_batch,
)


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda f: f.__name__)
def world(request):
    return bench(request.param, seed=7)


def gap(one, other):
    return float((one - other).abs().max())


def edge(sender, receiver, positions=(), through_mlps=False, direction=Direction.NOISING):
    return PatchEdge((sender,), (receiver,), positions, through_mlps, direction)


EDGES = [
    edge(Head(0, 1), Receiver(Head(2, 0), Slot.Q), (P1,)),
    edge(Head(0, 1), Receiver(Head(1, 2), Slot.K), (P1, P2), True),
    edge(Head(1, 3), Receiver(Head(2, 1), Slot.V), (), True, Direction.DENOISING),
    edge(MLP(0), Receiver(MLP(2)), (P2,)),
    edge(MLP(1), Receiver(Logits())),
    edge(Head(1, 0), Receiver(Logits()), (), True),
]


@pytest.mark.parametrize("intervention", EDGES, ids=str)
def test_patching_from_the_same_world_changes_nothing(world, intervention):
    for same in (world.worlds.clean, world.worlds.corrupt):
        worlds = replace(world.worlds, clean=same, corrupt=same)
        assert gap(world.engine.logits(intervention, worlds), same.logits) < 1e-9


def test_a_direct_edge_is_the_four_passes_with_mlps_frozen(world):
    """Wang et al.'s passes, MLPs frozen as heads are, give the one-pass direct edge."""
    b, (sender, receiver) = world, (Head(0, 2), Receiver(Head(2, 1), Slot.V))
    mask = b.mask(P2)
    frozen = frozen_heads(b.model, b.worlds.clean)
    frozen += [
        Write(Site(Kind.MLP_OUT, layer), b.worlds.clean.mlp_out(layer))
        for layer in range(b.model.shape.layers)
    ]
    sent = Write(output_site(sender), b.worlds.corrupt.z(0)[:, :, sender.head], mask, sender.head)
    site = b.model.input_site(2, mlp=False)
    inputs = b.model.run(b.batch.clean, (site,), (*frozen, sent))
    value = b.model.project(2, Slot.V, inputs[site])
    head = 1 * value.shape[2] // b.model.shape.heads  # the key/value group, if heads share one
    entered = Write(Site(Kind.V, 2), value[:, :, head], mask, head)
    four = b.model.run(b.batch.clean, (), [entered]).logits
    one = b.engine.logits(edge(sender, receiver, (P2,)), b.worlds)
    assert gap(one, four) < 1e-9
    assert gap(one, b.worlds.clean.logits) > 1e-6


@pytest.mark.parametrize("intervention", EDGES, ids=str)
def test_a_path_of_one_hop_is_an_edge(world, intervention):
    path = PatchPath(
        intervention.senders,
        (Hop(intervention.receivers, intervention.positions, intervention.through_mlps),),
        intervention.direction,
    )
    one = world.engine.logits(path, world.worlds)
    assert gap(one, world.engine.logits(intervention, world.worlds)) < 1e-9


HOPS = (
    Hop((Receiver(Head(1, 2), Slot.K), Receiver(MLP(0))), (P1, P2)),
    Hop((Receiver(Head(2, 1), Slot.V),), ()),
)
PATHS = [
    PatchPath((Head(0, 1),), HOPS, Direction.NOISING),
    PatchPath((Head(0, 1), MLP(0)), (*HOPS, Hop((Receiver(Logits()),), ())), Direction.DENOISING),
]


PATHS += [
    replace(path, hops=tuple(replace(h, through_mlps=i != 1) for i, h in enumerate(path.hops)))
    for path in PATHS
]


def test_where_mlps_write_nothing_a_path_through_them_is_direct():
    """Their output matrices and biases are zero; the heads are as ever."""
    plain = gpt2(seed=7)
    with torch.no_grad():
        for block in plain.transformer.h:
            block.mlp.c_proj.weight.zero_()
            block.mlp.c_proj.bias.zero_()
    model, batch = bridged(plain), random_batch(7)
    hops = (
        Hop((Receiver(Head(1, 2), Slot.V), Receiver(Head(1, 3), Slot.K)), (P1,), True),
        Hop((Receiver(Head(2, 0), Slot.Q), Receiver(Head(2, 1), Slot.V)), (), True),
        Hop((Receiver(Logits()),), (), True),
    )
    for engine in (ReferenceEngine(model), FastEngine(model)):
        worlds = engine.worlds(batch)
        for count in (1, 2, 3):
            path = PatchPath((Head(0, 1), Head(0, 2)), hops[:count], Direction.NOISING)
            alike = (replace(hop, through_mlps=False) for hop in path.hops)
            direct = replace(path, hops=tuple(alike))
            found, expected = (engine.logits(each, worlds) for each in (path, direct))
            assert gap(found, expected) < 1e-9
            assert gap(found, worlds.clean.logits) > 1e-6


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_path_from_the_same_world_changes_nothing(world, path):
    for same in (world.worlds.clean, world.worlds.corrupt):
        worlds = replace(world.worlds, clean=same, corrupt=same)
        assert gap(world.engine.logits(path, worlds), same.logits) < 1e-9
    base = world.worlds.clean if path.direction is Direction.NOISING else world.worlds.corrupt
    assert gap(world.engine.logits(path, world.worlds), base.logits) > 1e-6


def test_passes_are_those_the_plan_counts(world):
    patches = [patch(world, activation, 1) for activation in activations(world)]
    for intervention in (*EDGES, *PATHS, *patches):
        before = world.model.passes
        world.engine.logits(intervention, world.worlds)
        made = world.model.passes - before
        assert made == Experiment("", intervention).forward_passes, intervention


def patch(world, activation, layer, head=None, positions=(), direction=Direction.NOISING):
    return PatchActivation(activation, layer, head, positions, direction)


def activations(world):
    """Those that the model has: in parallel blocks nothing lies between attention and MLP."""
    parallel = world.model.shape.parallel
    return [a for a in Activation if not (parallel and a is Activation.RESID_MID)]


def test_an_activation_from_the_same_world_changes_nothing(world):
    for same in (world.worlds.clean, world.worlds.corrupt):
        worlds = replace(world.worlds, clean=same, corrupt=same)
        for activation in activations(world):
            for positions in ((), (P1, P2)):
                run = patch(world, activation, 1, None, positions)
                assert gap(world.engine.logits(run, worlds), same.logits) < 1e-9, activation


@pytest.mark.parametrize("direction", list(Direction))
def test_the_whole_residual_stream_is_the_other_world(world, direction):
    clean, corrupt = world.worlds.clean, world.worlds.corrupt
    other = corrupt if direction is Direction.NOISING else clean
    for layer in range(world.model.shape.layers):
        for name in ("RESID_PRE", "RESID_MID", "RESID_POST"):
            if (activation := Activation[name]) not in activations(world):
                continue
            run = patch(world, activation, layer, direction=direction)
            assert gap(world.engine.logits(run, world.worlds), other.logits) < 1e-9, run


def test_one_activation_has_several_names(world):
    """Every head's output at once is the attention's write, an activation from the corrupt world is
    a resample ablation, and the stream behind a block is the one before the next."""

    def logits(run):
        return world.engine.logits(run, world.worlds)

    def resampled(component):
        return AblateNodes((component,), (P0, P2), Ablation.RESAMPLE, per_template=True)

    at = (P0, P2)
    same = [
        (patch(world, Activation.Z, 1, None, at), patch(world, Activation.ATTN_OUT, 1, None, at)),
        (patch(world, Activation.Z, 1, 2, at), resampled(Head(1, 2))),
        (patch(world, Activation.MLP_OUT, 1, None, at), resampled(MLP(1))),
        (
            patch(world, Activation.RESID_POST, 0, None, at),
            patch(world, Activation.RESID_PRE, 1, None, at),
        ),
    ]
    for one, other in same:
        assert gap(logits(one), logits(other)) < 1e-9, one
        assert gap(logits(one), world.worlds.clean.logits) > 1e-6, one


def test_queries_and_keys_act_through_the_pattern_alone(world):
    """Q and K of a head at END, K elsewhere, all from the other world, are its pattern's row."""
    layer = world.model.shape.layers - 1
    end = (AT_END,)
    sites = {slot: world.model.slot_site(layer, slot) for slot in (Slot.Q, Slot.K)}
    other = world.model.run(world.batch.corrupt, tuple(sites.values())).sites
    both = world.model.run(world.batch.clean, (), [Write(s, other[s]) for s in sites.values()])
    rows = patch(world, Activation.PATTERN, layer, None, end)
    assert gap(both.logits, world.engine.logits(rows, world.worlds)) < 1e-9
    assert gap(both.logits, world.worlds.clean.logits) > 1e-6


def test_attention_is_a_causal_distribution(world):
    shape = world.model.shape
    for layer in range(shape.layers):
        pattern = world.engine.attention(layer, world.worlds.corrupt)
        prompts, length = world.batch.corrupt.shape
        assert pattern.shape == (prompts, shape.heads, length, length)
        assert gap(pattern.sum(-1), torch.ones(())) < 1e-6
        assert float(pattern.triu(1).abs().max()) == 0.0
    clean = world.engine.attention(shape.layers - 1, world.worlds.clean)
    assert gap(clean, pattern) > 1e-3


@pytest.mark.parametrize("make", [gpt_neo, mistral], ids=lambda f: f.__name__)
def test_local_attention_sees_its_window_alone(make):
    """The tests' windows are shorter than their prompts, or they would test nothing."""
    b = bench(make, seed=7)
    reach = [
        int((b.engine.attention(layer, b.worlds.clean)[0, 0, -1] > 0).sum())
        for layer in range(b.model.shape.layers)
    ]
    assert reach == ([LENGTH, WINDOW, LENGTH] if make is gpt_neo else [WINDOW] * 3)


def test_the_bridge_is_the_plain_model(world):
    with torch.no_grad():
        plain = world.plain(world.batch.clean).logits[:, -1]
    # The norms of some families are float32 in both, rounded at other places.
    assert gap(plain, world.worlds.clean.logits) < 3e-5


def test_without_mlps_between_a_path_is_a_direct_edge(world):
    """From one layer to the next there is one MLP between; cutting it out makes `~>` equal `->`."""
    b = world
    sender, receiver = Head(1, 1), Receiver(MLP(1))
    if b.model.shape.parallel:
        pytest.skip("in parallel blocks a head does not feed its own layer's MLP")
    through = b.engine.logits(edge(sender, receiver, (P2,), True), b.worlds)
    direct = b.engine.logits(edge(sender, receiver, (P2,)), b.worlds)
    assert gap(through, direct) < 1e-9
    assert gap(direct, b.worlds.clean.logits) > 1e-6


def test_nothing_after_the_edges_position_no_effect_before_it(world):
    """Causal attention: an edge at a position changes no logits at END when the receiver's value is
    never attended from there on. A write at the first position reaches END; END's own Q edge at
    another position does not."""
    b = world
    last_layer = b.model.shape.layers - 1
    elsewhere = edge(Head(0, 0), Receiver(Head(last_layer, 0), Slot.Q), (P0,))
    # In the last layer a query at an earlier position is never read at END.
    assert gap(b.engine.logits(elsewhere, b.worlds), b.worlds.clean.logits) == 0.0


def test_every_edge_into_the_logits_at_once_moves_only_by_the_embedding(world):
    """Patching all heads and MLPs into the logits leaves the clean embedding at END; with the same
    last token in both worlds nothing of it is left, and the corrupt logits come out."""
    b = world
    clean, corrupt = b.batch.clean.clone(), b.batch.corrupt.clone()
    corrupt[:, -1] = clean[:, -1]
    batch = replace(b.batch, clean=clean, corrupt=corrupt)
    worlds = b.engine.worlds(batch)
    shape = b.model.shape
    parts = [Head(x, h) for x in range(shape.layers) for h in range(shape.heads)]
    parts += [MLP(x) for x in range(shape.layers)]
    everything = PatchEdge(tuple(parts), (Receiver(Logits()),), (), False, Direction.NOISING)
    assert gap(b.engine.logits(everything, worlds), worlds.corrupt.logits) < 1e-9


def test_keeping_everything_is_the_whole_model(world):
    shape = world.model.shape
    heads = tuple(Kept(Head(x, h), ()) for x in range(shape.layers) for h in range(shape.heads))
    mlps = tuple(Kept(MLP(x), ()) for x in range(shape.layers))
    for reference in Ablation:
        run = RunCircuitAlone(heads, True, reference, True)
        assert gap(world.engine.logits(run, world.worlds), world.worlds.clean.logits) < 1e-9
        run = RunCircuitAlone((*heads, *mlps), False, reference, True)
        assert gap(world.engine.logits(run, world.worlds), world.worlds.clean.logits) < 1e-9


def test_noising_and_denoising_are_mirror_images(world):
    """Exchanging the worlds exchanges the directions."""
    mirrored = replace(world.worlds, clean=world.worlds.corrupt, corrupt=world.worlds.clean)
    for intervention in EDGES:
        other = next(d for d in Direction if d is not intervention.direction)
        turned = replace(intervention, direction=other)
        assert (
            gap(
                world.engine.logits(intervention, world.worlds),
                world.engine.logits(turned, mirrored),
            )
            < 1e-9
        )


def test_relabelling_heads_permutes_effects():
    """Swapping two heads of a layer in the weights swaps what patching them does."""
    plain, swapped = gpt2(seed=2), gpt2(seed=2)
    order = [0, 3, 2, 1]
    width = 4
    columns = torch.cat([torch.arange(h * width, (h + 1) * width) for h in order])
    attention = swapped.transformer.h[1].attn
    with torch.no_grad():
        for third in range(3):
            shifted = columns + third * 16
            part = slice(third * 16, (third + 1) * 16)
            attention.c_attn.weight[:, part] = attention.c_attn.weight[:, shifted].clone()
            attention.c_attn.bias[part] = attention.c_attn.bias[shifted].clone()
        attention.c_proj.weight.copy_(attention.c_proj.weight[columns].clone())
    batch = random_batch(2)
    engines = [ReferenceEngine(bridged(model)) for model in (plain, swapped)]
    worlds = [engine.worlds(batch) for engine in engines]
    assert gap(worlds[0].clean.logits, worlds[1].clean.logits) < 1e-9
    for slot in Slot:
        one = edge(Head(0, 0), Receiver(Head(1, 1), slot), (P1,))
        other = edge(Head(0, 0), Receiver(Head(1, 3), slot), (P1,))
        effects = [e.logits(x, w) for e, x, w in zip(engines, (one, other), worlds, strict=True)]
        assert gap(*effects) < 1e-9
        assert gap(effects[0], engines[0].logits(other, worlds[0])) > 1e-9


def test_prompts_do_not_see_each_other(world):
    rows = [2, 0]
    b = world.batch
    part = replace(
        b,
        rows=tuple(rows),
        pairs=tuple(b.pairs[i] for i in rows),
        clean=b.clean[rows],
        corrupt=b.corrupt[rows],
        readout=b.readout.at(rows),
    )
    for intervention in EDGES:
        whole = world.engine.logits(intervention, world.worlds)
        alone = world.engine.logits(intervention, world.engine.worlds(part))
        assert gap(whole[rows], alone) < 1e-9


class TestHooks:
    """Hooks are scoped, counted and gone afterwards, also after an exception."""

    def test_none_is_left(self, world):
        world.engine.logits(EDGES[0], world.worlds)
        assert world.model.attached_hooks() == 0

    def test_none_is_left_after_an_exception(self, world):
        wrong = Write(Site(Kind.Z, 0), torch.zeros(1, 1, 1, 1, dtype=torch.float64))
        with pytest.raises(HookError, match="does not fit"):
            world.model.run(world.batch.clean, (), [wrong])
        assert world.model.attached_hooks() == 0
        again = world.model.run(world.batch.clean).logits
        assert torch.equal(again, world.worlds.clean.logits)

    def test_a_batch_of_one_is_not_broadcast(self, world):
        site = Site(Kind.MLP_OUT, 1)
        one = world.worlds.clean.activations[site][:1]
        with pytest.raises(HookError, match="does not fit"):
            world.model.run(world.batch.clean, (), [Write(site, one)])

    @pytest.mark.parametrize("kind", [Kind.RESID_MID, Kind.PATTERN])
    def test_what_can_only_be_read_is_not_written(self, world, kind):
        """The hooks exist and fire, but a write would be lost, in part or whole."""
        before = world.model.passes
        with pytest.raises(HookError, match="not written"):
            world.model.run(world.batch.clean, (), [Write(Site(kind, 1), torch.zeros(()))])
        assert world.model.passes == before

    def test_a_layer_that_does_not_exist(self, world):
        with pytest.raises(HookError):
            world.model.run(world.batch.clean, (Site(Kind.Z, 99),))

    def test_a_hook_that_does_not_fire(self, world, monkeypatch):
        """Every bridge has points that exist, can be hooked, and never fire."""
        names = world.model.bridge.hook_dict
        joint = "blocks.0.attn.qkv.hook_in"
        silent = joint if joint in names else "blocks.0.attn.hook_hidden_states"
        monkeypatch.setattr(Site, "hook_name", silent)
        before = world.model.missed
        with pytest.raises(HookError, match="did not fire"):
            world.model.run(world.batch.clean, (Site(Kind.Z, 0),))
        assert world.model.missed == before + 1
        world.model.missed = before

    def test_reading_does_not_change_the_run(self, world):
        sites = tuple(Site(kind, 1) for kind in (Kind.Q, Kind.K, Kind.V, Kind.Z, Kind.MLP_OUT))
        logits = world.model.run(world.batch.clean, sites).logits
        assert torch.equal(logits, world.worlds.clean.logits)


def test_blocks_that_norm_what_they_write_are_refused():
    """What a head computes is not what reaches the stream there."""
    engine = ReferenceEngine(bridged(gemma2(seed=1)))
    found = self_checks(engine, engine.worlds(random_batch(1)), None)
    failed = [check.name for check in found if not check.passed]
    assert "the parts' writes sum to the residual stream" in failed
    engine = ReferenceEngine(bridged(olmo2(seed=1)))
    with pytest.raises(ModelError, match="no norm before attention"):
        self_checks(engine, engine.worlds(random_batch(1)), None)
