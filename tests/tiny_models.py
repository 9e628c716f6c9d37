"""Small Hugging Face folders of random models, for tests that load a model as a user does.

Weights are seeded and larger than a fresh model's, so that every head moves the logits. The
tokenizer knows one token a word: the built-in word lists and the words of the templates below.
"""

import json
from pathlib import Path
from typing import Any

from circuitlang.circuit.words import BUILTIN_WORDS

UNKNOWN = "<|unk|>"
END_OF_TEXT = "<|endoftext|>"
TEMPLATES = (
    "When {IO} and {S} went to the {PLACE}, {S} gave a {OBJECT} to",
    "When {S} and {IO} went to the {PLACE}, {S} gave a {OBJECT} to",
    "Then, {IO} and {S} had a long argument, and afterwards {S} said to",
    "The {PLACE} was closed. {S} and {IO} left, and {S} handed the {OBJECT} to",
)
PASSING_EDGES = "A ~> B.V in -900 logits..900 logits\n  B -> logits in -900 logits..900 logits"
"""Edges that every model passes: the effects are measured, and any size of them will do."""
_SCALE = 0.35
_CONTEXT = 64


def vocabulary() -> dict[str, int]:
    """Token ids by word: special tokens, punctuation, template words, then the word lists."""
    literal = " ".join(TEMPLATES).translate(str.maketrans(dict.fromkeys("{},.", " ")))
    words = [UNKNOWN, END_OF_TEXT, ",", ".", *literal.split()]
    words += [word for group in BUILTIN_WORDS.values() for word in group]
    words += ["park", "office", "drink", "book", "ring", "Peter"]
    return {word: number for number, word in enumerate(dict.fromkeys(words))}


def write_tokenizer(folder: Path) -> None:
    """A word-level tokenizer as `tokenizer.json` and `tokenizer_config.json`."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel(vocabulary(), unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": UNKNOWN,
        "eos_token": END_OF_TEXT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def tiny_gpt2(
    folder: Path, layers: int = 3, heads: int = 4, d_model: int = 32, seed: int = 0
) -> Path:
    """GPT-2: learned positions, LayerNorm, biases everywhere, serial blocks."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_layer=layers, n_head=heads, n_embd=d_model, n_positions=_CONTEXT, **_special_tokens()
    )
    return _write(GPT2LMHeadModel(config), folder, seed)


def tiny_llama(folder: Path, layers: int = 2, seed: int = 0) -> Path:
    """Llama: rotary positions, RMSNorm, nine query heads that share three key/value heads."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        hidden_size=36,
        intermediate_size=40,
        max_position_embeddings=_CONTEXT,
        **_special_tokens(),
    )
    return _write(LlamaForCausalLM(config), folder, seed)


def tiny_neox(folder: Path, layers: int = 2, seed: int = 0) -> Path:
    """GPT-NeoX: attention and MLP of a block read the same residual stream."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        num_hidden_layers=layers,
        num_attention_heads=4,
        hidden_size=32,
        intermediate_size=40,
        max_position_embeddings=_CONTEXT,
        **_special_tokens(),
    )
    return _write(GPTNeoXForCausalLM(config), folder, seed)


def circuit_text(
    model: str,
    *,
    sample: int = 8,
    edges: str = PASSING_EDGES,
    claims: str = "",
    more: str = "",
) -> str:
    """A circuit file over the tiny tokenizer's words; ``model`` is everything after `model`."""
    block = f"claims {{\n  {claims}\n}}\n" if claims else ""
    return f"""circuit tiny "A tiny model"

model {model}

prompts {{
  clean   "{TEMPLATES[0]}"
  clean   "{TEMPLATES[1]}"
  corrupt IO = fresh, S1 = fresh, S2 = fresh
  IO, S   from names
  PLACE   from places
  OBJECT  from objects
  sample  {sample} seed 0
}}

metric logit_diff(IO, S)

nodes {{
  A  L0.H1, L0.H2  at S2
  B  L1.H0, L1.H3  at END
}}

edges {{
  {edges}
}}
{block}{more}"""


def _special_tokens() -> dict[str, int]:
    words = vocabulary()
    end = words[END_OF_TEXT]
    return {"vocab_size": len(words), "bos_token_id": end, "eos_token_id": end}


def _write(model: Any, folder: Path, seed: int) -> Path:
    """Redraw the weights, then save model and tokenizer."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            # Norm weights stay near one; everything else becomes large enough to matter.
            is_norm = parameter.dim() == 1 and bool((parameter == 1).all())
            parameter.copy_(1 + 0.1 * noise if is_norm else _SCALE * noise)
    write_tokenizer(folder)
    model.save_pretrained(folder)
    return folder
