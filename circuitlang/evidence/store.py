"""Evidence on disk: one JSON file, written whole or not at all."""

import os
import stat
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
    """Write a text file so that a reader sees the old one or the new one, never a part.

    A link keeps pointing where it did, a file keeps its mode, and what is no regular file (a
    device, a pipe) is simply written to.
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".circuitlang-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
