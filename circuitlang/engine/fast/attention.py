"""Causal attention of a prompt's last positions, over keys and values that mostly lie ready."""

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    before: tuple[Tensor, Tensor],
    scale: float,
    window: int | None,
) -> Tensor:
    """Head outputs ``[row, prompt, query, head, d_head]``.

    Args:
        q: queries of the prompt's last positions, ``[row, prompt, query, head, d_head]``, rotated.
        k: keys of the prompt's last positions, ``[row, prompt, pos, kv_head, d_head]``, rotated;
            at least as many as queries.
        v: values, like ``k``.
        before: keys and values of all earlier positions, ``[prompt, earlier, kv_head, d_head]``,
            the same for every row.
        scale: what scores are multiplied with.
        window: positions that a query sees, itself included; None for all.
    """
    rows, prompts, queries, heads, _ = q.shape
    own, kv_heads = k.shape[2], k.shape[3]
    earlier, group = before[0].shape[1], heads // kv_heads
    if earlier == 0 and queries == own and window is None:
        return _whole(q, k, v, scale)
    banned = _banned(queries, own, earlier, window, q.device)
    # [row, prompt, kv_head, group x query, d_head]: keys of a group are read once.
    grouped = q.reshape(rows, prompts, queries, kv_heads, group, -1).permute(0, 1, 3, 4, 2, 5)
    folded = grouped.reshape(rows, prompts, kv_heads, group * queries, -1) * scale
    scores = folded @ k.permute(0, 1, 3, 4, 2)
    if earlier:
        # One product a prompt and head for all rows: nothing is copied for a row.
        across = folded.permute(1, 2, 0, 3, 4).reshape(prompts, kv_heads, -1, folded.shape[-1])
        past = across @ before[0].permute(0, 2, 3, 1)
        past = past.view(prompts, kv_heads, rows, group * queries, earlier).permute(2, 0, 1, 3, 4)
        scores = torch.cat((past, scores), dim=-1)
    if banned is not None:
        shaped = scores.view(*scores.shape[:3], group, queries, -1)
        scores = shaped.masked_fill_(banned, float("-inf")).view(scores.shape)
    pattern = scores.softmax(dim=-1)
    z = pattern[..., earlier:] @ v.permute(0, 1, 3, 2, 4)
    if earlier:
        part = pattern[..., :earlier].permute(1, 2, 0, 3, 4).reshape(prompts, kv_heads, -1, earlier)
        more = part @ before[1].permute(0, 2, 1, 3)
        z = z + more.view(prompts, kv_heads, rows, group * queries, -1).permute(2, 0, 1, 3, 4)
    z = z.view(rows, prompts, kv_heads, group, queries, -1).permute(0, 1, 4, 2, 3, 5)
    return z.reshape(rows, prompts, queries, heads, -1)


def pattern(q: Tensor, k: Tensor, scale: float, window: int | None) -> Tensor:
    """Attention patterns ``[prompt, head, query, key]`` of whole prompts.

    ``q`` is ``[prompt, pos, head, d_head]`` and ``k`` ``[prompt, pos, kv_head, d_head]``, rotated.
    """
    length = q.shape[1]
    keys = k.repeat_interleave(q.shape[2] // k.shape[2], dim=2)
    scores = q.transpose(1, 2) @ keys.permute(0, 2, 3, 1) * scale
    banned = _banned(length, length, 0, window, q.device)
    if banned is not None:
        scores = scores.masked_fill(banned, float("-inf"))
    return scores.softmax(dim=-1)


def _whole(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    shape, shared = q.shape, q.shape[3] != k.shape[3]
    q, k, v = (x.flatten(0, 1).transpose(1, 2) for x in (q, k, v))
    z = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=shared)
    return z.transpose(1, 2).reshape(shape)


def _banned(
    queries: int, own: int, earlier: int, window: int | None, device: torch.device
) -> Tensor | None:
    """Boolean ``[query, key]``: keys that a query does not see; None when it sees them all."""
    length = earlier + own
    if queries == 1 and (window is None or window >= length):
        return None
    query = torch.arange(length - queries, length, device=device)[:, None]
    key = torch.arange(length, device=device)[None]
    banned = key > query
    return banned if window is None else banned | (key <= query - window)
