"""A Llama of a few kilobytes as a GGUF file, written as llama.cpp's converter writes one."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitlang.circuit.words import BUILTIN_WORDS
from tests.tiny_models import TEMPLATES
from tests.tiny_tokenizers import bpe

LAYERS, HEADS, KV_HEADS, D_MODEL, D_MLP, CONTEXT = 2, 4, 2, 16, 24, 64
_D_HEAD = D_MODEL // HEADS

Weights = dict[str, NDArray[np.float32]]


def pieces() -> tuple[str, ...]:
    """Every word of the templates and lists, with the space before it."""
    literal = " ".join(TEMPLATES).translate(str.maketrans(dict.fromkeys("{},.", " "))).split()
    words = [word for group in BUILTIN_WORDS.values() for word in group]
    return tuple(f" {word}" for word in dict.fromkeys([*literal, *words]))


def weights(vocabulary: int, seed: int = 0) -> Weights:
    """Random weights by their Hugging Face names."""
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, D_MODEL),
        "model.norm.weight": (D_MODEL,),
        "lm_head.weight": (vocabulary, D_MODEL),
    }
    for layer in range(LAYERS):
        block = f"model.layers.{layer}"
        shapes |= {
            f"{block}.input_layernorm.weight": (D_MODEL,),
            f"{block}.post_attention_layernorm.weight": (D_MODEL,),
            f"{block}.self_attn.q_proj.weight": (D_MODEL, D_MODEL),
            f"{block}.self_attn.k_proj.weight": (KV_HEADS * _D_HEAD, D_MODEL),
            f"{block}.self_attn.v_proj.weight": (KV_HEADS * _D_HEAD, D_MODEL),
            f"{block}.self_attn.o_proj.weight": (D_MODEL, D_MODEL),
            f"{block}.mlp.gate_proj.weight": (D_MLP, D_MODEL),
            f"{block}.mlp.up_proj.weight": (D_MLP, D_MODEL),
            f"{block}.mlp.down_proj.weight": (D_MODEL, D_MLP),
        }
    return {
        name: (0.4 * random.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.layers": "blk",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def tiny_gguf(
    path: Path, *, architecture: str = "llama", without: str = "", seed: int = 0
) -> Weights:
    """Write a file and return its weights; ``without`` leaves one tensor out."""
    import gguf

    tokens, merges = bpe(pieces())
    tokens = [*tokens, "<|endoftext|>"]
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(D_MODEL)
    writer.add_feed_forward_length(D_MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_D_HEAD)
    writer.add_vocab_size(len(tokens))
    _add_tokenizer(writer, tokens, merges)
    found = weights(len(tokens), seed)
    for name, value in found.items():
        if name != without:
            writer.add_tensor(_gguf_name(name), _interleaved(name, value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return found


def _add_tokenizer(writer: Any, tokens: list[str], merges: list[tuple[str, str]]) -> None:
    normal, control = 1, 3
    last = len(tokens) - 1
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([*[normal] * last, control])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(last)
    writer.add_eos_token_id(last)


def _gguf_name(name: str) -> str:
    for ours, theirs in _NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _interleaved(name: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of Q and K in the order that llama.cpp's rotary embedding wants."""
    heads = {"q_proj": HEADS, "k_proj": KV_HEADS}
    count = next((n for part, n in heads.items() if part in name), None)
    if count is None:
        return value
    halves = value.reshape(count, 2, _D_HEAD // 2, D_MODEL)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(value.shape))
