"""Loading the model that a circuit file names; every failure is one line that says what to do."""

import contextlib
import hashlib
import json
import logging
import os
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from circuitlang.circuit import ModelReference
from circuitlang.engine.errors import MissingExtraError, ModelError
from circuitlang.engine.hub import hub_snapshot
from circuitlang.engine.tokens import FastTokenizer, Tokenizer
from circuitlang.models import builtin_folder, find_obtainable

_LIBRARIES = ("torch", "transformers", "transformer-lens", "numpy")


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A transformer ready to run, with what a report must say about it."""

    transformer: Any
    tokenizer: Tokenizer
    name: str
    architecture: str
    revision: str | None
    weights: str
    weights_sha256: str | None
    versions: dict[str, str]


def locate_model(reference: ModelReference) -> tuple[Path, str | None]:
    """The Hugging Face folder of a model, brought into the cache if need be, and its commit.

    Raises:
        ModelError: there is no such model, or it cannot be brought.
    """
    if reference.kind == "builtin":
        folder = builtin_folder(reference.name)
        if folder is None:
            raise ModelError(f"there is no built-in model `{reference.name}`")
        return folder, None
    if reference.kind == "gguf":
        from circuitlang.engine.gguf import gguf_folder

        return gguf_folder(Path(reference.name)), None
    obtainable = find_obtainable(reference.name)
    if obtainable is not None:
        if not obtainable.is_ready:
            raise ModelError(
                f"`{obtainable.name}` is not here yet: run `circuitlang models get "
                f"{obtainable.name}` (about {obtainable.megabytes} MB)"
            )
        return obtainable.folder, None
    folder = Path(reference.name)
    if folder.is_dir():
        return folder, None
    if reference.name.startswith((".", "/", "~")):
        raise ModelError(f"there is no folder `{reference.name}`")
    return hub_snapshot(reference.name, reference.revision)


def load_transformer(reference: ModelReference, device: str = "cpu") -> LoadedModel:
    """Load a model and its tokenizer.

    Raises:
        MissingExtraError: torch or TransformerLens is not installed.
        ModelError: the model is missing, incomplete, or of an architecture that is not supported.
    """
    require_run_extra()
    folder, revision = locate_model(reference)
    config = check_folder(folder, str(reference))
    bridge = _boot(folder, reference, device, config)
    from circuitlang.engine.transformer import Transformer

    return LoadedModel(
        transformer=Transformer(bridge),
        tokenizer=_tokenizer(folder, bridge),
        name=str(reference),
        architecture=config["architectures"][0],
        revision=revision,
        weights=reference.weights,
        weights_sha256=_sha256_of_weights(folder),
        versions={name: version(name) for name in _LIBRARIES},
    )


def require_run_extra() -> None:
    """Say how to get the `run` extra when it is missing.

    Raises:
        MissingExtraError: always with the command to run.
    """
    from importlib.util import find_spec

    missing = [n for n in ("torch", "transformers", "transformer_lens") if find_spec(n) is None]
    if missing:
        raise MissingExtraError(
            f"running experiments needs {', '.join(missing)}: install the extra with "
            "`pip install 'circuitclaims[run]'` (in a checkout: `pip install '.[run]'`)"
        )


def check_folder(folder: Path, name: str) -> dict[str, Any]:
    """The folder's config, after checking that every file that loading needs is there.

    Raises:
        ModelError: a file is missing or broken; pickled weights are refused.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"`{name}` is incomplete: there is no config.json in {folder}") from error
    except ValueError as error:
        raise ModelError(f"`{name}` is broken: {folder / 'config.json'} is not JSON") from error
    if not isinstance(config, dict) or not config.get("architectures"):
        raise ModelError(f"`{name}`: config.json names no architecture")
    missing = sorted(f for f in _weight_files(folder, name) if not (folder / f).is_file())
    if missing:
        raise ModelError(
            f"`{name}` is incomplete: {', '.join(missing[:3])} "
            f"{'is' if len(missing) == 1 else 'are'} missing from {folder}"
        )
    return config


def _weight_files(folder: Path, name: str) -> set[str]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"`{name}` is broken: {index.name} is not a weight map") from error
    if (folder / "model.safetensors").is_file():
        return {"model.safetensors"}
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt*")):
        raise ModelError(
            f"`{name}` has pickled weights only; loading them could run code, so safetensors "
            "are required"
        )
    return {"model.safetensors"}


def _boot(folder: Path, reference: ModelReference, device: str, config: dict[str, Any]) -> Any:  # noqa: ANN401
    name = str(reference)
    with _quiet():
        import torch
        from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES
        from transformer_lens.model_bridge import TransformerBridge

        architecture = config["architectures"][0]
        if architecture not in SUPPORTED_ARCHITECTURES:
            raise ModelError(f"`{name}` has the architecture {architecture}, which TransformerLens "
                             "does not support")  # fmt: skip
        try:
            bridge = TransformerBridge.boot_transformers(
                str(folder), device=device, dtype=getattr(torch, reference.dtype)
            )
            if reference.weights == "folded":
                bridge.enable_compatibility_mode()
        except ModelError:
            raise
        except Exception as error:
            # TransformerLens and transformers raise many types here; the user needs one line.
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ModelError(f"`{name}` could not be loaded: {reason}") from error
    return bridge


def _tokenizer(folder: Path, bridge: Any) -> Tokenizer:  # noqa: ANN401
    backend = getattr(bridge.tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return FastTokenizer(backend)
    try:
        return FastTokenizer.from_folder(folder)
    except OSError as error:
        raise ModelError(f"{error}, and only fast tokenizers tell where a token stands") from error


def _sha256_of_weights(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _quiet() -> Any:  # noqa: ANN401 - a generator for contextmanager
    """Keep the libraries' own chatter off the terminal; errors still raise."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
