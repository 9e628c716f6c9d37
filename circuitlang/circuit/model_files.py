"""Whether a model's own folder or file is there, which not every command needs."""

from pathlib import Path

from circuitlang.circuit.circuit import ModelReference
from circuitlang.models import find_obtainable
from circuitlang.source import Diagnostic, closest


def missing_files(model: ModelReference) -> tuple[Diagnostic, ...]:
    """CL401 for a folder or a GGUF file that is not on this machine.

    No part of resolving a file: saved evidence is judged where the model is not.
    """
    if model.kind == "builtin" or find_obtainable(model.name):
        return ()
    wanted = "file" if model.kind == "gguf" else "folder"
    if wanted == "folder" and not is_path(model.name):
        return ()
    try:
        path = Path(model.name).expanduser()
        if path.is_file() if wanted == "file" else path.is_dir():
            return ()
        problem, hint = _problem(model, path, wanted)
    except (OSError, RuntimeError):  # a name too long for a file, or a `~` of nobody
        problem, hint = f"there is no {wanted} `{model.name}`", ""
    return (Diagnostic("CL401", model.span, problem, hint),)


def is_path(name: str) -> bool:
    """Whether a name can only be a folder's: hub names have one slash at most and no dot first."""
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1


def _problem(model: ModelReference, path: Path, wanted: str) -> tuple[str, str]:
    """What is wrong, and what to do about it."""
    if path.is_file():
        gguf = path.suffix == ".gguf"
        hint = f'write `model gguf "{path.name}"`' if gguf else "name the folder that it is in"
        return f"`{model.name}` is a file and no folder", hint
    if path.is_dir():
        return f"`{model.name}` is a folder and no file", f'write `model "./{path.name}"`'
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    meant = closest(path.name, [one.name for one in beside if one.is_dir() == (wanted == "folder")])
    hint = f"did you mean `{meant}`?" if meant else "paths start at the folder of the file"
    return f"there is no {wanted} `{model.name}`", hint
