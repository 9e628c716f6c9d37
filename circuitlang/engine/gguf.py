"""GGUF files become Hugging Face folders with safetensors, once, in the user's cache."""

import contextlib
import hashlib
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from circuitlang.engine.errors import ModelError, one_line
from circuitlang.engine.quiet import quiet
from circuitlang.models import cache_folder

# What a config says of the GGUF file itself and not of the model in it.
_OF_THE_FILE = ("quantization_config", "_name_or_path", "dtype", "torch_dtype")


def gguf_folder(path: Path) -> Path:
    """The converted folder of a GGUF file, converting it the first time.

    Raises:
        ModelError: there is no such file, or it cannot be converted.
    """
    digest = _sha256(path)
    folder = cache_folder() / "models" / f"gguf-{digest[:16]}"
    if not _is_complete(folder):
        convert(path, folder, {"gguf_sha256": digest})
    return folder


def convert(path: Path, folder: Path, facts: dict[str, Any]) -> None:
    """Write a GGUF file's weights (dequantised to float32) and tokenizer as a folder.

    The folder appears whole or not at all; ``facts`` go into its `complete.json`.

    Raises:
        ModelError: the file's architecture or quantisation is not supported, or the cache cannot
            be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            out = Path(scratch) / "folder"
            # The GGUF reader draws a bar that has no switch.
            with quiet(), contextlib.redirect_stderr(io.StringIO()):
                _convert(path, out)
            (out / "complete.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
            _publish(out, folder)
    except OSError as error:
        raise ModelError(f"cannot write the cache {folder.parent}: {one_line(error)}") from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise ModelError(f"`{path}` is not a GGUF file")
            stream.seek(0)
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ModelError(f"there is no GGUF file `{path}`") from error
    except OSError as error:
        raise ModelError(f"cannot read `{path}`: {error.strerror}") from error


def _is_complete(folder: Path) -> bool:
    return (folder / "complete.json").is_file()


def _publish(out: Path, folder: Path) -> None:
    """Move a finished folder to its place; another process may have been faster."""
    if _is_complete(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        out.rename(folder)
    except OSError:
        if not _is_complete(folder):
            raise


def _convert(path: Path, out: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where, name = str(path.resolve().parent), path.name
    try:
        loaded, info = AutoModelForCausalLM.from_pretrained(
            where, gguf_file=name, dtype=torch.float32, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name)
        _mend_digits(tokenizer, path)
    except Exception as error:
        # The reader and the converters raise many types; the user needs one line.
        raise ModelError(f"`{name}` could not be converted: {one_line(error)}") from error
    if lacking := sorted(info["missing_keys"]):
        # transformers would have drawn them at random.
        raise ModelError(f"`{name}` is incomplete: it lacks {lacking[0]}")
    # A model loaded from GGUF refuses to be saved, so its weights move into a fresh one.
    settings = loaded.config.to_dict()
    config = AutoConfig.for_model(**{k: v for k, v in settings.items() if k not in _OF_THE_FILE})
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fresh.load_state_dict(loaded.state_dict())
    fresh.save_pretrained(out)
    tokenizer.save_pretrained(out)


def _mend_digits(tokenizer: Any, path: Path) -> None:  # noqa: ANN401 - transformers is untyped
    """Restore the digit splitting of SmolLM tokenizers, which the GGUF reader forgets."""
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    field = GGUFReader(str(path)).fields.get("tokenizer.ggml.pre")
    if field is None or field.contents() != "smollm":
        return
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
