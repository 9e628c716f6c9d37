"""Loading the model that a circuit file names; every failure is one line that says what to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from circuitlang import __version__
from circuitlang.circuit import ModelReference
from circuitlang.engine.errors import MissingExtraError, ModelError, one_line
from circuitlang.engine.folder import (
    architecture_of,
    check_folder,
    weights_sha256,
)
from circuitlang.engine.locating import locate_model, tokenizer_folder
from circuitlang.engine.quiet import quiet
from circuitlang.engine.tl_checkpoint import boot_tl_checkpoint, is_tl_config
from circuitlang.engine.tokenizer import FastTokenizer, Tokenizer
from circuitlang.models import ModelSize, size_of_folder

_LIBRARIES = ("torch", "transformers", "transformer-lens", "numpy")


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A transformer ready to run, with what a report must say about it.

    ``size`` is None for a family whose `config.json` is not understood. ``ungrouped``: how many
    query heads shared a key/value head before each got its own; 1 where none did, or still do.
    """

    transformer: Any
    tokenizer: Tokenizer
    name: str
    architecture: str
    revision: str | None
    weights: str
    weights_sha256: str | None
    versions: dict[str, str]
    size: ModelSize | None = None
    key_values: str = "shared"
    ungrouped: int = 1

    def check_vocabulary(self, prompts: Iterable[Sequence[int]]) -> None:
        """Whether the model has every one of these token ids.

        Raises:
            ModelError: the tokenizer and the model do not belong together.
        """
        if (
            max((max(ids, default=0) for ids in prompts), default=0)
            >= self.transformer.bridge.cfg.d_vocab
        ):
            raise ModelError(
                f"the tokenizer of `{self.name}` has tokens that the model does not have"
            )


def load_transformer(reference: ModelReference, device: str = "cpu") -> LoadedModel:
    """Load a model and its tokenizer.

    Raises:
        MissingExtraError: torch or TransformerLens is not installed.
        ModelError: the model is missing, incomplete, or of an architecture that is not supported.
    """
    require_run_extra()
    folder, revision = locate_model(reference)
    config = check_folder(folder, str(reference))
    architecture = architecture_of(config)
    with quiet():
        bridge, known, ungrouped = _boot(folder, reference, device, config)
        _process(bridge, reference, architecture)
        transformer = _transformer(bridge, str(reference), architecture)
        _check_bridge(transformer, known, reference)
    return LoadedModel(
        transformer=transformer,
        tokenizer=_tokenizer(folder, bridge),
        name=str(reference),
        architecture=architecture,
        revision=revision,
        weights=reference.weights,
        weights_sha256=weights_sha256(folder, str(reference)),
        versions={"circuitlang": __version__} | {name: version(name) for name in _LIBRARIES},
        size=_size(folder, reference),
        key_values=reference.key_values,
        ungrouped=ungrouped,
    )


def _size(folder: Path, reference: ModelReference) -> ModelSize | None:
    size = size_of_folder(folder)
    return size.ungrouped() if size and reference.key_values == "ungrouped" else size


def require_run_extra() -> None:
    """Say how to get the `run` extra when it is missing.

    Raises:
        MissingExtraError: always with the command to run.
    """
    missing = [n for n in ("torch", "transformers", "transformer_lens") if not _is_installed(n)]
    if missing:
        raise MissingExtraError(
            f"running experiments needs {', '.join(missing)}: install the extra with "
            "`pip install 'circuitclaims[run]'` (in a checkout: `pip install '.[run]'`)"
        )


def _is_installed(name: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # an import that something else has forbidden
        return False


def _boot(
    folder: Path, reference: ModelReference, device: str, config: dict[str, Any]
) -> tuple[Any, tuple[Any, Any], int]:
    """The bridge, the probe with the model's own logits from before it was changed in any way, and
    how many query heads of a group were ungrouped.

    TransformerLens's own checkpoints have no model of their own but the bridge, and no groups.
    """
    _check_device(device)
    if is_tl_config(config):
        bridge = boot_tl_checkpoint(folder, config, reference, device)
        return bridge, _logits(bridge, config["n_ctx"], config["d_vocab"]), 1
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES
    from transformer_lens.model_bridge import TransformerBridge

    from circuitlang.engine.ungrouping import ungroup

    name, architecture = str(reference), architecture_of(config)
    if architecture not in SUPPORTED_ARCHITECTURES:
        raise ModelError(
            f"`{name}` has the architecture {architecture}, which TransformerLens does not support"
        )
    model = _decoder(folder, reference, architecture).to(device)
    try:
        text = model.config.get_text_config()
        context = getattr(text, "max_position_embeddings", None)
        known = _logits(model, context, text.vocab_size)
        ungrouped = ungroup(model, name) if reference.key_values == "ungrouped" else 1
        bridge = TransformerBridge.boot_transformers(
            str(folder), hf_model=model, device=device, dtype=model.dtype
        )
    except ModelError:
        raise
    except Exception as error:
        # TransformerLens and transformers raise many types here; the user needs one line.
        raise ModelError(f"`{name}` could not be loaded: {one_line(error)}") from error
    return bridge, known, ungrouped


def _process(bridge: Any, reference: ModelReference, architecture: str) -> None:  # noqa: ANN401
    """Fold the weights where the file says so."""
    if reference.weights == "folded":
        try:
            bridge.enable_compatibility_mode()
        except Exception as error:
            raise ModelError(
                f"the weights of `{reference}` ({architecture}) cannot be folded: "
                f"{one_line(error)}; write `weights plain`"
            ) from error


def _logits(model: Any, context: int | None, vocabulary: int) -> tuple[Any, Any]:  # noqa: ANN401
    """A probe ``[1, pos]``, and what an unchanged model says at its end: logits ``[1, vocab]``.

    The probe has at most 12 distinct tokens from all over the vocabulary.
    """
    import torch

    length = min(12, context or 12)
    device = next(model.parameters()).device
    probe = torch.arange(1, length + 1, device=device)[None] * vocabulary // (length + 1)
    with torch.no_grad():
        found = model(probe)
        return probe, getattr(found, "logits", found)[:, -1]


def _check_bridge(
    transformer: Any,  # noqa: ANN401
    known: tuple[Any, Any],
    reference: ModelReference,
) -> None:
    """Whether the bridged model is the model: all experiments run on the bridge alone.

    Compared are log probabilities, because folded weights shift all logits of a position.

    Raises:
        ModelError: it computes something else, so that no number would be about the model.
    """
    from circuitlang.engine.self_checks import bridging_tolerance

    probe, own = known
    bridged = transformer.run(probe).logits[:, : own.shape[-1]]
    gap = (bridged.log_softmax(-1) - own.log_softmax(-1)).abs().max()
    transformer.passes = transformer.fired = 0
    if not float(gap) <= bridging_tolerance(transformer, own):
        raise ModelError(
            f"TransformerLens does not run `{reference}` as published: log probabilities differ "
            f"by {float(gap):.2g}, and no measurement would be about the model"
        )


def _decoder(folder: Path, reference: ModelReference, architecture: str) -> Any:  # noqa: ANN401
    """The model with all of its weights: transformers itself would draw missing ones at random."""
    import torch
    from transformers import AutoModelForCausalLM

    name = str(reference)
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, reference.dtype),
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        raise ModelError(f"`{name}` could not be loaded: {one_line(error)}") from error
    if type(model).__name__ != architecture:
        raise ModelError(
            f"`{name}` is a {architecture}; only decoders that predict the next token are supported"
        )
    if lacking := sorted(info["missing_keys"]):
        more = f" and {len(lacking) - 1} more" if lacking[1:] else ""
        raise ModelError(f"`{name}` is incomplete: its weight files lack {lacking[0]}{more}")
    return model


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except Exception as error:
        # Each backend has its own error; none of them says which option was wrong.
        raise ModelError(f"cannot use the device `{device}`: {one_line(error, 160)}") from error


def _transformer(bridge: Any, name: str, architecture: str) -> Any:  # noqa: ANN401
    """The model behind the engine's operations, each of which is tried once.

    TransformerLens also loads encoders and models without attention heads; path patching has no
    meaning there, and saying so now beats failing in the middle of an experiment.
    """
    from circuitlang.engine.transformer import Transformer

    try:
        transformer = Transformer(bridge)
        _try_out(transformer)
    except Exception as error:
        raise ModelError(
            f"`{name}` ({architecture}) has no parts that can be patched as a decoder's heads and "
            f"MLPs: {one_line(error, 160)}"
        ) from error
    return transformer


def _try_out(transformer: Any) -> None:  # noqa: ANN401
    import torch

    from circuitlang.circuit import Slot

    layer = transformer.shape.layers - 1
    site = transformer.input_site(layer, mlp=False)
    slots = [transformer.slot_site(layer, slot) for slot in Slot]
    tokens = torch.zeros((1, 2), dtype=torch.long, device=transformer.device)
    residual = transformer.run(tokens, (site, *slots))[site]
    for slot in Slot:
        value = transformer.project(layer, slot, residual)
    transformer.head_write(layer, 0, value[:, :, 0])
    if transformer.shape.mlps:
        transformer.mlp(layer, residual)
    transformer.read_out(residual)
    transformer.passes = transformer.fired = 0


def _tokenizer(folder: Path, bridge: Any) -> Tokenizer:  # noqa: ANN401
    """The model's `tokenizer.json`, as `check --tokens` reads it; else what the bridge has."""
    try:
        return FastTokenizer.from_folder(tokenizer_folder(folder))
    except FileNotFoundError:
        backend = getattr(bridge.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"{folder} has no fast tokenizer, and only those tell where a token stands"
        )
    return FastTokenizer(backend)
