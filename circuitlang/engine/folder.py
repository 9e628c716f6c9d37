"""Whether a Hugging Face folder can be loaded, told without torch and before anything is loaded."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

from circuitlang.engine.errors import ModelError
from circuitlang.engine.tl_checkpoint import (
    ARCHITECTURE,
    check_tl_config,
    is_tl_config,
    tl_weight_file,
)

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_LONGEST_HEADER = 100_000_000


def check_folder(folder: Path, name: str) -> dict[str, Any]:
    """The folder's config, after checking that every file that loading needs is there and whole.

    Of TransformerLens's own checkpoints the weights are looked into only when they are loaded.

    Raises:
        ModelError: a file is missing, broken or cut off; pickled weights are refused.
    """
    config = _json_object(folder / "config.json", name)
    if is_tl_config(config):
        check_tl_config(config, name)
        tl_weight_file(folder, name)
        return config
    if not is_names(config.get("architectures")):
        raise ModelError(f"`{name}`: config.json names no architecture")
    for file in sorted(weight_files(folder, name)):
        _check_safetensors(folder / file, name)
    if not any((folder / file).is_file() for file in _TOKENIZERS):
        raise ModelError(f"`{name}` is incomplete: there is no tokenizer.json in {folder}")
    return config


def architecture_of(config: dict[str, Any]) -> str:
    """The class of the model that a checked config describes."""
    return ARCHITECTURE if is_tl_config(config) else str(config["architectures"][0])


def tokenizer_source(folder: Path) -> str | None:
    """The hub's name of the tokenizer that a model's folder leaves to another repository."""
    if any((folder / file).is_file() for file in _TOKENIZERS):
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    named = config.get("tokenizer_name") if isinstance(config, dict) else None
    return named if isinstance(named, str) and is_tl_config(config) else None


def is_names(value: object) -> bool:
    """Whether a JSON value is a list of at least one name."""
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def weight_files(folder: Path, name: str) -> set[str]:
    """Names of the files that hold a Hugging Face model's weights; each of them is there.

    Raises:
        ModelError: one is missing, or there are none but pickles.
    """
    files = _named_by_index(folder, name) if (folder / _INDEX).is_file() else {_SINGLE}
    missing = sorted(file for file in files if not (folder / file).is_file())
    if not missing:
        return files
    if not any(folder.glob("*.safetensors")) and any(
        path.suffix in (".bin", ".pt", ".pth") for path in folder.iterdir()
    ):
        raise ModelError(
            f"`{name}` has pickled weights only; loading them could run code, so safetensors "
            "are required"
        )
    shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if missing[3:] else "")
    are = "is" if len(missing) == 1 else "are"
    raise ModelError(f"`{name}` is incomplete: {shown} {are} missing from {folder}")


def weights_sha256(folder: Path, name: str) -> str:
    """One hash over the weight files, names included."""
    digest = hashlib.sha256()
    is_own = is_tl_config(_json_object(folder / "config.json", name))
    files = {tl_weight_file(folder, name).name} if is_own else weight_files(folder, name)
    for file in sorted(files):
        digest.update(file.encode())
        with (folder / file).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _named_by_index(folder: Path, name: str) -> set[str]:
    weight_map = _json_object(folder / _INDEX, name).get("weight_map")
    files = list(weight_map.values()) if isinstance(weight_map, dict) else []
    # A name with a folder in it could point anywhere on the disk.
    if not is_names(files) or any(Path(file).name != file for file in files):
        raise ModelError(f"`{name}` is broken: {_INDEX} has no weight map")
    return set(files)


def _json_object(path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        message = f"`{name}` is incomplete: there is no {path.name} in {path.parent}"
        raise ModelError(message) from error
    except OSError as error:
        raise ModelError(f"`{name}`: cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"`{name}` is broken: {path} is not JSON") from error
    if not isinstance(found, dict):
        raise ModelError(f"`{name}` is broken: {path} is not a JSON object")
    return found


def _check_safetensors(path: Path, name: str) -> None:
    """Compare a file's size with what its header promises; a cut-off download is found so."""
    try:
        expected, size = _promised_size(path), path.stat().st_size
    except OSError as error:
        raise ModelError(f"`{name}`: cannot read {path}: {error.strerror}") from error
    except (
        ValueError,
        RecursionError,
        LookupError,
        TypeError,
        AttributeError,
        struct.error,
    ) as error:
        raise ModelError(f"`{name}` is broken: {path} is not a safetensors file") from error
    if size != expected:
        raise ModelError(
            f"`{name}` is broken: {path} has {size:,} bytes, its header promises {expected:,}"
        )


def _promised_size(path: Path) -> int:
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > _LONGEST_HEADER:
            raise ValueError("the header is too long")
        header = json.loads(stream.read(length))
    ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
    return 8 + int(length) + max(ends, default=0)
