"""`key_values ungrouped`: keys and values of one query head where a group shares them."""

import hashlib
import json
import random
from dataclasses import replace

import pytest
import torch

from circuitlang.circuit import MLP, Direction, Embed, Head, Logits, Receiver, Slot
from circuitlang.circuit.activation import Activation, ActivationSite
from circuitlang.engine import load_transformer
from circuitlang.engine.errors import ModelError
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.engine.ungrouping import ungroup
from circuitlang.models import ModelShape, ModelSize
from circuitlang.plan import (
    Hop,
    PatchActivation,
    PatchEdge,
    PatchPath,
    PatchTogether,
    compile_plan,
    with_sweeps,
)
from circuitlang.plan.content import content_id
from circuitlang.plan.cost import EngineCost, operations
from circuitlang.source import SourceText
from circuitlang.syntax import format_source
from tests.commands import called
from tests.engine_models import (
    P0,
    P1,
    P2,
    Bench,
    bridged,
    gpt2,
    llama,
    mistral,
    qwen2,
    qwen3,
    random_batch,
)
from tests.front_end import circuit_of, codes_of
from tests.oracle import path_patching as oracle
from tests.test_cost import counted
from tests.tiny_models import circuit_text, tiny_llama

WITHIN = 3e-5  # Llama's norms and angles are in float32 whatever the weights are
VISIBLE = 1e-3
OUT = Receiver(Logits())
NOISING, DENOISING = Direction.NOISING, Direction.DENOISING


def copied(make, seed=3):
    model = make(seed)
    size = ungroup(model, "tiny")
    return bridged(model), size


def bench_of(model, make, seed=3):
    batch = random_batch(seed)
    engine = ReferenceEngine(model)
    return Bench(model, batch, engine.worlds(batch), engine, make(seed))


@pytest.fixture(scope="module")
def alone():
    return bench_of(copied(llama)[0], llama)


@pytest.fixture(scope="module")
def grouped():
    return bench_of(bridged(llama(3)), llama)


@pytest.fixture(scope="module")
def fast(alone):
    engine = FastEngine(alone.model)
    return engine, engine.worlds(alone.batch)


def gap(one, other):
    return float((one - other).abs().max())


def into(layer, head, slot):
    return Receiver(Head(layer, head), Slot(slot))


def node(component, slot=None):
    match component:
        case Logits():
            return oracle.Node("logits")
        case Embed():
            return oracle.Node("embed")
        case MLP(layer=layer):
            return oracle.Node("mlp", layer)
        case _:
            return oracle.Node(slot.lower() if slot else "head", component.layer, component.head)


def worlds_of(b, direction):
    pair = (b.batch.clean, b.batch.corrupt)
    return pair if direction is NOISING else pair[::-1]


def net_of(b):
    return oracle.ungrouped(oracle.read(b.plain))


@pytest.mark.parametrize("make", [llama, mistral, qwen2, qwen3], ids=lambda f: f.__name__)
def test_the_model_computes_what_it_did(make):
    model, size = copied(make)
    plain, batch = bridged(make(3)), random_batch(3)
    assert (size, plain.shape.kv_heads, model.shape.kv_heads) == (3, 2, 6)
    assert model.shape == plain.shape.ungrouped()
    assert gap(model.run(batch.clean).logits, plain.run(batch.clean).logits) < 1e-9


def test_without_groups_nothing_changes():
    model = gpt2(3)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert ungroup(model, "tiny") == 1
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_groups_of_another_kind_are_refused():
    changes = (
        {"num_key_value_heads": 4},
        {"num_hidden_layers": 2},
        {"num_key_value_heads": 6, "multi_query": True},
    )
    for change in changes:
        model = llama(0)
        for name, value in change.items():
            setattr(model.config, name, value)
        with pytest.raises(ModelError, match="are not grouped as those of Llama"):
            ungroup(model, "tiny")


SENDERS = (Embed(), Head(0, 0), Head(0, 4), MLP(0))
KEYS = [
    [into(1, 1, "K")],
    [into(1, 1, "V")],
    [into(2, 5, "V")],
    [into(2, 3, "K"), into(2, 5, "K")],
    [into(1, 0, "K"), into(1, 2, "V"), into(1, 1, "Q")],
    [into(1, 2, "V"), into(2, 0, "V"), Receiver(MLP(2))],
]


@pytest.mark.parametrize("through", [False, True])
def test_edges_enter_the_head_that_is_named(alone, fast, through):
    net, choose, moved = net_of(alone), random.Random(0), 0
    for number, receivers in enumerate(KEYS * 2):
        direction = (NOISING, DENOISING)[number % 2]
        where = ((), (P0,), (P1, P2))[number % 3]
        senders = tuple(choose.sample(SENDERS, 1 + number % 2))
        edge = PatchEdge(senders, tuple(receivers), where, through, direction)
        base, source = worlds_of(alone, direction)
        ends = [node(s) for s in senders], [node(r.component, r.slot) for r in receivers]
        mask = alone.mask(*where)
        with torch.no_grad():
            if through:
                theirs = oracle.through_mlps(net, base, source, *ends, mask)[:, -1]
            else:
                edges = [(s, r, mask) for s in ends[0] for r in ends[1]]
                theirs = oracle.direct(net, base, source, edges)[:, -1]
        assert gap(alone.engine.logits(edge, alone.worlds), theirs) < WITHIN, edge
        assert gap(fast[0].logits(edge, fast[1]), theirs) < WITHIN, edge
        undisturbed = alone.worlds.clean if direction is NOISING else alone.worlds.corrupt
        moved += gap(theirs, undisturbed.logits) > VISIBLE
    assert moved > 6


PATHS = [
    ((Head(0, 1),), ([into(1, 1, "V")], ()), ([into(2, 4, "K")], (P1, P2)), ([OUT], ())),
    ((Head(0, 1), MLP(0)), ([into(1, 1, "K"), into(1, 2, "V")], (P0,)), ([OUT], ())),
    ((Embed(),), ([into(0, 5, "V")], (P1,)), ([into(1, 3, "V"), into(1, 4, "K")], ())),
]


@pytest.mark.parametrize("through", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_paths_enter_the_head_that_is_named(alone, fast, path, through):
    senders, *hops = path
    patch = PatchPath(senders, tuple(Hop(tuple(r), at, through) for r, at in hops), NOISING)
    groups = [
        ([node(r.component, r.slot) for r in readers], alone.mask(*at), through)
        for readers, at in hops
    ]
    with torch.no_grad():
        theirs = oracle.nested_groups(
            net_of(alone), *worlds_of(alone, NOISING), [node(s) for s in senders], groups
        )[:, -1]
    assert gap(alone.engine.logits(patch, alone.worlds), theirs) < WITHIN
    assert gap(fast[0].logits(patch, fast[1]), theirs) < WITHIN
    assert gap(theirs, alone.worlds.clean.logits) > VISIBLE


@pytest.mark.parametrize("slot", ["K", "V"])
def test_one_heads_key_or_value_is_patched(alone, fast, slot):
    """A slot is computed from its input alone, so the other world's input gives its value."""
    patch = PatchActivation(Activation(slot.lower()), 1, 4, (P1, P2), NOISING)
    net, mask, seen = net_of(alone), alone.mask(P1, P2), {}
    target = node(Head(1, 4), slot)

    def keep(reader, x, _writes):
        seen[reader] = x
        return x

    def put(reader, x, _writes):
        return torch.where(mask[..., None], seen[target], x) if reader == target else x

    with torch.no_grad():
        oracle.run(net, alone.batch.corrupt, keep)
        theirs = oracle.run(net, alone.batch.clean, put).logits[:, -1]
    assert gap(alone.engine.logits(patch, alone.worlds), theirs) < WITHIN
    assert gap(fast[0].logits(patch, fast[1]), theirs) < WITHIN
    assert gap(theirs, alone.worlds.clean.logits) > VISIBLE


@pytest.mark.parametrize("slot", ["K", "V"])
def test_all_heads_of_a_group_at_once_are_the_group(alone, grouped, slot):
    heads = (3, 4, 5)
    for through in (False, True):
        every = tuple(into(1, head, slot) for head in heads)
        edge = PatchEdge((Head(0, 1), MLP(0)), every, (P1,), through, NOISING)
        one = alone.engine.logits(edge, alone.worlds)
        assert gap(one, grouped.engine.logits(edge, grouped.worlds)) < 1e-9
        single = replace(edge, receivers=every[:1])
        whole = grouped.engine.logits(single, grouped.worlds)
        assert gap(one, whole) < 1e-9
        assert gap(alone.engine.logits(single, alone.worlds), whole) > VISIBLE
    activation = Activation(slot.lower())
    together = PatchTogether(tuple(ActivationSite(activation, 1, h) for h in heads), (), NOISING)
    patch = PatchActivation(activation, 1, 3, (), NOISING)
    found = alone.engine.logits(together, alone.worlds)
    assert gap(found, grouped.engine.logits(patch, grouped.worlds)) < 1e-9


def test_costs_are_those_of_heads_of_their_own(alone, fast):
    config = alone.plain.config
    size = ModelSize(ModelShape(3, 6, 2), 24, 4, config.intermediate_size, 50, True, False)
    engine, worlds = fast
    _ = worlds.corrupt._all
    runs = [
        PatchEdge((Head(0, 1),), (into(1, 1, "V"),), (P1,), False, NOISING),
        PatchEdge((Head(0, 1),), (into(1, 1, "K"), into(2, 0, "V")), (P1,), True, NOISING),
        PatchPath((Head(0, 1),), (Hop((into(1, 1, "V"),), (P1,)), Hop((into(2, 1, "K"),), ())),
                  NOISING),
    ]  # fmt: skip
    for run in runs:
        found = counted(lambda run=run: engine.answers([run], worlds))
        assert found == operations(run, size.ungrouped(), alone.batch.geometry), run
        assert found != operations(run, size, alone.batch.geometry)
        made = counted(lambda run=run: alone.engine.answers([run], alone.worlds))
        expected = operations(
            run, size.ungrouped(), alone.batch.geometry, EngineCost.REFERENCE
        )
        assert made == pytest.approx(expected, rel=0.03)


# Before anything is measured


TEXT = circuit_text('"smollm2-135m"', edges="A ~> B.V")


def asking(text=TEXT, value="ungrouped"):
    return text.replace('smollm2-135m"', f'smollm2-135m" key_values {value}')


def test_the_option_is_read_and_changes_what_is_planned():
    circuit, other = circuit_of(TEXT), circuit_of(asking())
    assert (circuit.model.key_values, circuit.shape.kv_heads) == ("shared", 3)
    assert (other.model.key_values, other.shape.kv_heads) == ("ungrouped", 9)
    assert circuit_of(asking(value="shared")).model == circuit.model
    one, two = compile_plan(circuit), compile_plan(other)
    assert one.id != two.id
    assert codes_of(asking(value="own")) == ["CL220"]
    assert codes_of(asking(value="shared key_values shared")) == ["CL225"]
    tidy = format_source(SourceText("a.circuit", asking().replace("key_values", "  key_values ")))
    assert 'model "smollm2-135m" key_values ungrouped\n' in tidy


def test_the_id_of_a_plan_without_the_option_is_that_of_before_there_was_one():
    circuit = circuit_of(TEXT)
    model = circuit.model
    assert content_id(model) == content_id(replace(model, key_values="shared"))
    assert content_id(model) != content_id(replace(model, key_values="ungrouped"))
    # What `ModelReference` said before.
    names = ("kind", "name", "revision", "dtype", "weights")
    text = json.dumps({name: getattr(model, name) for name in names}, sort_keys=True)
    assert content_id(model) == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_a_sweep_has_a_cell_a_head():
    text = circuit_text('"smollm2-135m"', edges="A ~> B.V", claims="sweep k by head")

    def labels(source):
        (sweep,) = with_sweeps(compile_plan(circuit_of(source))).sweeps
        return dict(sweep.axes)["head"]

    assert labels(text) == ("H0-2", "H3-5", "H6-8")
    assert labels(asking(text)) == tuple(f"H{head}" for head in range(9))


# The whole way


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ungrouped")
    tiny_llama(folder / "tiny-llama")
    return folder


RUN = circuit_text(
    '"./tiny-llama"',
    edges="A -> B.V in -900 logits..900 logits\n  "
    "A -> L1.H1.K -> logits in -900 logits..900 logits",
    claims="patch L1.H1.K in -900 logits..900 logits",
    more="test {\n  random edges 2\n}\n",
)


def test_run_and_judge(folder, capsys):
    file, other = folder / "a.circuit", folder / "b.circuit"
    file.write_text(RUN.replace('llama"', 'llama" key_values ungrouped'), encoding="utf-8")
    other.write_text(RUN, encoding="utf-8")
    saved, report = folder / "a.evidence", folder / "a.json"
    ran = called(capsys, "run", file, "--evidence", saved, "--json", report)
    assert ran.code in (0, 1, 4), ran.err
    found = json.loads(report.read_text("utf-8"))
    assert all(check["passed"] for check in found["self_checks"])
    made = found["provenance"]
    assert (made["key_values"], made["heads"], made["kv_heads"]) == ("ungrouped", 9, 9)
    assert "9 heads, keys and values ungrouped" in " ".join(ran.out.split())
    (note,) = [note for note in found["notes"] if "ungrouped" in note]
    assert "which 3 heads of a group share" in note
    assert called(capsys, "judge", file, saved).code == ran.code
    refused = called(capsys, "judge", other, saved)
    assert refused.code == 2
    assert "its model was run with `key_values ungrouped`" in refused.err
    screened = called(capsys, "screen", file, "--quiet")
    assert screened.code == 0, screened.err
    assert "which 3 heads of a group share, are ungrouped" in " ".join(screened.out.split())
    planned = called(capsys, "plan", file)
    assert planned.code == 0
    assert planned.out != called(capsys, "plan", other).out


def test_the_loaded_model_is_checked_against_the_one_on_disk(folder, monkeypatch):
    """A copy of the wrong head would be another model, and is refused as such."""
    reference = replace(
        circuit_of(RUN).model, name=str(folder / "tiny-llama"), key_values="ungrouped"
    )
    loaded = load_transformer(reference)
    assert (loaded.ungrouped, loaded.key_values) == (3, "ungrouped")
    assert loaded.size.shape.kv_heads == loaded.transformer.shape.kv_heads == 9
    from circuitlang.engine import ungrouping

    right = ungrouping._repeat

    def rolled(projection, heads, size):
        right(projection, heads, size)
        projection.weight.data = projection.weight.data.roll(4, 0)

    monkeypatch.setattr(ungrouping, "_repeat", rolled)
    with pytest.raises(ModelError, match="does not run"):
        load_transformer(reference)
