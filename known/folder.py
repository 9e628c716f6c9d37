"""A wiring as a Hugging Face folder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from known.wiring import Wiring


def write_folder(wiring: "Wiring", folder: Path, dtype: str) -> Path:
    """Write config, weights and a tokenizer with one token a word."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    from known.wiring import CONTEXT, EPSILON

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: torch.tensor(array, dtype=getattr(torch, dtype)).contiguous()
        for name, array in wiring.tensors().items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    unknown, end = wiring.words[:2]
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "relu",
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "layer_norm_epsilon": EPSILON,
        "n_embd": wiring.d_model,
        "n_head": wiring.heads,
        "n_inner": wiring.neurons,
        "n_layer": wiring.layers,
        "n_positions": CONTEXT,
        "vocab_size": len(wiring.words),
        "bos_token_id": 1,
        "eos_token_id": 1,
        "tie_word_embeddings": False,
        "dtype": dtype,
    }
    _write_json(folder / "config.json", config)
    vocabulary = {word: number for number, word in enumerate(wiring.words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": unknown,
        "eos_token": end,
    }
    _write_json(folder / "tokenizer_config.json", settings)
    return folder


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
