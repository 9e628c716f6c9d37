"""`patch` and `steer`: several activations at once, and directions that are added.

The reference engine is held against hooks written out here and against the oracle's forward pass,
the fast engine against the reference engine.
"""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch

from circuitlang.circuit import (
    AT_END,
    STREAMS,
    TOKEN,
    Activation,
    ActivationSite,
    Direction,
    Position,
)
from circuitlang.engine import load_transformer, measure
from circuitlang.engine.choice import EngineName
from circuitlang.engine.contrast import Contrast, site_of
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.readout import Readout
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.engine.tokens import tokenize
from circuitlang.plan import PatchActivation, PatchTogether, Steer, Use, compile_plan
from circuitlang.source import SourceText
from circuitlang.verdict import judge
from known import Variation, edge, induction
from tests.engine_models import (
    EXACT,
    FAMILIES,
    P0,
    P1,
    P2,
    bench,
    bridged,
    gpt2,
    gpt_neo,
    gptj,
    llama,
    random_batch,
)
from tests.front_end import circuit_of
from tests.oracle import path_patching as oracle

PLACES = ((), (P0,), (P1, P2), (AT_END,), (Position(TOKEN, offset=2),))
NOISING, DENOISING = Direction.NOISING, Direction.DENOISING
SLOTS = (Activation.Z, Activation.Q, Activation.K, Activation.V, Activation.PATTERN)
VISIBLE = 1e-4
EMBEDDING = ActivationSite(Activation.RESID_PRE, 0)


def tolerance(make):
    return 1e-9 if make in EXACT and make not in (gpt_neo, gptj) else 3e-5


def streams(shape):
    return [s for s in STREAMS if not (shape.parallel and s is Activation.RESID_MID)]


def every_site(shape):
    kinds = [*streams(shape), Activation.Z, Activation.POST]
    return [ActivationSite(kind, layer) for kind in kinds for layer in range(shape.layers)]


def parts(shape):
    """Outputs of MLPs, the embedding and some neurons, over and over: nearly as many as heads."""
    layers = range(shape.layers)
    outputs = [ActivationSite(Activation.MLP_OUT, layer) for layer in layers]
    cells = [ActivationSite(Activation.POST, layer, n) for layer in layers for n in (0, 1, 13)]
    return [*outputs, *outputs, *cells, EMBEDDING, EMBEDDING]


class Pair:
    """Both engines over one model and batch, with the directions of every site."""

    def __init__(self, b):
        self.bench, self.shape = b, b.model.shape
        self.means = MeanOutputs.of(b.model, [b.batch], per_template=True)
        sites = [site_of(site) for site in every_site(self.shape)]
        self.means.contrast = Contrast.of(b.model, [b.batch], sites, per_template=True)
        self.reference = ReferenceEngine(b.model, self.means)
        self.fast = FastEngine(b.model, self.means)
        self.worlds = self.fast.worlds(b.batch)

    def answers(self, interventions):
        slow = self.reference.answers(interventions, self.bench.worlds)
        return slow, self.fast.answers(interventions, self.worlds)


def sample_together(shape, random):
    """Heads by one slot, or all sorts of parts by their outputs, over several layers."""
    slot = random.choice(SLOTS)
    layers, heads = range(shape.layers), range(shape.heads)
    sites = [ActivationSite(slot, layer, head) for layer in layers for head in heads]
    if slot is Activation.Z:
        sites += parts(shape)
    chosen = dict.fromkeys(random.sample(sites, random.randint(2, 5)))
    return PatchTogether(tuple(chosen), random.choice(PLACES), random.choice(list(Direction)))


def sample_steer(shape, random):
    """A stream alone, or all sorts of parts together."""
    layers, heads = range(shape.layers), range(shape.heads)
    place, factor = random.choice(PLACES), random.choice((-2.0, 0.5, 1.0, 4.0))
    if random.random() < 0.5:
        site = ActivationSite(random.choice(streams(shape)), random.choice(layers))
        return Steer((site,), place, factor, True)
    sites = [ActivationSite(Activation.Z, layer, head) for layer in layers for head in heads]
    sites += parts(shape)
    chosen = dict.fromkeys(random.sample(sites, random.randint(1, 4)))
    return Steer(tuple(chosen), place, factor, True)


@pytest.mark.parametrize("make", FAMILIES, ids=lambda f: f.__name__)
def test_the_engines_agree(make):
    pair, random = Pair(bench(make, seed=21)), Random(5)
    runs = [draw(pair.shape, random) for _ in range(9) for draw in (sample_together, sample_steer)]
    runs += [
        PatchActivation(Activation.POST, layer, 13, place, direction)
        for layer, place, direction in ((0, (P1,), NOISING), (1, (), DENOISING), (2, (), NOISING))
    ]
    slow, fast = pair.answers(runs)
    gaps = (fast - slow).abs().flatten(1).max(1).values
    assert float(gaps.max()) < tolerance(make), runs[int(gaps.argmax())]
    ids, worlds = pair.bench.batch.answers, pair.bench.worlds
    clean, corrupt = (w.logits.gather(1, ids) for w in (worlds.clean, worlds.corrupt))
    for kind in (PatchTogether, Steer):
        moved = [
            float((answers - (corrupt if back else clean)).abs().max()) > VISIBLE
            for run, answers in zip(runs, slow, strict=True)
            if isinstance(run, kind)
            for back in [getattr(run, "direction", None) is Direction.DENOISING]
        ]
        assert sum(moved) > len(moved) / 2


HOOKS = {
    Activation.Z: "attn.hook_z",
    Activation.Q: "attn.hook_q",
    Activation.K: "attn.hook_k",
    Activation.V: "attn.hook_v",
    Activation.PATTERN: "attn.hook_pattern",
    Activation.MLP_OUT: "hook_mlp_out",
    Activation.POST: "mlp.out.hook_in",
    Activation.RESID_PRE: "hook_resid_pre",
}


def hooked(b, patch):
    """The same by hooks on the bridge, which put every value in where the model computes it."""
    tokens = (b.batch.corrupt, b.batch.clean)
    source, base = tokens if patch.direction is Direction.NOISING else tokens[::-1]
    bridge, mask = b.model.bridge, b.batch.mask(patch.positions)
    names = {site: f"blocks.{site.layer}.{HOOKS[site.activation]}" for site in patch.sites}
    _, cache = bridge.run_with_cache(source, names_filter=list(names.values()))

    def put(site):
        shared = site.activation in (Activation.K, Activation.V)
        size = b.model.shape.heads // b.model.shape.kv_heads if shared else 1

        def hook(value, hook):
            new, result = cache[names[site]], value.clone()
            if site.head is None:
                return torch.where(mask[..., None], new, value)
            if site.activation is Activation.PATTERN:
                own = torch.where(mask[..., None], new[:, site.head], value[:, site.head])
                result[:, site.head] = own
                return result
            head = site.head // size
            where = mask if site.activation is Activation.POST else mask[..., None]
            result[:, :, head] = torch.where(where, new[:, :, head], value[:, :, head])
            return result

        return hook

    hooks = [(name, put(site)) for site, name in names.items()]
    with torch.no_grad():
        return bridge.run_with_hooks(base, fwd_hooks=hooks, return_type="logits")[:, -1]


@pytest.mark.parametrize("make", [gpt2, llama], ids=lambda f: f.__name__)
def test_several_activations_are_put_in_at_once(make):
    b, random = bench(make, seed=3), Random(1)
    engine, kinds = ReferenceEngine(b.model), set()
    for _ in range(30):
        patch = sample_together(b.model.shape, random)
        kinds |= {site.activation for site in patch.sites}
        gap = (engine.logits(patch, b.worlds) - hooked(b, patch)).abs().max()
        assert float(gap) < tolerance(make), patch
    assert kinds == set(HOOKS)


def test_outputs_put_in_together_equal_the_oracles():
    b = bench(gpt2, seed=6)
    net = oracle.read(b.plain)
    source = oracle.run(net, b.batch.corrupt).writes
    mask = b.batch.mask((P1, P2))
    nodes = [oracle.Node("head", 0, 1), oracle.Node("mlp", 1), oracle.Node("head", 2, 3)]
    theirs = oracle.replace(net, b.batch.clean, {n: (mask, source[n]) for n in nodes})[:, -1]
    sites = (
        ActivationSite(Activation.Z, 0, 1),
        ActivationSite(Activation.MLP_OUT, 1),
        ActivationSite(Activation.Z, 2, 3),
    )
    ours = b.engine.logits(PatchTogether(sites, (P1, P2), Direction.NOISING), b.worlds)
    assert float((ours - theirs).abs().max()) < 1e-9
    assert float((ours - b.worlds.clean.logits).abs().max()) > 1e-2


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize("make", [gpt2, llama], ids=lambda f: f.__name__)
def test_neurons_and_the_embedding_equal_the_oracles(make, direction):
    """The oracle takes the neurons out of their MLPs, as writers of their own."""
    b = bench(make, seed=6)
    net = oracle.taken_apart(oracle.read(b.plain), [(0, 2), (1, 7), (2, 5)])
    tokens = (b.batch.corrupt, b.batch.clean)
    source, base = tokens if direction is NOISING else tokens[::-1]
    writes = oracle.run(net, source).writes
    cells = [ActivationSite(Activation.POST, *place) for place in ((0, 2), (1, 7), (2, 5))]
    nodes = [oracle.Node("neuron", site.layer, site.head) for site in cells]
    head = ActivationSite(Activation.Z, 1, 2)
    both = {EMBEDDING: oracle.Node("embed"), **dict(zip(cells, nodes, strict=True))}
    both[head] = oracle.Node("head", 1, 2)
    at_once = [*cells[:2], head], [*cells[1:], EMBEDDING], [EMBEDDING, *cells, head]
    fast = FastEngine(b.model)
    worlds = fast.worlds(b.batch)
    undone = (b.worlds.clean if direction is NOISING else b.worlds.corrupt).logits
    moved = []
    for sites in (*([site] for site in both), *at_once):
        for place in ((P1, P2), (AT_END,), ()):
            mask = b.batch.mask(place)
            new = {both[site]: (mask, writes[both[site]]) for site in sites}
            theirs = oracle.replace(net, base, new)[:, -1]
            run = PatchTogether(tuple(sites), place, direction)
            runs = [run]
            if len(sites) == 1:
                runs.append(PatchActivation(*fields_of(sites[0]), place, direction))
            for each in runs:
                for found in (b.engine.logits(each, b.worlds), fast.logits(each, worlds)):
                    assert float((found - theirs).abs().max()) < tolerance(make), each
            moved.append(float((theirs - undone).abs().max()) > VISIBLE)
    # Of the embedding at END nothing moves: both worlds end with one token.
    assert len(moved) - sum(moved) <= 2


def fields_of(site):
    return site.activation, site.layer, site.head


@pytest.mark.parametrize("direction", Direction)
def test_the_whole_embedding_is_the_other_world(direction):
    """`patch embed` by noising at every position is the corrupt run; with it, nothing is left that
    other parts could change."""
    b = bench(gpt2, seed=2)
    other = b.worlds.corrupt if direction is NOISING else b.worlds.clean
    cell = ActivationSite(Activation.POST, 1, 3)
    alone = PatchActivation(*fields_of(EMBEDDING), (), direction)
    for run in (alone, PatchTogether((EMBEDDING, cell), (), direction)):
        for engine in (b.engine, FastEngine(b.model)):
            found = engine.logits(run, engine.worlds(b.batch))
            assert float((found - other.logits).abs().max()) < 1e-9


def test_all_neurons_of_an_mlp_are_its_output():
    """The output's bias is the same in both worlds."""
    pair = Pair(bench(llama, seed=3))
    kinds = (Activation.POST, Activation.MLP_OUT)
    runs = [PatchActivation(kind, 1, None, (P1,), DENOISING) for kind in kinds]
    width = pair.bench.model.mlp_width(1)
    cells = tuple(ActivationSite(Activation.POST, 1, n) for n in range(width))
    for answers in pair.answers([*runs, PatchTogether(cells, (P1,), DENOISING)]):
        assert float((answers - answers[0]).abs().max()) < tolerance(llama)


def test_one_activation_together_is_one_activation():
    pair = Pair(bench(gpt2, seed=2))
    for site in (ActivationSite(kind, 1, 2) for kind in SLOTS):
        one = PatchActivation(site.activation, 1, 2, (P1,), Direction.DENOISING)
        slow, fast = pair.answers([one, PatchTogether((site,), (P1,), Direction.DENOISING)])
        assert float((slow[0] - slow[1]).abs().max()) < 1e-12
        assert float((fast[0] - fast[1]).abs().max()) < 1e-12


def test_everything_put_in_is_the_other_world():
    """Queries, keys and values of every head change nothing that streams do not, and the stream
    before the first layer is the whole difference."""
    b = bench(gpt2, seed=2)
    whole = PatchActivation(Activation.RESID_PRE, 0, None, (), Direction.NOISING)
    assert float((b.engine.logits(whole, b.worlds) - b.worlds.corrupt.logits).abs().max()) < 1e-9
    same = replace(b.worlds, corrupt=b.worlds.clean)
    for activation in (*SLOTS, Activation.MLP_OUT):
        of_heads = activation is not Activation.MLP_OUT
        sites = tuple(
            ActivationSite(activation, layer, head)
            for layer in range(3)
            for head in (range(4) if of_heads else (None,))
        )
        nothing = b.engine.logits(PatchTogether(sites, (), Direction.NOISING), same)
        assert float((nothing - b.worlds.clean.logits).abs().max()) < 1e-9


def test_a_stream_is_not_patched_with_others():
    site = ActivationSite(Activation.RESID_PRE, 1)
    with pytest.raises(ValueError, match="no stream"):
        PatchTogether((site, ActivationSite(Activation.Z, 1, 0)), (), Direction.NOISING)


@pytest.mark.parametrize("per_template", [True, False])
@pytest.mark.parametrize("make", [gpt2, llama], ids=lambda f: f.__name__)
def test_steering_equals_the_oracles(make, per_template):
    """The direction of a prompt is the mean of the others' differences, from the oracle's runs."""
    b = bench(make, seed=7)
    net = oracle.taken_apart(oracle.read(b.plain), [(0, 3), (2, 5)])
    clean, corrupt = (oracle.run(net, t).writes for t in (b.batch.clean, b.batch.corrupt))
    nodes = [oracle.Node("head", 0, 1), oracle.Node("mlp", 1), oracle.Node("head", 1, 2)]
    nodes += [oracle.Node("neuron", 0, 3), oracle.Node("neuron", 2, 5), oracle.Node("embed")]
    mask, templates = b.batch.mask((P1, AT_END)), b.batch.templates

    def direction(node):
        own = clean[node] - corrupt[node]
        rows = range(len(own))
        others = [
            [o for o in rows if o != i and (not per_template or templates[o] == templates[i])]
            for i in rows
        ]
        return torch.stack([own[some].mean(0) for some in others])

    def added(node, out):
        return out + mask[..., None] * -1.5 * direction(node) if node in nodes else out

    theirs = oracle.run(net, b.batch.clean, on_write=added).logits[:, -1]
    sites = (
        ActivationSite(Activation.Z, 0, 1),
        ActivationSite(Activation.MLP_OUT, 1),
        ActivationSite(Activation.Z, 1, 2),
        ActivationSite(Activation.POST, 0, 3),
        ActivationSite(Activation.POST, 2, 5),
        EMBEDDING,
    )
    means = MeanOutputs.of(b.model, [b.batch], per_template)
    run = Steer(sites, (P1, AT_END), -1.5, per_template)
    means.add_contrast(b.model, [b.batch], [run])
    for engine in (ReferenceEngine(b.model, means), FastEngine(b.model, means)):
        ours = engine.logits(run, engine.worlds(b.batch))
        assert float((ours - theirs).abs().max()) < tolerance(make)
    assert float((theirs - b.worlds.clean.logits).abs().max()) > 1e-2


def test_streams_are_steered_where_they_are_read():
    """What is added before a layer is the same as what is added after the layer below it."""
    pair = Pair(bench(gpt2, seed=4))
    streams = ((Activation.RESID_PRE, 1), (Activation.RESID_POST, 0))
    runs = [Steer((ActivationSite(*each),), (P0,), 2.0, True) for each in streams]
    for answers in pair.answers(runs):
        assert float((answers[0] - answers[1]).abs().max()) < 1e-9


def test_a_stream_steered_by_its_own_difference_is_the_other_world():
    """With two prompts of equal pairs but for a swap of the worlds, the other prompt's difference
    is the own one with its sign turned: so factor 1 makes the corrupt run."""
    model, batch = bridged(gpt2(1)), random_batch(1, prompts=2)
    clean = torch.stack([batch.clean[0], batch.corrupt[0]])
    corrupt = torch.stack([batch.corrupt[0], batch.clean[0]])
    pairs = tuple(
        replace(batch.pairs[0], clean=tuple(c.tolist()), corrupt=tuple(d.tolist()))
        for c, d in zip(clean, corrupt, strict=True)
    )
    batch = replace(batch, clean=clean, corrupt=corrupt, pairs=pairs)
    means = MeanOutputs.of(model, [batch], per_template=True)
    run = Steer((ActivationSite(Activation.RESID_PRE, 1),), (), 1.0, True)
    means.add_contrast(model, [batch], [run])
    for engine in (ReferenceEngine(model, means), FastEngine(model, means)):
        worlds = engine.worlds(batch)
        gap = (engine.logits(run, worlds) - worlds.corrupt.logits).abs().max()
        assert float(gap) < 1e-9


def test_a_prompts_copies_take_no_part_in_its_direction():
    model, batch = bridged(gpt2(1)), random_batch(1, prompts=6)
    site = ActivationSite(Activation.RESID_PRE, 1)
    copied = replace(
        batch,
        pairs=(*batch.pairs, batch.pairs[0]),
        rows=(*batch.rows, 6),
        clean=torch.cat([batch.clean, batch.clean[:1]]),
        corrupt=torch.cat([batch.corrupt, batch.corrupt[:1]]),
        readout=Readout.of([p.target for p in (*batch.pairs, batch.pairs[0])], batch.clean.device),
    )
    run = Steer((site,), (), 1.0, True)
    found = []
    for each in (batch, copied):
        means = MeanOutputs.of(model, [each], per_template=True)
        means.add_contrast(model, [each], [run])
        engine = ReferenceEngine(model, means)
        found.append(engine.logits(run, engine.worlds(each)))
    # Of the copied prompt and its copy nothing changes; the others' mean has it twice.
    assert float((found[0][0] - found[1][0]).abs().max()) < 1e-9
    assert float((found[1][6] - found[1][0]).abs().max()) < 1e-9
    assert float((found[0][2] - found[1][2]).abs().max()) > VISIBLE


def test_steering_needs_other_prompts_and_measured_directions():
    b = bench(gpt2, seed=4)
    run = Steer((ActivationSite(Activation.RESID_PRE, 1),), (), 1.0, True)
    for engine in (b.engine, FastEngine(b.model, b.engine.means)):
        with pytest.raises(ValueError, match="mean differences"):
            engine.logits(run, engine.worlds(b.batch))
    one = b.batch.first(2)  # of two templates: nobody has another prompt
    means = MeanOutputs.of(b.model, [one], per_template=True)
    means.add_contrast(b.model, [one], [run])
    for engine in (ReferenceEngine(b.model, means), FastEngine(b.model, means)):
        with pytest.raises(ValueError, match="other prompts"):
            engine.logits(run, engine.worlds(one))


NODES = "nodes {\n  N  L1.H2, L1.H3  at END\n  M  L0.H1  at B, D\n  EMB embed, L1.H2 at END\n}\n"
CLAIMS = """
  patch N in -900 logits..900 logits
  patch N in -900 logits..900 logits by denoising
  patch M in -900 logits..900 logits
  patch L1.H3 at END, B in 24.9%..25.1%
  patch N.K at B, D in 99.9%..100.1%
  patch L0.resid_pre in 99.9%..100.1%
  patch L1.H2.V in -0.1%..0.1%
  steer N by 0.5 * (corrupt - clean) in -900 logits..900 logits
  patch embed by denoising in 99.9%..100.1%
  patch EMB in -900 logits..900 logits by denoising
  steer embed at B by 2 * (clean - corrupt) in -900 logits..900 logits
"""


def test_a_known_model_is_patched_as_its_program_says(tmp_path):
    """Outputs by the messages of `known/program.py`, slots by how the model was wired."""
    model = induction(Variation.SKEWED)
    folder = model.build(tmp_path / "induction")
    header = model.header(f'"{folder}" dtype float64', 12)
    circuit = circuit_of(f"{header}\n{NODES}\nclaims {{{CLAIMS}}}\n")
    loaded = load_transformer(circuit.model)
    plan = compile_plan(circuit)
    pairs, tokens, problems = tokenize(circuit, loaded.tokenizer)
    assert not problems
    evidence = measure(plan, loaded, pairs, tokens, engine=EngineName.BOTH)
    assert not evidence.errors
    assert [check.name for check in evidence.self_checks if not check.passed] == []
    read = model.read([(pair.clean.text, pair.corrupt.text) for pair in pairs])
    n, m = {"L1.H2": ("END",), "L1.H3": ("END",)}, {"L0.H1": ("B", "D")}
    messages = model.program.run(read.clean)[1]
    kept = {part: {at: messages[part][at] for at in places} for part, places in n.items()}
    expected = [
        model.program.ablated(read, n, "resample"),
        model.program.run(read.corrupt, replaced=kept)[0],
        model.program.ablated(read, m, "resample"),
    ]
    found = [np.array(evidence.patched[need.of(Use.EFFECT)]) for need in plan.needs]
    for ours, theirs in zip(found, expected, strict=False):
        assert float(np.abs(ours - theirs).max()) < 1e-9
        assert float(np.abs(theirs - np.array(evidence.clean)).max()) > 0.1
    source = SourceText("test.circuit", "")
    report = judge(plan, evidence, source)
    effects = [claim.estimate.value for claim in report.claims]
    kinds = ["patch"] * 7 + ["steer", "patch", "patch", "steer"]
    assert [claim.kind for claim in report.claims] == kinds
    assert report.claims[1].definition.startswith(
        "mean(patched - corrupt); L1.H2, L1.H3 patched at"
    )
    added = "-0.5 times the mean of clean - corrupt per template over the other prompts added to"
    assert f"mean(steered - clean); {added} L1.H2, L1.H3 at END" == report.claims[7].definition
    assert effects[7] == pytest.approx(np.mean(found[7] - np.array(evidence.clean)), abs=1e-9)
    assert float(np.abs(found[7] - np.array(evidence.clean)).max()) > 0.1
    corrupt = np.array(evidence.corrupt)
    assert float(np.abs(found[5] - corrupt).max()) < 1e-9
    assert float(np.abs(found[8] - np.array(evidence.clean)).max()) < 1e-9
    assert report.claims[9].definition.startswith(
        "mean(patched - corrupt); embed, L1.H2 patched at END"
    )
    # One activation by two names, and each claim is told by its own.
    told = {claim.text: claim.definition for claim in report.claims}
    of_stream, of_embed = (
        next(told[text] for text in told if text.startswith(f"patch {name} "))
        for name in ("L0.resid_pre", "embed")
    )
    assert "; L0.resid_pre patched at every position" in of_stream
    assert "; embed patched at every position" in of_embed
    # Only the previous token head feeds these keys, and what feeds the values does not differ.
    keys = model.patched(edge("L0.H1", "L1.H2.K L1.H3.K", "B D"), read)
    assert float(np.abs(found[4] - keys).max()) < 1e-9
    assert effects[6] == pytest.approx(0, abs=1e-9)
