"""Direct edges against TransformerLens's own exact direct-path patching (4.3)."""

import pytest
import torch
from transformer_lens.patching import get_act_patch_direct_path

from circuitlang.circuit import Direction, Head, Receiver, Slot
from circuitlang.plan import PatchEdge
from tests.engine_models import bench, gpt2, llama


def theirs(b, sender, component):
    """[layer, head] of the summed metric; TransformerLens always denoises, at every position."""
    bridge = b.model.bridge
    names = [f"blocks.{sender.layer}.attn.hook_z"]
    caches = [
        bridge.run_with_cache(tokens, names_filter=names)[1]
        for tokens in (b.batch.clean, b.batch.corrupt)
    ]
    with torch.no_grad():
        return get_act_patch_direct_path(
            bridge,
            b.batch.corrupt,
            *caches,
            lambda logits: b.batch.metric(logits[:, -1]).sum(),
            sender.layer,
            sender.head,
            component,
            verbose=False,
        )


@pytest.mark.parametrize("slot", list(Slot))
def test_gpt2_edges_equal_theirs(slot):
    b = bench(gpt2, seed=1)
    sender = Head(0, 2)
    table = theirs(b, sender, slot.lower())
    for layer in (1, 2):
        for head in range(4):
            edge = PatchEdge(
                (sender,), (Receiver(Head(layer, head), slot),), (), False, Direction.DENOISING
            )
            ours = float(b.batch.metric(b.engine.logits(edge, b.worlds)).sum())
            # Their table is float32, whatever the model is.
            assert ours == pytest.approx(float(table[layer, head]), abs=1e-4)


def test_grouped_query_attention_edges_equal_theirs_for_queries():
    """They refuse K and V under grouped-query attention; those are held against the oracle."""
    b = bench(llama, seed=1)
    sender = Head(0, 4)
    table = theirs(b, sender, "q")
    for head in range(6):
        edge = PatchEdge(
            (sender,), (Receiver(Head(2, head), Slot.Q),), (), False, Direction.DENOISING
        )
        ours = float(b.batch.metric(b.engine.logits(edge, b.worlds)).sum())
        assert ours == pytest.approx(float(table[2, head]), abs=1e-4)
