"""Activation patching against TransformerLens's own sweeps, `transformer_lens.patching`.

Theirs runs the corrupt prompts and puts clean activations in, which is denoising here, and moves
one position at a time, `Position(TOKEN, offset=...)` here. Their hooks are the bridge's, but which
value is put where is decided by their code alone.
"""

import itertools

import pytest
import torch
from transformer_lens import patching

from circuitlang.circuit import TOKEN, Direction, Position
from circuitlang.plan import Activation, PatchActivation
from tests.engine_models import LENGTH, bench, gpt2, llama

STREAMS = {
    Activation.RESID_PRE: patching.get_act_patch_resid_pre,
    Activation.RESID_MID: patching.get_act_patch_resid_mid,
    Activation.ATTN_OUT: patching.get_act_patch_attn_out,
    Activation.MLP_OUT: patching.get_act_patch_mlp_out,
}
HEADS = {
    Activation.Z: patching.get_act_patch_attn_head_out_all_pos,
    Activation.Q: patching.get_act_patch_attn_head_q_all_pos,
    Activation.K: patching.get_act_patch_attn_head_k_all_pos,
    Activation.V: patching.get_act_patch_attn_head_v_all_pos,
    Activation.PATTERN: patching.get_act_patch_attn_head_pattern_all_pos,
}
HEADS_BY_POSITION = {
    Activation.Z: patching.get_act_patch_attn_head_out_by_pos,
    Activation.Q: patching.get_act_patch_attn_head_q_by_pos,
    Activation.K: patching.get_act_patch_attn_head_k_by_pos,
    Activation.V: patching.get_act_patch_attn_head_v_by_pos,
    Activation.PATTERN: patching.get_act_patch_attn_head_pattern_by_pos,
}
VISIBLE = 1e-3


@pytest.fixture(scope="module", params=[gpt2, llama], ids=["gpt2", "llama-gqa"])
def world(request):
    return bench(request.param, seed=4)


def table(b, sweep):
    """What their sweep measures, ``[layer, ..., prompt]``, without its progress bar."""
    bridge = b.model.bridge
    # Hook names only: a cache of everything would hold the layers' inputs twice.
    _, clean = bridge.run_with_cache(b.batch.clean)

    def metric(logits):
        return b.batch.metric(logits[:, -1])

    with torch.no_grad():
        return sweep(bridge, b.batch.corrupt, clean, metric, reduce="none").values


def measured(b, activation, layer, head=None, position=None):
    places = () if position is None else (Position(TOKEN, offset=position),)
    patch = PatchActivation(activation, layer, head, places, Direction.DENOISING)
    return b.batch.metric(b.engine.logits(patch, b.worlds))


def check(b, theirs, cells):
    """Every cell of their table is the metric of the patch that stands beside it."""
    corrupt, moved = b.batch.metric(b.worlds.corrupt.logits), 0
    cells = list(cells)
    for cell, ours in cells:
        assert float((ours - theirs[cell]).abs().max()) < 1e-5, cell
        moved += float((ours - corrupt).abs().max()) > VISIBLE
    assert moved > len(cells) / 3


@pytest.mark.parametrize("activation", STREAMS, ids=str)
def test_streams_and_writes_by_position(world, activation):
    theirs = table(world, STREAMS[activation])
    cells = list(itertools.product(range(world.model.shape.layers), range(LENGTH)))
    assert theirs.shape[:2] == (world.model.shape.layers, LENGTH)
    check(world, theirs, ((c, measured(world, activation, c[0], None, c[1])) for c in cells))


def query_head(b, activation, head):
    """A head of the file that stands for the row ``head`` of their table: theirs counts key/value
    heads where there are fewer."""
    shape = b.model.shape
    shared = activation in (Activation.K, Activation.V)
    return head * (shape.heads // shape.kv_heads) if shared else head


@pytest.mark.parametrize("activation", HEADS, ids=str)
def test_heads_at_all_positions(world, activation):
    theirs = table(world, HEADS[activation])
    cells = list(itertools.product(range(theirs.shape[0]), range(theirs.shape[1])))
    rows = ((c, query_head(world, activation, c[1])) for c in cells)
    check(world, theirs, ((c, measured(world, activation, c[0], h)) for c, h in rows))


@pytest.mark.parametrize("activation", HEADS_BY_POSITION, ids=str)
def test_heads_by_position(world, activation):
    """Of a pattern, the position is the query's."""
    theirs = table(world, HEADS_BY_POSITION[activation])
    # Most cells of the last layer cannot move END: only its own queries are read there.
    if activation is Activation.PATTERN:
        cells = [(x, h, p) for x in (0, 1) for h in range(theirs.shape[1]) for p in (1, 3, 6)]
        rows = ((c, measured(world, activation, c[0], c[1], c[2])) for c in cells)
    else:
        cells = [(x, p, h) for x in (0, 1) for p in (1, 3, 6) for h in range(theirs.shape[2])]
        heads = ((c, query_head(world, activation, c[2])) for c in cells)
        rows = ((c, measured(world, activation, c[0], h, c[1])) for c, h in heads)
    check(world, theirs, rows)


def test_every_query_head_of_a_group_names_its_keys_and_values():
    b = bench(llama, seed=4)
    for activation in (Activation.K, Activation.V):
        one, two, three, four = (measured(b, activation, 1, head) for head in range(4))
        assert torch.equal(one, two)
        assert torch.equal(one, three)
        assert float((one - four).abs().max()) > VISIBLE


def test_what_belongs_to_no_head_has_none(world):
    with pytest.raises(ValueError, match="no single head"):
        measured(world, Activation.MLP_OUT, 0, 1)
