"""TransformerLens's own checkpoints: a config in its words, and a state dict of its parameters.

Toy and attention-only models (`NeelNanda/Attn_Only_2L512W_C4_Code` and its kin) are published so:
`config.json` with `n_layers`, `n_heads`, `d_vocab`..., weights in one `*final.pth`, and the name of
the repository that has the tokenizer.
"""

from pathlib import Path
from typing import Any

from circuitlang.circuit import ModelReference
from circuitlang.engine.errors import ModelError, one_line

ARCHITECTURE = "TransformerLens"
WEIGHTS = "*final.pth"
"""The finished weights; checkpoints of the training lie in a folder of their own."""

_SIZES = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "n_ctx", "d_vocab")


def is_tl_config(config: dict[str, Any]) -> bool:
    """Whether a `config.json` is written in TransformerLens's words."""
    return "architectures" not in config and set(_SIZES) <= config.keys()


def check_tl_config(config: dict[str, Any], name: str) -> None:
    """Whether a model of this config is one that can be run.

    Raises:
        ModelError: it is not, with what stands in the way.
    """
    for key in _SIZES:
        if type(config[key]) is not int or config[key] < 1:
            raise ModelError(f"`{name}` is broken: config.json has no number for {key}")
    layout = config.get("architecture", "neel")
    if config.get("shortformer_pos"):
        why = "positions are added to queries and keys alone (shortformer)"
    elif layout != "neel" or name.endswith("_old"):
        why = f"weights are in an older layout (`{layout}`)"
    else:
        return
    raise ModelError(f"`{name}` cannot be run: {why}, which TransformerLens's bridge does not do")


def tl_weight_file(folder: Path, name: str) -> Path:
    """The file with the weights.

    Raises:
        ModelError: there is none, or there are several.
    """
    found = sorted(folder.glob(WEIGHTS))
    if len(found) == 1:
        return found[0]
    how_many = f"{len(found)} files" if found else "no file"
    raise ModelError(f"`{name}` is incomplete: {how_many} {WEIGHTS} in {folder}")


def boot_tl_checkpoint(
    folder: Path,
    config: dict[str, Any],
    reference: ModelReference,
    device: str,
) -> Any:  # noqa: ANN401 - TransformerBridge is untyped
    """A bridge with the checkpoint's weights, every one of them used.

    Only tensors are unpickled, so that no code in the file can run.

    Raises:
        ModelError: the weights are broken, or others than the config promises.
    """
    import torch
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    name, dtype = str(reference), getattr(torch, reference.dtype)
    try:
        settings = TransformerBridgeConfig(
            **{key: config[key] for key in _SIZES},
            act_fn=config.get("act_fn"),
            attn_only=bool(config.get("attn_only", False)),
            final_rms=bool(config.get("final_rms", False)),
            normalization_type=config.get("normalization", config.get("normalization_type")),
            positional_embedding_type="standard",
            architecture="TransformerLensNative",
        )
        bridge = TransformerBridge.boot_native(settings, device=device, dtype=dtype)
        file = tl_weight_file(folder, name)
        stored = torch.load(file, map_location=device, weights_only=True)
        weights = convert_tl_checkpoint({key: w.to(dtype) for key, w in stored.items()}, settings)
        # Some repositories leave the bias of the unembedding out where it is zero.
        weights.setdefault(
            "unembed.bias", torch.zeros(settings.d_vocab, dtype=dtype, device=device)
        )
        bridge.load_state_dict(weights, strict=True)
    except ModelError:
        raise
    except Exception as error:
        # torch and TransformerLens raise many types here; the user needs one line.
        raise ModelError(f"`{name}` could not be loaded: {one_line(error)}") from error
    return bridge
