"""What a block of a known architecture is made of, as plain weights and functions.

The bridge's blocks could be run as they are, but their activations are several times slower than
the fused ones, and a block can only be run as a whole. What is read here is held against the bridge
by :func:`circuitlang.engine.fast.engine.deviation` before any number is believed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from circuitlang.circuit import Slot
from circuitlang.engine.errors import one_line
from circuitlang.engine.transformer import Transformer

Function = Callable[[Tensor], Tensor]

_SLICE = 1024
"""Tokens of an MLP at a time: its hidden layer then stays in the processor's cache."""


class UnknownArchitectureError(Exception):
    """A model whose blocks are put together in a way that this package does not know."""


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """``weight`` is ``[out, in]``."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def rows(self, start: int, stop: int) -> "Linear":
        """The outputs from ``start`` to ``stop``."""
        bias = None if self.bias is None else self.bias[start:stop]
        return Linear(self.weight[start:stop], bias)


@dataclass(frozen=True, slots=True, eq=False)
class Mlp:
    """``down(act(up(x)))``, or ``down(act(gate(x)) * up(x))`` where there is a gate."""

    up: Linear
    down: Linear
    act: Function
    gate: Linear | None = None

    def __call__(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if len(flat) <= _SLICE:
            return self._some(flat).view(x.shape)
        out = torch.empty_like(flat)
        for start in range(0, len(flat), _SLICE):
            out[start : start + _SLICE] = self._some(flat[start : start + _SLICE])
        return out.view(x.shape)

    def neuron(self, index: int, x: Tensor) -> Tensor:
        """Activation of one neuron, ``[...]``, of normed inputs ``[..., d_model]``."""
        own = self.up.rows(index, index + 1)(x)
        if self.gate is None:
            return self.act(own)[..., 0]
        return (self.act(self.gate.rows(index, index + 1)(x)) * own)[..., 0]

    def neuron_write(self, index: int, activation: Tensor) -> Tensor:
        """What a neuron with ``activation`` ``[...]`` adds to the residual stream."""
        return activation[..., None] * self.down.weight[:, index]

    def _some(self, x: Tensor) -> Tensor:
        if self.gate is None:
            return self.down(self.act(self.up(x)))
        return self.down(self.act(self.gate(x)).mul_(self.up(x)))


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One layer. Slots are cut from ``qkv``: all queries, then all keys, then all values."""

    attention_norm: Function
    mlp_norm: Function
    qkv: Linear
    out: Linear
    mlp: Mlp | None
    heads: int
    kv_heads: int
    d_head: int
    scale: float
    window: int | None
    query_norm: Function | None
    key_norm: Function | None

    @property
    def queries(self) -> Linear:
        """The projection of all heads' queries."""
        return self.qkv.rows(0, self.heads * self.d_head)

    @property
    def keys_values(self) -> Linear:
        """The projection of all keys and values."""
        return self.qkv.rows(self.heads * self.d_head, self.qkv.weight.shape[0])

    def slot(self, slot: Slot, head: int) -> Linear:
        """The projection of one head's slot; ``head`` counts key/value heads for K and V."""
        first = {Slot.Q: 0, Slot.K: self.heads, Slot.V: self.heads + self.kv_heads}[slot]
        return self.qkv.rows((first + head) * self.d_head, (first + head + 1) * self.d_head)

    def head_of(self, slot: Slot, head: int) -> int:
        """A query head's index on a slot's head axis: K and V belong to groups of heads."""
        return head if slot is Slot.Q else head * self.kv_heads // self.heads

    def heads_at(self, slot: Slot, index: int) -> range:
        """The query heads that a slot's head serves."""
        size = 1 if slot is Slot.Q else self.heads // self.kv_heads
        return range(index * size, (index + 1) * size)

    @property
    def neurons(self) -> Mlp:
        """The MLP, for what speaks of its neurons.

        Raises:
            ValueError: the model has none.
        """
        if self.mlp is None:
            raise ValueError("the model has no MLPs")
        return self.mlp

    def head_write(self, head: int, z: Tensor) -> Tensor:
        """What a head's output ``[..., d_head]`` adds to the residual stream, without the bias."""
        return z @ self.out.weight[:, head * self.d_head : (head + 1) * self.d_head].T


@dataclass(frozen=True, slots=True, eq=False)
class Rotary:
    """Rotary position embedding; ``cos`` and ``sin`` are ``[pos, dimension]`` for the rotated part.

    Rotated are the first ``dimension`` entries of a head, in halves (Llama, NeoX) or in
    neighbouring pairs (GPT-J).
    """

    cos: Tensor
    sin: Tensor
    pairs: bool

    def __call__(self, x: Tensor, columns: Tensor) -> Tensor:
        """Rotate ``[..., pos, head, d_head]`` as the tokens ``columns`` ``[..., pos]``."""
        cos, sin = self.cos[columns].unsqueeze(-2), self.sin[columns].unsqueeze(-2)
        size = cos.shape[-1]
        turned, rest = x[..., :size], x[..., size:]
        if self.pairs:
            across = torch.stack((-turned[..., 1::2], turned[..., ::2]), dim=-1).flatten(-2)
        else:
            across = torch.cat((-turned[..., size // 2 :], turned[..., : size // 2]), dim=-1)
        turned = turned * cos + across * sin
        return torch.cat((turned, rest), dim=-1) if rest.shape[-1] else turned


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """A whole model. ``rotary`` makes the rotation for a number of positions."""

    blocks: tuple[Block, ...]
    final_norm: Function
    unembed: Linear
    soft_cap: float
    parallel: bool
    rotary: Callable[[int], Rotary] | None

    def read_out(self, residual: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Logits of the final residual stream ``[..., prompt, d_model]`` at one position.

        All of them, ``[..., prompt, vocab]``, or those of ``tokens`` ``[prompt, k]`` only.
        """
        normed = self.final_norm(residual)
        if tokens is None:
            logits = self.unembed(normed)
        else:
            logits = torch.einsum("...bd,bkd->...bk", normed, self.unembed.weight[tokens])
            if self.unembed.bias is not None:
                logits = logits + self.unembed.bias[tokens]
        if self.soft_cap > 0:
            logits = self.soft_cap * torch.tanh(logits / self.soft_cap)
        return logits


def read_anatomy(model: Transformer) -> Anatomy:
    """Take a bridged model apart.

    Raises:
        UnknownArchitectureError: with what is not known, for a reader.
    """
    bridge = model.bridge
    try:
        return Anatomy(
            blocks=tuple(_block(model, block) for block in bridge.blocks),
            final_norm=_norm(bridge.ln_final),
            unembed=_linear(bridge.unembed),
            soft_cap=model.soft_cap,
            parallel=model.shape.parallel,
            rotary=_rotary(model),
        )
    except (AttributeError, KeyError, TypeError) as error:  # a part that is not where it should be
        raise UnknownArchitectureError(f"this model's parts ({one_line(error, 100)})") from error


def _block(model: Transformer, block: Any) -> Block:  # noqa: ANN401 - the bridge is untyped
    shape, attention = model.shape, block.attn
    inner = attention.original_component
    name = type(inner).__name__
    if name not in _SCALES:
        raise UnknownArchitectureError(f"attention of the kind {name}")
    parts = [_linear(attention.q), _linear(attention.k), _linear(attention.v)]
    biases = [p.bias for p in parts if p.bias is not None]
    if len(biases) not in (0, 3):
        raise UnknownArchitectureError("biases on some of Q, K and V only")
    qkv = Linear(torch.cat([part.weight for part in parts]), torch.cat(biases) if biases else None)
    d_head = parts[0].weight.shape[0] // shape.heads
    return Block(
        attention_norm=_norm(block.ln1),
        # Parallel blocks of some families (GPT-J) have one norm for attention and MLP.
        mlp_norm=_norm(block._modules.get("ln2", block.ln1)),
        qkv=qkv,
        out=_linear(attention.o),
        mlp=_mlp(block.mlp) if shape.mlps else None,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        d_head=d_head,
        scale=_SCALES[name](inner, d_head),
        window=_window(inner),
        query_norm=_head_norm(inner, "q_norm"),
        key_norm=_head_norm(inner, "k_norm"),
    )


def _gpt2_scale(inner: Any, d_head: int) -> float:  # noqa: ANN401
    scale = 1 / math.sqrt(d_head) if inner.scale_attn_weights else 1.0
    return scale / (inner.layer_idx + 1) if inner.scale_attn_by_inverse_layer_idx else scale


def _usual_scale(inner: Any, d_head: int) -> float:  # noqa: ANN401
    return float(getattr(inner, "scaling", 1 / math.sqrt(d_head)))


_SCALES: dict[str, Callable[[Any, int], float]] = {
    "GPT2Attention": _gpt2_scale,
    "GPTNeoSelfAttention": lambda inner, d_head: 1.0,
    "GPTNeoAttention": lambda inner, d_head: 1.0,
    "GPTJAttention": _usual_scale,
    "GPTNeoXAttention": _usual_scale,
    "LlamaAttention": _usual_scale,
    "NativeAttention": lambda inner, d_head: 1 / float(inner.scale),
    "MistralAttention": _usual_scale,
    "Qwen2Attention": _usual_scale,
    "Qwen3Attention": _usual_scale,
}
"""The attention modules that are known, and what each multiplies its scores with."""


def _window(inner: Any) -> int | None:  # noqa: ANN401
    """How many positions a query sees, itself included; None for all before it."""
    if type(inner).__name__.startswith("GPTNeoSelf") or hasattr(inner, "attention"):
        inner = getattr(inner, "attention", inner)
        local = getattr(inner, "attention_type", "global") == "local" or (
            inner.layer_id is not None and inner.config.attention_layers[inner.layer_id] == "local"
        )
        return int(inner.config.window_size) if local else None
    window = getattr(inner, "sliding_window", None)
    if window is None and type(inner).__name__ == "MistralAttention":
        window = inner.config.sliding_window
    return None if window is None else int(window)


def _head_norm(inner: Any, name: str) -> Function | None:  # noqa: ANN401
    module = getattr(inner, name, None)
    return None if module is None else _norm(module)


def _norm(bridged: Any) -> Function:  # noqa: ANN401
    return _norm_of(getattr(bridged, "original_component", bridged))


def _norm_of(module: Any) -> Function:  # noqa: ANN401
    if isinstance(module, nn.LayerNorm):
        shape, weight, bias = module.normalized_shape, module.weight, module.bias
        return partial(F.layer_norm, normalized_shape=shape, weight=weight, bias=bias,
                       eps=module.eps)  # fmt: skip
    if type(module).__name__ in ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm"):
        weight = module.weight
        return partial(F.rms_norm, normalized_shape=tuple(weight.shape), weight=weight,
                       eps=module.variance_epsilon)  # fmt: skip
    if type(module).__name__ == "NativeLayerNormPre":  # without weight and bias
        return lambda x: F.layer_norm(x, x.shape[-1:], eps=module.eps)
    raise UnknownArchitectureError(f"a norm of the kind {type(module).__name__}")


def _linear(bridged: Any) -> Linear:  # noqa: ANN401
    module = getattr(bridged, "original_component", bridged)
    if isinstance(module, nn.Linear):
        return Linear(module.weight, module.bias)
    if type(module).__name__ == "Conv1D":  # GPT-2's: its weight is [in, out]
        return Linear(module.weight.T, module.bias)
    raise UnknownArchitectureError(f"a projection of the kind {type(module).__name__}")


_MLPS = ("GPT2MLP", "GPTNeoMLP", "GPTJMLP", "GPTNeoXMLP", "LlamaMLP", "MistralMLP", "NativeMLP",
         "Qwen2MLP", "Qwen3MLP")  # fmt: skip


def _mlp(bridged: Any) -> Mlp:  # noqa: ANN401
    inner = bridged.original_component
    if type(inner).__name__ not in _MLPS:
        raise UnknownArchitectureError(f"an MLP of the kind {type(inner).__name__}")
    if getattr(inner, "ln", None) is not None:  # SoLU
        raise UnknownArchitectureError("an MLP with a norm in it")
    act = _fused(inner.act if hasattr(inner, "act") else inner.act_fn)
    parts = bridged._modules
    gate = _linear(parts["gate"]) if "gate" in parts else None
    return Mlp(_linear(parts["in"]), _linear(parts["out"]), act, gate)


def _fused(act: Any) -> Function:  # noqa: ANN401
    """An activation as one kernel where torch has it; GPT-2's own takes four times as long."""
    if type(act).__name__ in ("NewGELUActivation", "FastGELUActivation", "GELUTanh"):
        return partial(F.gelu, approximate="tanh")
    return act


def _rotary(model: Transformer) -> Callable[[int], Rotary] | None:
    bridge = model.bridge
    inner = bridge.blocks[0].attn.original_component
    if type(inner).__name__ == "GPTJAttention":
        return partial(_gptj_rotary, inner, model)
    if "rotary_emb" not in bridge._modules:
        return None
    return partial(_shared_rotary, bridge.rotary_emb.original_component, model)


def _shared_rotary(module: Any, model: Transformer, length: int) -> Rotary:  # noqa: ANN401
    like = torch.zeros(1, device=model.device, dtype=model.dtype)
    cos, sin = module(like, torch.arange(length, device=model.device)[None])
    return Rotary(cos[0], sin[0], pairs=False)


def _gptj_rotary(inner: Any, model: Transformer, length: int) -> Rotary:  # noqa: ANN401
    table = inner.embed_positions[:length].to(model.device, model.dtype)
    sin, cos = table.chunk(2, dim=-1)
    return Rotary(cos.repeat_interleave(2, -1), sin.repeat_interleave(2, -1), pairs=True)
