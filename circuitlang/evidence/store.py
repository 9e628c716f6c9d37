"""Evidence on disk: one JSON file, written whole or not at all."""

import os
import tempfile
from pathlib import Path

from circuitlang.evidence.evidence import Evidence


def save_evidence(evidence: Evidence, path: Path) -> None:
    """Write the evidence as JSON, replacing the file only when all of it is on the disk."""
    write_whole(path, evidence.model_dump_json(indent=1) + "\n")


def load_evidence(path: Path) -> Evidence:
    """Read evidence back.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not evidence (pydantic's ValidationError is one).
    """
    return Evidence.model_validate_json(path.read_text(encoding="utf-8"))


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, never a part."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
