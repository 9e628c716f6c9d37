"""GPT-2 weights set by hand, in a residual stream that is divided into named spaces.

LayerNorm is made the identity: with epsilon 2^60 and weight 2^30 it gives x - mean(x), because the
variance of any vector here is lost beside epsilon, and one balancing dimension holds minus the sum
of all others, so that the mean is zero. Everything but softmax and the MLP's ReLU is linear then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from known.program import Array

EPSILON = 2.0**60
"""Of LayerNorm; its weight is the square root, a power of two, so that nothing is rounded."""
CONTEXT = 16


@dataclass(frozen=True, slots=True, eq=False)
class HandHead:
    """One head's matrices: ``[d_model, d_head]`` for Q, K and V, ``[d_head, d_model]`` for O.

    Channels are the head's own dimensions. Scores come out as the product of what is set here: the
    square root of d_head, by which GPT-2 divides, is in the query already.
    """

    spaces: "Spaces"
    q: Array
    k: Array
    v: Array
    o: Array
    q_bias: Array

    def query(self, space: str, channel: int = 0, scale: float = 1.0) -> None:
        """Channels from here on ask for what a space holds."""
        self._copy(self.q, space, channel, scale * self._unscaled)

    def query_at(self, space: str, index: int, channel: int, scale: float = 1.0) -> None:
        """Ask in one channel for one dimension of a space."""
        self.q[self.spaces.at(space, index), channel] += scale * self._unscaled

    def look_back(self, tokens: int, length: int, scale: float) -> None:
        """Attend so many tokens back, and from the first tokens to the first; the space `token`
        marks positions."""
        for position in range(length):
            self.query_at("token", position, max(position - tokens, 0), scale)
            self.key_at("token", position, position)

    def always_query(self, channel: int, scale: float = 1.0) -> None:
        """Ask for something at every position."""
        self.q_bias[channel] += scale * self._unscaled

    def key(self, space: str, channel: int = 0, scale: float = 1.0) -> None:
        """Offer what a space holds, in the channels from here on."""
        self._copy(self.k, space, channel, scale)

    def key_at(self, space: str, index: int, channel: int, scale: float = 1.0) -> None:
        """Offer one dimension of a space in one channel."""
        self.k[self.spaces.at(space, index), channel] += scale

    def value(self, space: str, channel: int = 0, scale: float = 1.0) -> None:
        """Move what a space holds."""
        self._copy(self.v, space, channel, scale)

    def value_at(self, space: str, index: int, channel: int, scale: float = 1.0) -> None:
        """Move one dimension of a space."""
        self.v[self.spaces.at(space, index), channel] += scale

    def write(self, space: str, channel: int = 0, scale: float = 1.0) -> None:
        """Write the channels from here on into a space."""
        for index in range(self.spaces.width(space)):
            self.o[channel + index, self.spaces.at(space, index)] += scale

    def write_one(self, space: str, index: int, channel: int, scale: float = 1.0) -> None:
        """Write one channel into one dimension of a space."""
        self.o[channel, self.spaces.at(space, index)] += scale

    def write_evenly(self, space: str, channel: int, scale: float = 1.0) -> None:
        """Write one channel into every dimension of a space."""
        for index in range(self.spaces.width(space)):
            self.o[channel, self.spaces.at(space, index)] += scale

    @property
    def _unscaled(self) -> float:
        return float(np.sqrt(self.q.shape[1]))

    def _copy(self, matrix: Array, space: str, channel: int, scale: float) -> None:
        for index in range(self.spaces.width(space)):
            matrix[self.spaces.at(space, index), channel + index] += scale


class Spaces:
    """Which dimensions of the residual stream a name stands for; the last one balances."""

    def __init__(self, widths: dict[str, int], d_model: int) -> None:
        used = sum(widths.values()) + 1
        if used > d_model:
            raise ValueError(f"{used} dimensions do not fit into {d_model}")
        self._widths = widths
        starts = np.cumsum([0, *widths.values()])
        self._starts = dict(zip(widths, map(int, starts[:-1]), strict=True))

    def width(self, space: str) -> int:
        """Dimensions of a space."""
        return self._widths[space]

    def at(self, space: str, index: int = 0) -> int:
        """A dimension of the stream."""
        if not 0 <= index < self._widths[space]:
            raise ValueError(f"{space} has no dimension {index}")
        return self._starts[space] + index


class Wiring:
    """A GPT-2 whose weights are all zero until they are set."""

    def __init__(
        self,
        words: Sequence[str],
        widths: dict[str, int],
        *,
        layers: int,
        heads: int = 4,
        d_head: int = 16,
        neurons: int = 4,
    ) -> None:
        d_model = heads * d_head
        self.words = ("<unk>", "<end>", *dict.fromkeys(words))
        self._ids = {word: number for number, word in enumerate(self.words)}
        self.layers, self.heads, self.neurons, self.d_model = layers, heads, neurons, d_model
        self.spaces = Spaces(widths, d_model)
        self.embedding = np.zeros((len(self.words), d_model))
        self.positions = np.zeros((CONTEXT, d_model))
        self.unembedding = np.zeros((len(self.words), d_model))
        self._heads = [[self._head(d_head) for _ in range(heads)] for _ in range(layers)]
        self.mlp_in = np.zeros((layers, d_model, neurons))
        self.mlp_bias = np.zeros((layers, neurons))
        self.mlp_out = np.zeros((layers, neurons, d_model))

    def _head(self, d_head: int) -> HandHead:
        q, k, v = (np.zeros((self.d_model, d_head)) for _ in range(3))
        return HandHead(
            self.spaces, q, k, v, np.zeros((d_head, self.d_model)), np.zeros(d_head)
        )  # fmt: skip

    def head(self, name: str) -> HandHead:
        """A head by its name, `L1.H2`."""
        layer, head = name[1:].split(".H")
        return self._heads[int(layer)][int(head)]

    def embed(self, word: str, space: str, index: int = 0, value: float = 1.0) -> None:
        """What a word puts into a dimension wherever it stands."""
        self.embedding[self._ids[word], self.spaces.at(space, index)] += value

    def embed_list(
        self, words: Sequence[str], space: str, values: Sequence[float] | Array | None = None
    ) -> None:
        """A dimension of its own for each word."""
        for index, word in enumerate(words):
            self.embed(word, space, index, 1.0 if values is None else float(values[index]))

    def mark_position(self, position: int, space: str, index: int = 0) -> None:
        """A position's own dimension."""
        self.positions[position, self.spaces.at(space, index)] += 1.0

    def read_out(self, words: Sequence[str], space: str) -> None:
        """A word's logit is its dimension."""
        for index, word in enumerate(words):
            self.unembedding[self._ids[word], self.spaces.at(space, index)] += 1.0

    def neuron(
        self,
        layer: int,
        number: int,
        reads: dict[int, float],
        writes: dict[int, float],
        bias: float = 0.0,
    ) -> None:
        """ReLU of a weighted sum of dimensions plus a bias, written into dimensions."""
        for dimension, weight in reads.items():
            self.mlp_in[layer, dimension, number] += weight
        for dimension, weight in writes.items():
            self.mlp_out[layer, number, dimension] += weight
        self.mlp_bias[layer, number] += bias

    def write_folder(self, folder: Path, dtype: str = "float64") -> Path:
        """A Hugging Face folder; the same wiring gives the same tensors."""
        from known.folder import write_folder

        return write_folder(self, folder, dtype)

    def tensors(self) -> dict[str, Any]:
        """Every parameter of a GPT2LMHeadModel, by its name, as float64 arrays."""
        ones, zeros = np.full(self.d_model, np.sqrt(EPSILON)), np.zeros(self.d_model)
        found: dict[str, Any] = {
            "transformer.wte.weight": _balanced(self.embedding),
            "transformer.wpe.weight": _balanced(self.positions),
            "transformer.ln_f.weight": ones,
            "transformer.ln_f.bias": zeros,
            "lm_head.weight": self.unembedding,
        }
        for layer, heads in enumerate(self._heads):
            block = f"transformer.h.{layer}"
            qkv = [np.concatenate([getattr(h, slot) for h in heads], 1) for slot in "qkv"]
            bias = np.concatenate([h.q_bias for h in heads])
            found |= {
                f"{block}.ln_1.weight": ones,
                f"{block}.ln_1.bias": zeros,
                f"{block}.ln_2.weight": ones,
                f"{block}.ln_2.bias": zeros,
                f"{block}.attn.c_attn.weight": np.concatenate(qkv, 1),
                f"{block}.attn.c_attn.bias": np.concatenate([bias, zeros, zeros]),
                f"{block}.attn.c_proj.weight": _balanced(np.concatenate([h.o for h in heads])),
                f"{block}.attn.c_proj.bias": zeros,
                f"{block}.mlp.c_fc.weight": self.mlp_in[layer],
                f"{block}.mlp.c_fc.bias": self.mlp_bias[layer],
                f"{block}.mlp.c_proj.weight": _balanced(self.mlp_out[layer]),
                f"{block}.mlp.c_proj.bias": zeros,
            }
        return found


def _balanced(writes: Array) -> Array:
    """Rows whose last dimension takes their sum to zero."""
    balanced = writes.copy()
    balanced[:, -1] = -balanced[:, :-1].sum(1)
    return balanced
