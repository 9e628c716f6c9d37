"""How many layers and heads a model has, from a table or from its `config.json`."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

BUILTIN_FOLDER = Path(__file__).resolve().parent / "builtin"


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes that a circuit file can be checked against without weights.

    ``kv_heads`` is smaller than ``heads`` under grouped-query attention. ``parallel`` marks blocks
    whose MLP reads the same residual stream as their attention (GPT-NeoX), so that a head cannot
    feed the MLP of its own layer. ``neurons`` of an MLP are None where they are not known; shapes
    that differ in this alone compare as equal.
    """

    layers: int
    heads: int
    kv_heads: int
    parallel: bool = False
    mlps: bool = True
    neurons: int | None = field(default=None, compare=False)

    def ungrouped(self) -> "ModelShape":
        """With a key and a value head for every query head."""
        return replace(self, kv_heads=self.heads)

    def group_of(self, head: int) -> tuple[int, ...]:
        """All query heads that share a head's keys and values."""
        size = self.heads // self.kv_heads
        first = head // size * size
        return tuple(range(first, first + size))


def _same(layers: int, heads: int, *, parallel: bool = False, mlps: bool = True) -> ModelShape:
    return ModelShape(layers, heads, heads, parallel, mlps)


# Sizes from the models' published config.json files.
KNOWN_SHAPES: dict[str, ModelShape] = {
    "gpt2": _same(12, 12),
    "gpt2-small": _same(12, 12),
    "gpt2-medium": _same(24, 16),
    "gpt2-large": _same(36, 20),
    "gpt2-xl": _same(48, 25),
    "distilgpt2": _same(6, 12),
    "gpt-neo-125m": _same(12, 12),
    "gpt-neo-1.3b": _same(24, 16),
    "gpt-j-6b": _same(28, 16, parallel=True),
    "pythia-14m": _same(6, 4, parallel=True),
    "pythia-70m": _same(6, 8, parallel=True),
    "pythia-160m": _same(12, 12, parallel=True),
    "pythia-410m": _same(24, 16, parallel=True),
    "pythia-1b": _same(16, 8, parallel=True),
    "pythia-1.4b": _same(24, 16, parallel=True),
    "pythia-2.8b": _same(32, 32, parallel=True),
    "pythia-6.9b": _same(32, 32, parallel=True),
    "smollm2-135m": ModelShape(30, 9, 3),
    "smollm2-135m-instruct": ModelShape(30, 9, 3),
    "smollm2-360m": ModelShape(32, 15, 5),
    "smollm2-360m-instruct": ModelShape(32, 15, 5),
    "smollm2-1.7b": _same(24, 32),
    "qwen2.5-0.5b": ModelShape(24, 14, 2),
    "qwen2.5-1.5b": ModelShape(28, 12, 2),
    "llama-3.2-1b": ModelShape(16, 32, 8),
    "llama-3.2-3b": ModelShape(28, 24, 8),
    "llama-3.1-8b": ModelShape(32, 32, 8),
    "llama-2-7b-hf": _same(32, 32),
    "mistral-7b-v0.1": ModelShape(32, 32, 8),
    **{f"attn_only_{n}l512w_c4_code": _same(n, 8, mlps=False) for n in range(1, 5)},
}


# Families whose attention and MLP read the same residual stream unless their config says otherwise.
_PARALLEL = frozenset({"cohere", "cohere2", "falcon", "gpt_neox", "gptj", "phi"})


def shape_of_name(name: str) -> ModelShape | None:
    """Shape of a well-known model, with or without its organisation (`openai-community/gpt2`)."""
    short = name.lower().rsplit("/", 1)[-1]
    return KNOWN_SHAPES.get(short) or KNOWN_SHAPES.get(short.removesuffix("-deduped"))


def _first(config: dict[str, Any], *names: str) -> Any:  # noqa: ANN401 - JSON
    """The first of several names under which families keep one size."""
    return next((config[name] for name in names if name in config), None)


def shape_of_folder(folder: Path) -> ModelShape | None:
    """Shape from a `config.json` of Hugging Face or TransformerLens.

    None when it is missing or says too little.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        layers = _first(config, "num_hidden_layers", "n_layer", "num_layers", "n_layers")
        heads = _first(config, "num_attention_heads", "n_head", "num_heads", "n_heads")
        kv_heads = config.get("num_key_value_heads") or heads
        if not all(isinstance(n, int) and n > 0 for n in (layers, heads, kv_heads)):
            return None
        if heads % kv_heads:
            return None
        parallel = config.get("model_type") in _PARALLEL
        # Two families leave the choice to a setting.
        parallel = bool(config.get("use_parallel_residual", config.get("parallel_attn", parallel)))
        mlps = config.get("attn_only") is not True
        return ModelShape(
            layers, heads, kv_heads, parallel, mlps, _neurons(config) if mlps else None
        )
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def _neurons(config: dict[str, Any]) -> int | None:
    """Of one MLP; None where a config leaves it to a default that is not known here."""
    found = _first(config, "intermediate_size", "n_inner", "d_mlp")
    if found is None and config.get("model_type") in ("gpt2", "gptj", "gpt_neo"):
        found = 4 * (_first(config, "n_embd", "hidden_size") or 0)
    return found if isinstance(found, int) and found > 0 else None


def builtin_names() -> tuple[str, ...]:
    """Names that `model builtin NAME` accepts; a name's hyphens are written as underscores."""
    if not BUILTIN_FOLDER.is_dir():
        return ()
    folders = (f for f in BUILTIN_FOLDER.iterdir() if (f / "config.json").is_file())
    return tuple(sorted(folder.name.replace("-", "_") for folder in folders))


def builtin_folder(name: str) -> Path | None:
    """Folder of a built-in model, or None when there is none of this name."""
    return BUILTIN_FOLDER / name.replace("_", "-") if name in builtin_names() else None
