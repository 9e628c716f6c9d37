"""GGUF files become Hugging Face folders with safetensors, once, in the user's cache."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from circuitlang.engine.errors import ModelError
from circuitlang.models import cache_folder


def gguf_folder(path: Path) -> Path:
    """The converted folder of a GGUF file, converting it the first time.

    Raises:
        ModelError: there is no such file, or it cannot be converted.
    """
    if not path.is_file():
        raise ModelError(f"there is no GGUF file `{path}`")
    with path.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise ModelError(f"`{path}` is not a GGUF file")
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    folder = cache_folder() / "models" / f"gguf-{digest[:16]}"
    if not (folder / "complete.json").is_file():
        convert(path, folder, {"gguf_sha256": digest})
    return folder


def convert(path: Path, folder: Path, facts: dict[str, Any]) -> None:
    """Write a GGUF file's weights (dequantised to float32) and tokenizer as a folder.

    The folder appears whole or not at all; ``facts`` go into its `complete.json`.

    Raises:
        ModelError: the file's architecture or quantisation is not supported.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        out = Path(scratch) / "folder"
        try:
            where, name = str(path.resolve().parent), path.name
            loaded = AutoModelForCausalLM.from_pretrained(
                where, gguf_file=name, dtype=torch.float32
            )
            tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name)
            # A model loaded from GGUF refuses to be saved, so its weights move into a fresh one.
            settings = {k: v for k, v in loaded.config.to_dict().items()
                        if k not in ("quantization_config", "_name_or_path")}  # fmt: skip
            config = AutoConfig.for_model(**settings)
            fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
            fresh.load_state_dict(loaded.state_dict())
            fresh.save_pretrained(out)
            _mend_digits(tokenizer, path)
            tokenizer.save_pretrained(out)
        except Exception as error:
            # The reader and the converters raise many types; the user needs one line.
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ModelError(f"`{path.name}` could not be converted: {reason}") from error
        (out / "complete.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        out.rename(folder)


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
