"""What `plan` says a run costs, against what torch multiplies."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from circuitlang.circuit import (
    AT_END,
    MLP,
    TOKEN,
    Ablation,
    ActivationSite,
    Direction,
    Embed,
    Head,
    Logits,
    Neuron,
    Position,
    Receiver,
    Slot,
)
from circuitlang.engine.batch import Batch, batches
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.models import (
    KNOWN_SHAPES,
    ModelSize,
    builtin_folder,
    folder_at_hand,
    size_of_folder,
    size_of_name,
)
from circuitlang.plan import (
    AblateNodes,
    Activation,
    Experiment,
    Hop,
    Kept,
    PatchActivation,
    PatchEdge,
    PatchPath,
    PatchTogether,
    Plan,
    ReadStream,
    RunCircuitAlone,
    RunWithout,
    Steer,
    SteerByTexts,
    compile_plan,
    experiment_id,
)
from circuitlang.plan.cost import (
    EngineCost,
    Geometry,
    Machine,
    RunCost,
    Work,
    operations,
    rows_of_batches,
    run_cost,
    search_cost,
    seconds,
)
from tests.checked_run import CheckedRun
from tests.commands import circuitlang
from tests.engine_models import LENGTH, P0, P1, P2, bridged, random_batch
from tests.front_end import circuit_of
from tests.test_text_steering import Letters
from tests.tiny_models import circuit_text, tiny_gpt2

D, HEADS, VOCABULARY = 96, 6, 50
SPECIAL = {"bos_token_id": 49, "eos_token_id": 49}


def gpt2():
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=16, n_embd=D, n_layer=4, n_head=HEADS, **SPECIAL
    )
    size = (D, D // HEADS, 4 * D, VOCABULARY, False, True, 16)
    return GPT2LMHeadModel(config), size


def llama():
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=D, intermediate_size=200, num_hidden_layers=4,
        num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=16, **SPECIAL,
    )  # fmt: skip
    return LlamaForCausalLM(config), (D, D // HEADS, 200, VOCABULARY, True, False, 0)


def neox():
    config = GPTNeoXConfig(
        vocab_size=VOCABULARY, hidden_size=D, intermediate_size=200, num_hidden_layers=4,
        num_attention_heads=HEADS, max_position_embeddings=16, **SPECIAL,
    )  # fmt: skip
    return GPTNeoXForCausalLM(config), (D, D // HEADS, 200, VOCABULARY, False, False, 0)


class Bench:
    def __init__(self, make):
        model, sizes = make()
        self.model = bridged(model.double().eval())
        self.size = ModelSize(self.model.shape, *sizes)
        self.batch: Batch = random_batch()
        self.geometry = self.batch.geometry
        self.means = MeanOutputs.of(self.model, [self.batch], True, range(4))


@pytest.fixture(scope="module", params=[gpt2, llama, neox], ids=lambda f: f.__name__)
def bench(request):
    return Bench(request.param)


def _attention(query, key, value, *args, out_val=None, **kwargs):
    prompts, heads, queries, size = query
    return 4 * prompts * heads * queries * key[-2] * size


def counted(work) -> int:
    """Operations of all matrix products that a piece of work makes."""
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={flash: _attention})
    with counter:
        work()
    return counter.get_total_flops()


NOISING, DENOISING = Direction.NOISING, Direction.DENOISING
INTO_LOGITS = (Receiver(Logits()),)


def slots(*texts):
    """Receivers `2.1.Q` and `3` (an MLP)."""
    found = []
    for text in texts:
        layer, *rest = text.split(".")
        if rest:
            found.append(Receiver(Head(int(layer), int(rest[0])), Slot(rest[1])))
        else:
            found.append(Receiver(MLP(int(layer))))
    return tuple(found)


def neurons(*places):
    return tuple(Receiver(Neuron(*place)) for place in places)


def edge(senders, receivers, positions=(), through=True, direction=NOISING):
    return PatchEdge(tuple(senders), receivers, positions, through, direction)


EXPERIMENTS = {
    "through to Q at END": edge([Head(0, 1)], slots("2.0.Q"), (AT_END,)),
    "through to V": edge([Head(0, 1), Head(1, 0)], slots("2.0.V", "3.1.V"), (P0, P2)),
    "through to K everywhere": edge([Head(0, 2)], slots("3.3.K")),
    "through from an MLP": edge([MLP(0)], slots("2.2.V", "2"), (P1,)),
    "through to an MLP": edge([Head(0, 2)], slots("2"), (P1,)),
    "through to logits": edge([Head(1, 2), Head(2, 3)], INTO_LOGITS, (AT_END,)),
    "through, denoising": edge([Head(1, 2)], slots("2.1.Q"), (P2,), direction=DENOISING),
    "direct": edge([Head(0, 1)], slots("2.0.V"), (P2,), through=False),
    "direct to logits": edge([Head(0, 1)], INTO_LOGITS, (AT_END,), through=False),
    "direct, two layers": edge([Head(0, 1)], slots("1.0.V", "3.2.Q"), (P2,), through=False),
    "direct, a sender between": edge(
        [Head(0, 1), Head(2, 1)], slots("1.0.V", "3.2.Q", "3"), (P2,), through=False
    ),
    "direct to MLPs": edge([Head(0, 1)], slots("1", "3"), (P1, P2), through=False),
    "direct to MLPs, late": edge([Head(0, 1), MLP(2)], slots("1", "3"), (P1,), through=False),
    "reaches nothing": edge([Head(3, 1)], slots("1.0.V"), (P1,)),
    "ablation": AblateNodes((Head(1, 0), Head(1, 3), Head(2, 1)), (P1,), Ablation.MEAN, True),
    "ablated MLPs": AblateNodes((MLP(1), Head(2, 1)), (), Ablation.ZERO, True),
    "ablated at END": AblateNodes((Head(3, 0),), (AT_END,), Ablation.RESAMPLE, True),
    "circuit": RunCircuitAlone((Kept(Head(1, 0), (P1,)),), True, Ablation.MEAN, True),
    "circuit of MLPs": RunCircuitAlone((Kept(MLP(0), ()),), False, Ablation.ZERO, True),
    "removed": RunWithout(
        (Kept(Head(1, 0), (P2,)), Kept(Head(1, 0), (P1,)), Kept(Head(2, 1), (AT_END,))),
        (Kept(Head(1, 0), (P2,)),),
        Ablation.MEAN,
        True,
    ),
    "removed MLPs": RunWithout((Kept(MLP(1), ()), Kept(Head(1, 2), ())), (), Ablation.ZERO, True),
    "path": PatchPath(
        (Head(0, 1),),
        (Hop(slots("1.2.V"), (P1,)), Hop(slots("2.1.Q", "2.3.Q"), (AT_END,)), Hop(INTO_LOGITS, ())),
        NOISING,
    ),
    "path through MLPs": PatchPath(
        (Head(0, 1), MLP(1)),
        (Hop(slots("2.2.V", "2"), (P1,), True), Hop(slots("3.1.Q"), (AT_END,), True),
         Hop(INTO_LOGITS, ())),
        NOISING,
    ),
    "path through MLPs to logits": PatchPath(
        (Embed(), Neuron(1, 3)),
        (Hop((*slots("2.2.V"), *neurons((2, 4))), (P1, P2), True), Hop(INTO_LOGITS, (), True)),
        DENOISING,
    ),
    "path into a pass": PatchPath(
        (MLP(0),), (Hop(slots("1"), (P1,)), Hop(slots("2.1.K"), (P1,))), NOISING
    ),
    "embedding": edge([Embed()], slots("0.1.Q", "2.0.V"), (P2,), through=False),
    "through from the embedding": edge([Embed(), Head(1, 2)], slots("2.0.V", "3.1.V"), (P0, P2)),
    "ablated embedding": AblateNodes((Embed(), Head(2, 1)), (P1,), Ablation.RESAMPLE, True),
    "neuron": edge([Neuron(0, 3)], slots("2.0.V"), (P1,), through=False),
    "through from a neuron": edge([Neuron(0, 3)], slots("2.0.V"), (P1,)),
    "into neurons": edge([Head(0, 1)], neurons((1, 3), (1, 4)), (P1, P2), through=False),
    "through into neurons": edge([Head(0, 1)], neurons((1, 3), (2, 4)), (P1,)),
    "ablated neurons": AblateNodes((Neuron(1, 3), Neuron(2, 4)), (P1,), Ablation.RESAMPLE, True),
    "circuit of neurons": RunCircuitAlone(
        (Kept(Neuron(1, 3), ()), Kept(Neuron(1, 5), (P1,))), False, Ablation.MEAN, True
    ),
    "path of neurons": PatchPath(
        (Neuron(0, 3),), (Hop(neurons((1, 2)), (P1,)), Hop(slots("2.1.V"), (P1,))), NOISING
    ),
    **{
        f"{kind} of {'all' if head is None else head}": PatchActivation(
            kind, 1, head, (P1,), NOISING
        )
        for kind in Activation
        for head in ((None, 2) if kind in ("q", "k", "v", "z", "pattern") else (None,))
    },
}


def sites(activation, *places):
    """Of `2.1` (a head) and `3` (an MLP's output)."""
    found = []
    for place in places:
        layer, *head = map(int, place.split("."))
        kind = activation if head else Activation.MLP_OUT
        found.append(ActivationSite(kind, layer, *head))
    return tuple(found)


def cells(*places):
    """Of `1.3`, a neuron."""
    found = (map(int, place.split(".")) for place in places)
    return tuple(ActivationSite(Activation.POST, *each) for each in found)


EMBEDDING = ActivationSite(Activation.RESID_PRE, 0)
TEXTS = ("ABC", "DE")
PUT = {
    "outputs together": PatchTogether(sites(Activation.Z, "1.2", "2.0", "2"), (P1,), NOISING),
    "an MLP and a head": PatchTogether(sites(Activation.Z, "1", "2.0"), (P1,), DENOISING),
    "keys together": PatchTogether(sites(Activation.K, "1.2", "1.5", "2.0"), (P1,), NOISING),
    "queries together": PatchTogether(sites(Activation.Q, "1.2", "1.3", "3.0"), (), NOISING),
    "patterns together": PatchTogether(sites(Activation.PATTERN, "1.2", "1.3"), (P1,), NOISING),
    "patterns above": PatchTogether(sites(Activation.PATTERN, "1.2", "2.3"), (P1,), NOISING),
    "neurons together": PatchTogether(
        (*cells("1.3", "2.4"), *sites(Activation.Z, "2.0")), (P1,), NOISING
    ),
    "the embedding and a neuron": PatchTogether((EMBEDDING, *cells("2.3")), (P2,), DENOISING),
    "a neuron": PatchActivation(Activation.POST, 1, 3, (P1, P2), DENOISING),
    "neurons steered": Steer(cells("1.3", "2.4"), (P1,), 2.0, True),
    "the embedding steered": Steer((EMBEDDING, *sites(Activation.Z, "1.2")), (P1,), 2.0, True),
    "parts steered by texts": SteerByTexts(
        (*sites(Activation.Z, "1.2", "2"), *cells("1.3")), (P1,), 2.0, TEXTS
    ),
    "attention steered by texts": SteerByTexts(
        (ActivationSite(Activation.ATTN_OUT, 2),), (), 2.0, TEXTS
    ),
    "a head steered": Steer(sites(Activation.Z, "1.2", "2.3"), (P1,), 2.0, True),
    "an MLP steered": Steer(sites(Activation.Z, "1", "2.3"), (P1,), 2.0, True),
    "a stream steered": Steer((ActivationSite(Activation.RESID_PRE, 2),), (), -1.0, True),
    "attention steered": Steer((ActivationSite(Activation.ATTN_OUT, 2),), (P2,), 1.0, True),
    "a look": ReadStream(2, P1),
}


@pytest.mark.parametrize("name", PUT)
def test_what_is_put_in(bench, name):
    intervention = PUT[name]
    means = MeanOutputs.of(bench.model, [bench.batch], per_template=True)
    means.add_contrast(bench.model, [bench.batch], [intervention])
    means.add_texts(bench.model, Letters(), [intervention])
    fast, reference = (e(bench.model, means) for e in (FastEngine, ReferenceEngine))
    worlds = fast.worlds(bench.batch)
    _ = worlds.corrupt._all  # a second pass of the corrupt run belongs to the worlds
    found = counted(lambda: fast.answers([intervention], worlds))
    assert found == pytest.approx(operations(intervention, bench.size, bench.geometry), rel=1e-9)
    worlds = reference.worlds(bench.batch)
    before = bench.model.passes
    found = counted(lambda: reference.answers([intervention], worlds))
    assert bench.model.passes - before == Experiment("", intervention).forward_passes
    expected = operations(intervention, bench.size, bench.geometry, EngineCost.REFERENCE)
    assert found == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_of_the_fast_engine(bench, name):
    intervention = EXPERIMENTS[name]
    if bench.size.shape.parallel and getattr(intervention, "activation", "") == "resid_mid":
        pytest.skip("parallel blocks have no residual stream in the middle")
    engine = FastEngine(bench.model, bench.means)
    worlds = engine.worlds(bench.batch)
    _ = worlds.corrupt._all  # a second pass of the corrupt run belongs to the worlds
    found = counted(lambda: engine.answers([intervention], worlds))
    expected = operations(intervention, bench.size, bench.geometry)
    assert found == pytest.approx(expected, rel=1e-9)


REFERENCE = [n for n, e in EXPERIMENTS.items() if not isinstance(e, PatchActivation)]
"""What the reference engine runs."""


@pytest.mark.parametrize("name", REFERENCE)
def test_an_experiment_of_the_reference_engine(bench, name):
    intervention = EXPERIMENTS[name]
    engine = ReferenceEngine(bench.model, bench.means)
    worlds = engine.worlds(bench.batch)
    found = counted(lambda: engine.answers([intervention], worlds))
    expected = operations(intervention, bench.size, bench.geometry, EngineCost.REFERENCE)
    assert found == pytest.approx(expected, rel=0.03)


def plan_of(bench, *interventions) -> Plan:
    circuit = circuit_of(circuit_text('"gpt2"'))
    found = tuple(Experiment(experiment_id(each), each) for each in interventions)
    return Plan(circuit, found, ())


def test_what_experiments_share_is_counted_once(bench):
    """One sender into three heads' slots: its change goes down through the MLPs once."""
    edges = [edge([Head(0, 1)], slots(f"3.{h}.Q"), (AT_END,)) for h in range(3)]
    cost = run_cost(plan_of(bench, *edges), bench.size, [bench.geometry], EngineCost.FAST)
    engine = FastEngine(bench.model)
    worlds = engine.worlds(bench.batch)
    found = counted(lambda: engine.answers(edges, worlds))
    (kind,) = cost.kinds
    assert (kind.experiments, kind.operations) == (3, found)
    alone = [operations(each, bench.size, bench.geometry) for each in edges]
    assert sum(alone) > 1.5 * found


def _patched_in(intervention):
    if isinstance(intervention, PatchTogether):
        return intervention.sites
    return (intervention,) if isinstance(intervention, PatchActivation) else ()


@pytest.mark.parametrize("direction", Direction)
def test_a_whole_run_of_the_fast_engine(bench, direction):
    """Worlds and all experiments."""
    mix = [e for e in EXPERIMENTS.values() if getattr(e, "activation", "") != "resid_mid"]
    mix = [e for e in mix if getattr(e, "direction", NOISING) is NOISING]
    # What else is patched in is no part of a source world: it takes a pass of its own.
    cached = ("z", "mlp_out", "post")
    mix = [e for e in mix if all(a.activation in cached for a in _patched_in(e))]
    mix = [replace(e, direction=direction) if hasattr(e, "direction") else e for e in mix]
    plan = plan_of(bench, *mix)
    cost = run_cost(plan, bench.size, [bench.geometry], EngineCost.FAST, means_given=True)
    model, engine = bench.model, FastEngine(bench.model, bench.means)
    engine.denoises = True  # as a run has it where neurons send: they are computed from the streams
    before = model.passes
    found = counted(lambda: engine.answers(mix, engine.worlds(bench.batch)))
    whole = 2
    assert model.passes - before == whole
    assert cost.worlds == whole * bench.size.forward(bench.geometry.prompts, LENGTH)
    spent = sum(kind.operations for kind in cost.kinds)
    # Senders of several edges at the same positions write once; what neurons send that compute
    # after the first receiver of a group is estimated.
    assert found == pytest.approx(cost.worlds + spent, rel=3e-3)
    assert cost.operations == cost.worlds + spent + cost.checks
    assert sum(kind.experiments for kind in cost.kinds) == len(mix)


@pytest.mark.parametrize("engine", [FastEngine, ReferenceEngine])
@pytest.mark.parametrize(
    "names", [("through to V",), ("direct to logits", "through to V", "ablation")]
)
def test_the_self_checks(bench, engine, names):
    """All of them, in three batches of a run: on the first prompts and on one of every batch."""
    plan = plan_of(bench, *(EXPERIMENTS[name] for name in names))
    run = CheckedRun(engine(bench.model, bench.means), plan, bench.batch.pairs, 2)
    geometries = [batch.geometry for batch in run.batches]
    assert len(geometries) == 3
    name = EngineCost.FAST if engine is FastEngine else EngineCost.REFERENCE
    cost = run_cost(plan, bench.size, geometries, name)
    before = bench.model.passes
    few = run.batches[0].first(4)
    choosing = counted(lambda: run.engine.deviation(few)) if engine is FastEngine else 0
    found = counted(run.checks)
    assert cost.checks == pytest.approx(choosing + found, rel=1e-9)
    passes = bench.model.passes - before + 2 * len(geometries)
    if engine is ReferenceEngine:
        passes += len(geometries) * sum(e.forward_passes for e in plan.experiments)
    assert cost.whole.passes == passes


def test_a_batch_starts_at_the_first_token_of_any_prompt():
    later = Position("A", offset=1)
    geometry = Geometry.of(9, [{P0: 4, P1: 2, later: 5}, {P0: 3, P1: 6, later: 4}])
    assert (geometry.prompts, geometry.length, geometry.tokens) == (2, 9, 18)
    assert geometry.first((P0,)) == 3
    assert geometry.first((P0, P1)) == 2
    assert geometry.first((AT_END, later)) == 4
    assert geometry.first((Position(TOKEN, offset=7),)) == 7
    assert geometry.first((AT_END,)) == 8
    assert (geometry.first(()), geometry.count(())) == (0, 9)
    assert geometry.count((P0, P1)) == 2


def test_prompts_of_one_length_share_batches():
    prompts = [(length, {}) for length in (5, 6, 5, 5, 6, 5, 7)]
    assert rows_of_batches(prompts, 3) == [(6,), (1, 4), (0, 2), (3, 5)]
    assert rows_of_batches([], 3) == []


def test_prompts_whose_positions_agree_share_batches():
    early, late = {P0: 2, P1: 6}, {P0: 4, P1: 6}
    assert rows_of_batches([(9, p) for p in (late, early, late, early)], 4) == [(1, 3), (0, 2)]
    # A batch of one prompt in eight would be too small to be worth it.
    assert rows_of_batches([(9, p) for p in (late, early, late, late)], 8) == [(1, 0, 2, 3)]


# Sizes


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("gpt2", 124.4), ("openai-community/gpt2-xl", 1557.6), ("distilgpt2", 81.9),
        ("EleutherAI/gpt-neo-1.3B", 1315.6), ("EleutherAI/gpt-j-6b", 6050.9),
        ("EleutherAI/pythia-70m-deduped", 70.4), ("EleutherAI/pythia-6.9b", 6857.3),
        ("HuggingFaceTB/SmolLM2-135M", 134.5), ("HuggingFaceTB/SmolLM2-1.7B", 1711.4),
        ("Qwen/Qwen2.5-0.5B", 494.0), ("meta-llama/Llama-3.2-1B", 1235.8),
        ("meta-llama/Llama-3.1-8B", 8030.3), ("mistralai/Mistral-7B-v0.1", 7241.7),
    ],
)  # fmt: skip
def test_sizes_of_known_models_give_their_published_parameter_counts(name, millions):
    size = size_of_name(name)
    assert size is not None
    assert size.parameters / 1e6 == pytest.approx(millions, rel=0.005)


def test_every_known_shape_has_a_size():
    assert all(size_of_name(name) is not None for name in KNOWN_SHAPES)
    assert size_of_name("somebody/something") is None


def configured(folder: Path, **config) -> ModelSize | None:
    (folder / "config.json").write_text(json.dumps(config))
    return size_of_folder(folder)


def test_sizes_of_configs(tmp_path: Path):
    """What transformers itself would build, for each family's names of the sizes."""
    small = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 99}
    grouped = {**small, "num_key_value_heads": 2, "intermediate_size": 80}
    old = {"n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": 99, "n_positions": 32}
    kinds = [[["global", "local"], 1]]
    neo = {"hidden_size": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 99,
           "max_position_embeddings": 32, "attention_types": kinds}  # fmt: skip
    configs = {
        "gpt2": old, "gptj": {**old, "rotary_dim": 4}, "gpt_neo": neo,
        "gpt_neox": {**small, "intermediate_size": 80}, "llama": grouped,
        "mistral": {**grouped, "head_dim": 20}, "qwen2": {**grouped, "tie_word_embeddings": True},
        "qwen3": {**grouped, "head_dim": 20},
    }  # fmt: skip
    for kind, config in configs.items():
        size = configured(tmp_path, model_type=kind, **config)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **config))
        matrices = sum(p.numel() for p in model.parameters() if p.dim() == 2)
        assert size is not None, kind
        assert size.parameters == matrices, kind


def test_sizes_that_cannot_be_known(tmp_path: Path):
    assert size_of_folder(tmp_path / "absent") is None
    known = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 9}
    assert configured(tmp_path, **known, model_type="llama") is not None
    assert configured(tmp_path, **known, model_type="bloom") is None
    assert configured(tmp_path, **known | {"vocab_size": "9"}, model_type="llama") is None
    assert configured(tmp_path, **known | {"hidden_size": 0}, model_type="llama") is None


def test_the_hub_cache_is_looked_into_without_the_hub(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    repository = tmp_path / "hub" / "models--some--model"
    assert folder_at_hand("name", "some/model") is None
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    assert folder_at_hand("name", "some/model", "abc") == snapshot
    assert folder_at_hand("name", "some/model") is None
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc\n")
    assert folder_at_hand("name", "some/model") == snapshot
    assert folder_at_hand("name", "some/other") is None
    assert folder_at_hand("name", str(snapshot)) == snapshot
    assert folder_at_hand("builtin", "ioi_tiny") == builtin_folder("ioi_tiny")
    assert folder_at_hand("gguf", str(snapshot)) is None


# Time


def test_time_follows_the_work():
    size = size_of_name("gpt2")
    work = Work(passes=1, operations=10**12, visits=12, weights=10**8)
    cost = RunCost(EngineCost.FAST, (), work, Work(), 0, 0, 0, 0)
    slow, fast = (seconds(cost, size, Machine(rate), "float32", 0) for rate in (1e11, 2e11))
    # 1e12 operations at 1e11 a second take ten seconds and what a model's blocks waste.
    assert 5 < slow - fast < 10
    stacked = RunCost(EngineCost.FAST, (), Work(), work, 0, 0, 0, 0)
    assert seconds(stacked, size, Machine(1e11), "float32", 0) < slow
    assert seconds(cost, size, Machine(1e11), "float32", 10**9) > slow + 10


# The command


def test_plan_with_a_model_at_hand(tmp_path: Path):
    tiny_gpt2(tmp_path / "model", layers=2, d_model=16)
    path = tmp_path / "a.circuit"
    path.write_text(circuit_text('"./model"'))
    outcome = circuitlang("plan", "a.circuit", "--engine", "both", home=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[3].endswith("2 layers; 1 batch of prompts of 14 tokens")
    rows = {line[2:26].strip(): line[26:].split() for line in lines}
    assert rows["edges through MLPs"][0] == "2"  # an edge and its random edge
    assert rows["direct edges"][0] == "2"
    assert lines[5].split("   ")[-2:] == ["fast engine", "reference engine"]
    assert min(map(int, rows["forward passes"][:2])) > 10
    one = circuitlang("plan", "a.circuit", "--engine", "reference", home=tmp_path)
    assert "fast engine" not in one.out
    small = circuitlang("plan", "a.circuit", "--batch", "3", "--threads", "1", home=tmp_path)
    assert "3 batches of prompts of 14 tokens" in small.out


def test_plan_without_a_tokenizer_says_about(tmp_path: Path):
    (tmp_path / "a.circuit").write_text(circuit_text('"gpt2"'))
    outcome = circuitlang("plan", "a.circuit", home=tmp_path)
    assert "model gpt2: 124 M parameters, 12 layers; 1 batch of prompts of about 14" in outcome.out


def test_plan_says_why_it_cannot_estimate(tmp_path: Path):
    for model, why in {
        '"somebody/something"': "there is no config.json of a known family on this machine",
        'gguf "absent.gguf"': "a GGUF file's sizes are known once it has been run",
    }.items():
        (tmp_path / "a.circuit").write_text(circuit_text(model))
        outcome = circuitlang("plan", "a.circuit", home=tmp_path)
        assert outcome.code == 0
        assert why in outcome.out
        assert "forward passes over every prompt with the reference engine" in outcome.out


CLAIMS = {
    "the circuit": "faithfulness >= -900%\n  ablate B >= -900%",
    "means of neurons": "ablate C >= -900% by mean",
    "neurons": "ablate C >= -900% by resample\n  faithfulness >= -900% by resample",
    "what is put in": """patch L1.MLP[3] >= -900%
  patch embed at S1 >= -900% by denoising
  steer L2.MLP[5] by 2 * (clean - corrupt) >= -900%
  steer L1.resid_pre by 2 * ("store park" - "office the") >= -900%
  steer B by 2 * ("office the" - "store park") >= -900%
  steer L2.MLP[5] at S1 by 2 * ("book" - "ring") >= -900%""",
}


@pytest.mark.parametrize("engine", EngineCost)
@pytest.mark.parametrize("claims", CLAIMS)
def test_a_measured_run(tmp_path: Path, engine: EngineCost, claims: str):
    """Everything that `run` multiplies, self-checks and choice of the engine included."""
    from circuitlang.engine.choice import EngineName
    from circuitlang.engine.loading import load_transformer
    from circuitlang.engine.measurement import measure
    from circuitlang.engine.tokens import tokenize

    of_neurons = "neurons" in claims
    tiny_gpt2(tmp_path / "model", layers=2 if of_neurons else 4, d_model=64)
    text = circuit_text(f'"{tmp_path / "model"}"', sample=24, claims=CLAIMS[claims])
    if of_neurons:
        text = text.replace("nodes {", "nodes {\n  C  L0.MLP[5], L1.MLP[7]  at S2")
        edges = "C ~> B.V >= -900%\n  A -> C >= -900% from S2\n  C -> B.V -> logits >= -900%"
        text = text.replace("edges {", f"edges {{\n  {edges}")
        text += "test {\n  random edges 0\n}\n"
    plan = compile_plan(circuit_of(text))
    model = load_transformer(plan.circuit.model)
    pairs, tokens, problems = tokenize(plan.circuit, model.tokenizer)
    assert problems == ()
    shares = batches(tokens, 10, model.transformer.device)
    geometries = [batch.geometry for batch in shares]
    size = size_of_folder(tmp_path / "model")
    assert size is not None
    texts = [Geometry(2, length) for length in ((2, 1) if claims == "what is put in" else ())]
    cost = run_cost(plan, size, geometries, engine, texts=texts)
    found = counted(
        lambda: measure(plan, model, pairs, tokens, engine=EngineName(engine), batch_size=10)
    )
    assert model.transformer.passes == cost.whole.passes
    assert cost.operations == pytest.approx(found, rel=0.03)


@pytest.mark.parametrize("engine", EngineCost)
def test_a_greedy_search(tmp_path: Path, engine: EngineCost):
    """What it takes at most, to its last component; and each step exactly, once it is known."""
    from circuitlang.cli.searching import search
    from circuitlang.engine.choice import EngineName
    from circuitlang.engine.loading import load_transformer
    from circuitlang.engine.measurement import means_of, measure
    from circuitlang.engine.tokens import tokenize

    tiny_gpt2(tmp_path / "model", layers=2, d_model=16)
    text = circuit_text(f'"{tmp_path / "model"}"', sample=16, claims="completeness within 20%")
    circuit = circuit_of(text + "test {\n  random edges 0\n  random subsets 0\n}\n")
    plan, model = compile_plan(circuit), load_transformer(circuit.model)
    pairs, tokens, _ = tokenize(circuit, model.tokenizer)
    stages: list[tuple[int, Plan]] = []
    means = means_of(plan, model, tokens, 10)

    def measured(part: Plan, numbers: tuple[int, ...], _: str = ""):
        rows = [number - 1 for number in numbers]
        before = model.transformer.passes
        made = measure(
            part, model, [pairs[i] for i in rows], [tokens[i] for i in rows],
            engine=EngineName(engine), batch_size=10, means=means,
        )  # fmt: skip
        stages.append((model.transformer.passes - before, part))
        return made

    evidence = measured(plan, tuple(range(1, 17)))
    _, evidence = search(plan, evidence, measured)
    size = size_of_folder(tmp_path / "model")
    assert size is not None
    halves = [number - 1 for number in evidence.searched]
    assert halves == [2, 3, 6, 7, 10, 11, 14, 15]
    geometry = [batch.geometry for batch in batches([tokens[i] for i in halves], 10, "cpu")]
    whole = [batch.geometry for batch in batches(tokens, 10, "cpu")]
    most = search_cost(plan, size, geometry, geometry, engine)
    own = run_cost(plan, size, whole, engine)
    assert most is not None
    assert own.whole.passes + most.whole.passes >= model.transformer.passes
    assert (most.kinds[0].kind, most.kinds[0].experiments) == (
        "greedy searches, at most", 2 * (4 + 3 + 2 + 1) + 2,
    )  # fmt: skip
    # Every part by itself is counted exactly: the plan's own, means included, and each step.
    assert own.whole.passes == stages[0][0] + len(whole)
    assert len(stages) > 1
    for passes, part in stages[1:]:
        cost = run_cost(part, size, geometry, engine, means_given=True)
        assert cost.whole.passes == passes
