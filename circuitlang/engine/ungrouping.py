"""Grouped-query attention written out: every query head gets a key and a value head of its own.

The model computes what it did, because each copy has the weights of the head that the group shared.
What enters a copy's key or value then enters one query head alone (TransformerLens calls this
ungroup_grouped_query_attention).
"""

from typing import Any

import torch
from torch import Tensor, nn

from circuitlang.engine.errors import ModelError

_OTHER_NAMES = ("num_kv_heads", "n_kv_heads", "multi_query")
"""Under which some families (Falcon, GPT-BigCode) keep the number of key/value heads."""


def ungroup(model: Any, name: str) -> int:  # noqa: ANN401 - transformers' classes
    """Copy a Transformers model's key and value heads, in place; ``name`` is for messages.

    Returns how many query heads shared a key/value head; 1 where none did, and nothing was changed.

    Raises:
        ModelError: keys and values are grouped in a way that is not known here.
    """
    config = model.config.get_text_config()
    heads = int(config.num_attention_heads)
    shared = getattr(config, "num_key_value_heads", None) or heads
    if shared == heads and not any(hasattr(config, other) for other in _OTHER_NAMES):
        return 1
    parts = [part for part in model.modules() if hasattr(part, "num_key_value_groups")]
    found = [getattr(part, own, None) for part in parts for own in ("k_proj", "v_proj")]
    projections = [each for each in found if type(each) is nn.Linear]
    linear = len(projections) == len(found)
    alike = isinstance(shared, int) and shared < heads and heads % shared == 0
    if len(parts) != config.num_hidden_layers or not linear or not alike:
        raise ModelError(
            f"keys and values of `{name}` ({type(model).__name__}) are not grouped as those of "
            "Llama, so they cannot be ungrouped: write `key_values shared`"
        )
    for projection in projections:
        _repeat(projection, shared, heads // shared)
    for part in parts:
        part.num_key_value_groups = 1
    config.num_key_value_heads = heads
    return heads // shared


@torch.no_grad()
def _repeat(projection: nn.Linear, heads: int, size: int) -> None:
    """Write every head's outputs ``size`` times in a row, as grouped attention repeats them."""

    def repeated(values: Tensor) -> nn.Parameter:
        split = values.view(heads, -1, *values.shape[1:])
        return nn.Parameter(split.repeat_interleave(size, 0).flatten(0, 1), values.requires_grad)

    projection.weight = repeated(projection.weight)
    if projection.bias is not None:
        projection.bias = repeated(projection.bias)
    projection.out_features = projection.weight.shape[0]
