"""What `plan` says a run costs, against what torch multiplies."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)  # noqa: E501

from circuitlang.circuit import AT_END, MLP, Ablation, Direction, Head, Logits, Receiver, Slot
from circuitlang.engine.batch import Batch
from circuitlang.engine.fast import FastEngine
from circuitlang.engine.means import MeanOutputs
from circuitlang.engine.reference import ReferenceEngine
from circuitlang.models import ModelSize
from circuitlang.plan import (
    AblateNodes,
    Activation,
    Hop,
    Kept,
    PatchActivation,
    PatchEdge,
    PatchPath,
    RunCircuitAlone,
)
from circuitlang.plan.cost import EngineCost, Geometry, operations
from tests.engine_models import P0, P1, P2, bridged, random_batch

D, HEADS, VOCABULARY = 96, 6, 50
SPECIAL = dict(bos_token_id=49, eos_token_id=49)


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
        self.geometry = Geometry.of(
            self.batch.clean.shape[1], [pair.positions for pair in self.batch.pairs]
        )
        self.means = MeanOutputs(self.model, [self.batch], per_template=True)


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
    "path": PatchPath(
        (Head(0, 1),),
        (Hop(slots("1.2.V"), (P1,)), Hop(slots("2.1.Q", "2.3.Q"), (AT_END,)), Hop(INTO_LOGITS, ())),
        NOISING,
    ),
    "path into a pass": PatchPath(
        (MLP(0),), (Hop(slots("1"), (P1,)), Hop(slots("2.1.K"), (P1,))), NOISING
    ),
    **{
        f"{kind} of {'all' if head is None else head}": PatchActivation(
            kind, 1, head, (P1,), NOISING
        )
        for kind in Activation
        for head in ((None, 2) if kind in ("q", "k", "v", "z", "pattern") else (None,))
    },
}


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
