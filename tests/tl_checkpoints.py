"""Checkpoints in TransformerLens's own format, and what they compute by the definition."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CONTEXT = 64


def write_checkpoint(folder: Path, vocabulary: int, **changes: Any) -> dict[str, Tensor]:
    """Write `config.json` and `model_final.pth` of a random model, and return its weights."""
    config: dict[str, Any] = {
        "n_layers": 2, "d_model": 32, "n_heads": 4, "d_head": 8, "d_mlp": 48, "n_ctx": CONTEXT,
        "d_vocab": vocabulary, "act_fn": "gelu_new", "attn_only": True, "normalization": "LN",
        "shortformer_pos": False, "tokenizer_name": "someone/digits",
    } | changes  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    weights = _weights(config)
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(weights, folder / "model_final.pth")
    return weights


def _weights(config: dict[str, Any]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return 0.4 * torch.randn(shape, generator=generator)

    def norm(name: str) -> dict[str, Tensor]:
        if config["normalization"] != "LN":
            return {}
        return {f"{name}.w": 1 + draw(model), f"{name}.b": draw(model)}

    model, heads, size, mlp = (config[k] for k in ("d_model", "n_heads", "d_head", "d_mlp"))
    weights = {"embed.W_E": draw(config["d_vocab"], model), "pos_embed.W_pos": draw(CONTEXT, model)}
    for layer in range(config["n_layers"]):
        block = f"blocks.{layer}"
        weights |= norm(f"{block}.ln1")
        for slot in "QKV":
            weights[f"{block}.attn.W_{slot}"] = draw(heads, model, size)
            weights[f"{block}.attn.b_{slot}"] = draw(heads, size)
        weights[f"{block}.attn.W_O"] = draw(heads, size, model)
        weights[f"{block}.attn.b_O"] = draw(model)
        # Buffers that such files hold beside the weights.
        weights[f"{block}.attn.mask"] = torch.ones(CONTEXT, CONTEXT).tril().bool()
        weights[f"{block}.attn.IGNORE"] = torch.tensor(-1e5)
        if not config["attn_only"]:
            weights |= norm(f"{block}.ln2")
            weights[f"{block}.mlp.W_in"] = draw(model, mlp)
            weights[f"{block}.mlp.b_in"] = draw(mlp)
            weights[f"{block}.mlp.W_out"] = draw(mlp, model)
            weights[f"{block}.mlp.b_out"] = draw(model)
    return weights | norm("ln_final") | {"unembed.W_U": draw(model, config["d_vocab"])}


def logits(weights: dict[str, Tensor], tokens: Tensor, layers: int = 2) -> Tensor:
    """Logits ``[pos, vocab]`` of one prompt ``[pos]`` in float64, from the definition."""
    w = {name: value.double() for name, value in weights.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
        return x * w[f"{name}.w"] + w[f"{name}.b"] if f"{name}.w" in w else x

    length = len(tokens)
    stream = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][:length]
    future = torch.ones(length, length).triu(1).bool()
    for layer in range(layers):
        block = f"blocks.{layer}"
        read = norm(stream, f"{block}.ln1")
        query, key, value = (
            torch.einsum("pm,hmd->hpd", read, w[f"{block}.attn.W_{slot}"])
            + w[f"{block}.attn.b_{slot}"][:, None]
            for slot in "QKV"
        )
        scores = query @ key.mT / query.shape[-1] ** 0.5
        pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
        written = torch.einsum("hpd,hdm->pm", pattern @ value, w[f"{block}.attn.W_O"])
        stream = stream + written + w[f"{block}.attn.b_O"]
        if f"{block}.mlp.W_in" in w:
            read = norm(stream, f"{block}.ln2")
            inner = read @ w[f"{block}.mlp.W_in"] + w[f"{block}.mlp.b_in"]
            inner = torch.nn.functional.gelu(inner, approximate="tanh")
            stream = stream + inner @ w[f"{block}.mlp.W_out"] + w[f"{block}.mlp.b_out"]
    return norm(stream, "ln_final") @ w["unembed.W_U"] + w.get("unembed.b_U", 0)
