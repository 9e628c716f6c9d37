"""Where a model lies: a folder in Hugging Face format, brought into the cache if need be."""

from pathlib import Path

from circuitlang.circuit import ModelReference
from circuitlang.engine.errors import ModelError
from circuitlang.engine.folder import tokenizer_source
from circuitlang.engine.hub import hub_snapshot
from circuitlang.models import builtin_folder, find_obtainable


def locate_model(reference: ModelReference, *, weights: bool = True) -> tuple[Path, str | None]:
    """The Hugging Face folder of a model, brought into the cache if need be, and its commit.

    Without ``weights`` only a hub model's config and tokenizer are brought.

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
    local = _obtained(reference) or _local_folder(reference)
    if local is None:
        return hub_snapshot(reference.name, reference.revision, weights=weights)
    if reference.revision:
        raise ModelError(f"`{reference.name}` is a folder on this machine, which has no revisions")
    return local, None


def tokenizer_folder(folder: Path) -> Path:
    """Where a model's tokenizer lies: in its own folder, or in that of another repository.

    Raises:
        ModelError: the other repository cannot be brought.
    """
    elsewhere = tokenizer_source(folder)
    return folder if elsewhere is None else hub_snapshot(elsewhere, None, weights=False)[0]


def _obtained(reference: ModelReference) -> Path | None:
    obtainable = find_obtainable(reference.name)
    if obtainable is None:
        return None
    if not obtainable.is_ready:
        raise ModelError(
            f"`{obtainable.name}` is not here yet: run `circuitlang models get "
            f"{obtainable.name}` (about {obtainable.megabytes} MB)"
        )
    return obtainable.folder


def _local_folder(reference: ModelReference) -> Path | None:
    """The folder that a name stands for; None when it is a name on the hub.

    Only a name written as a path is a folder: resolving a file turns a folder beside it into one,
    so that what a file means does not depend on where the command is run.
    """
    is_path = reference.name.startswith((".", "/", "~")) or "\\" in reference.name
    try:
        folder = Path(reference.name).expanduser()
        if is_path and folder.is_dir():
            return folder
        is_file = is_path and folder.is_file()
    except (OSError, RuntimeError):  # a name too long for a file, or a `~` of nobody
        return None
    if is_file:
        hint = "; write `model gguf`" if folder.suffix == ".gguf" else ""
        raise ModelError(f"`{reference.name}` is a file, not a model folder{hint}")
    # A hub name has at most one slash.
    if is_path or reference.name.count("/") > 1:
        raise ModelError(f"there is no folder `{reference.name}`")
    return None
