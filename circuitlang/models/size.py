"""How large a model's matrices are, and so what its passes cost, without its weights.

Counted are the floating-point operations of matrix products, two for a multiplication and its
addition, as torch's FlopCounterMode counts them; norms and activations are a few in a thousand.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from circuitlang.models.shape import ModelShape, shape_of_folder, shape_of_name


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Sizes of a decoder's matrices.

    ``gated`` MLPs have three matrices, others two. ``tied`` models unembed with their embedding.
    ``learned_positions`` counts rows of a position embedding, 0 where positions are rotated in.
    """

    shape: ModelShape
    d_model: int
    d_head: int
    d_mlp: int
    vocabulary: int
    gated: bool = False
    tied: bool = True
    learned_positions: int = 0

    def ungrouped(self) -> "ModelSize":
        """With a key and a value head for every query head."""
        return replace(self, shape=self.shape.ungrouped())

    @property
    def queries(self) -> int:
        """Operations of a token's queries in one layer."""
        return 2 * self.d_model * self.shape.heads * self.d_head

    @property
    def keys_values(self) -> int:
        """Operations of a token's keys and values in one layer."""
        return 4 * self.d_model * self.shape.kv_heads * self.d_head

    @property
    def slot(self) -> int:
        """Operations of a token's Q, K or V in one head; also those of a head's write."""
        return 2 * self.d_model * self.d_head

    @property
    def output(self) -> int:
        """Operations of a token's attention output projection in one layer."""
        return self.shape.heads * self.slot

    @property
    def mlp(self) -> int:
        """Operations of a token's MLP in one layer."""
        matrices = (3 if self.gated else 2) if self.shape.mlps else 0
        return matrices * 2 * self.d_model * self.d_mlp

    @property
    def neuron(self) -> int:
        """Operations of a token's activation of one neuron."""
        return 2 * self.d_model * (2 if self.gated else 1)

    @property
    def unembedding(self) -> int:
        """Operations of all logits of one token."""
        return 2 * self.d_model * self.vocabulary

    def attention(self, queries: int, keys: int) -> int:
        """Operations of one head's scores and weighted values; masked ones are computed as well."""
        return 4 * self.d_head * queries * keys

    def layer(self, tokens: int, keys: int, outputs: int | None = None) -> int:
        """Operations of one layer on a prompt's last ``tokens``, of ``keys`` in all.

        ``outputs``: how many of them anything reads afterwards; all of them by default.
        """
        outputs = tokens if outputs is None else outputs
        attention = self.shape.heads * self.attention(outputs, keys)
        return (
            self.keys_values * tokens + (self.queries + self.output + self.mlp) * outputs
        ) + attention

    def forward(self, prompts: int, length: int) -> int:
        """Operations of a whole forward pass that unembeds the last token of each prompt."""
        return prompts * (self.shape.layers * self.layer(length, length) + self.unembedding)

    @property
    def layer_parameters(self) -> int:
        """Weights of one layer's matrices: each serves a token with two operations."""
        return (self.queries + self.keys_values + self.output + self.mlp) // 2

    @property
    def parameters(self) -> int:
        """Weights of all matrices; biases and norms, under half a per cent, are left out."""
        embeddings = (1 if self.tied else 2) * self.vocabulary + self.learned_positions
        return self.shape.layers * self.layer_parameters + embeddings * self.d_model


def size_of_name(name: str) -> ModelSize | None:
    """Size of a well-known model, with or without its organisation (`openai-community/gpt2`)."""
    shape = shape_of_name(name)
    short = name.lower().rsplit("/", 1)[-1]
    row = _KNOWN.get(short) or _KNOWN.get(short.removesuffix("-deduped"))
    if shape is None or row is None:
        return None
    d_model, d_mlp, vocabulary, gated, tied, positions = row
    d_head = d_model // shape.heads
    return ModelSize(shape, d_model, d_head, d_mlp, vocabulary, gated, tied, positions)


def shape_with_neurons(name: str) -> ModelShape | None:
    """Shape of a well-known model, with the neurons of its MLPs."""
    size = size_of_name(name)
    if size is None or not size.shape.mlps:
        return shape_of_name(name)
    return replace(size.shape, neurons=size.d_mlp)


def size_of_folder(folder: Path) -> ModelSize | None:
    """Size from a `config.json`; None when it is missing, or of an unknown family."""
    shape = shape_of_folder(folder)
    if shape is None:
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    # TransformerLens's own configs name no family.
    family = _FAMILIES.get("transformer_lens" if "d_vocab" in config else config.get("model_type"))
    return None if family is None else _size(config, family, shape)


def context_of_folder(folder: Path) -> int | None:
    """The most tokens that a model reads, from its `config.json`; None where that does not say."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    found = config if isinstance(config, dict) else {}
    rows = next((found[n] for n in _POSITIONS if found.get(n) is not None), None)
    return rows if _is_count(rows) else None


@dataclass(frozen=True, slots=True)
class _Family:
    """Where families differ in what a config leaves out."""

    gated: bool
    tied: bool
    learned_positions: bool = False


# Of transformers' configuration classes, by `model_type`.
_FAMILIES = {
    "gpt2": _Family(gated=False, tied=True, learned_positions=True),
    "gpt_neo": _Family(gated=False, tied=True, learned_positions=True),
    "gptj": _Family(gated=False, tied=False),
    "gpt_neox": _Family(gated=False, tied=False),
    "llama": _Family(gated=True, tied=False),
    "mistral": _Family(gated=True, tied=False),
    "qwen2": _Family(gated=True, tied=False),
    "qwen3": _Family(gated=True, tied=False),
    "transformer_lens": _Family(gated=False, tied=False, learned_positions=True),
}


_POSITIONS = ("n_positions", "max_position_embeddings", "n_ctx")


def _size(config: dict[str, Any], family: _Family, shape: ModelShape) -> ModelSize | None:
    def first(*names: str) -> Any:  # noqa: ANN401 - JSON
        return next((config[n] for n in names if config.get(n) is not None), None)

    d_model, vocabulary = (
        first("hidden_size", "n_embd", "d_model"),
        first("vocab_size", "d_vocab"),
    )
    if not (_is_count(d_model) and _is_count(vocabulary)):
        return None
    # GPT-2, GPT-J and GPT-Neo leave the usual four times d_model out.
    d_mlp = first("intermediate_size", "n_inner", "d_mlp") or 4 * d_model
    d_head = first("head_dim", "d_head") or d_model // shape.heads
    rows = first(*_POSITIONS)
    positions = rows if family.learned_positions else 0
    if not (_is_count(d_mlp) and _is_count(d_head) and isinstance(positions, int)):
        return None
    tied = bool(config.get("tie_word_embeddings", family.tied))
    return ModelSize(shape, d_model, d_head, d_mlp, vocabulary, family.gated, tied, positions)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


# d_model, d_mlp, vocabulary, gated, tied and learned positions, from the models' published
# config.json files; layers and heads are in KNOWN_SHAPES.
_KNOWN: dict[str, tuple[int, int, int, bool, bool, int]] = {
    "gpt2": (768, 3072, 50257, False, True, 1024),
    "gpt2-small": (768, 3072, 50257, False, True, 1024),
    "gpt2-medium": (1024, 4096, 50257, False, True, 1024),
    "gpt2-large": (1280, 5120, 50257, False, True, 1024),
    "gpt2-xl": (1600, 6400, 50257, False, True, 1024),
    "distilgpt2": (768, 3072, 50257, False, True, 1024),
    "gpt-neo-125m": (768, 3072, 50257, False, True, 2048),
    "gpt-neo-1.3b": (2048, 8192, 50257, False, True, 2048),
    "gpt-j-6b": (4096, 16384, 50400, False, False, 0),
    "pythia-14m": (128, 512, 50304, False, False, 0),
    "pythia-70m": (512, 2048, 50304, False, False, 0),
    "pythia-160m": (768, 3072, 50304, False, False, 0),
    "pythia-410m": (1024, 4096, 50304, False, False, 0),
    "pythia-1b": (2048, 8192, 50304, False, False, 0),
    "pythia-1.4b": (2048, 8192, 50304, False, False, 0),
    "pythia-2.8b": (2560, 10240, 50304, False, False, 0),
    "pythia-6.9b": (4096, 16384, 50432, False, False, 0),
    "smollm2-135m": (576, 1536, 49152, True, True, 0),
    "smollm2-135m-instruct": (576, 1536, 49152, True, True, 0),
    "smollm2-360m": (960, 2560, 49152, True, True, 0),
    "smollm2-360m-instruct": (960, 2560, 49152, True, True, 0),
    "smollm2-1.7b": (2048, 8192, 49152, True, True, 0),
    "qwen2.5-0.5b": (896, 4864, 151936, True, True, 0),
    "qwen2.5-1.5b": (1536, 8960, 151936, True, True, 0),
    "llama-3.2-1b": (2048, 8192, 128256, True, True, 0),
    "llama-3.2-3b": (3072, 8192, 128256, True, True, 0),
    "llama-3.1-8b": (4096, 14336, 128256, True, False, 0),
    "llama-2-7b-hf": (4096, 11008, 32000, True, False, 0),
    "mistral-7b-v0.1": (4096, 14336, 32000, True, False, 0),
    **{
        f"attn_only_{layers}l512w_c4_code": (512, 2048, 48262, False, False, 1024)
        for layers in range(1, 5)
    },
}
