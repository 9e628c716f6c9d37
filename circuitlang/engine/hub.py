"""Bringing a model from the Hugging Face hub into its cache: safetensors and JSON only.

TransformerLens's own checkpoints are the exception: see `tl_checkpoint.py`.
"""

import contextlib
import json
import logging
import socket
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from circuitlang.engine.errors import ModelError, one_line
from circuitlang.engine.tl_checkpoint import WEIGHTS as TL_WEIGHTS
from circuitlang.engine.tl_checkpoint import is_tl_config

_SMALL = ["*.json", "*.txt", "*.model"]
_WEIGHTS = "*.safetensors"
# Files in folders are other formats' (`onnx/`); `consolidated` holds the same weights once more.
_UNWANTED = ["*/*", "consolidated*.safetensors"]
_CONNECT_SECONDS = 3.0


def hub_snapshot(name: str, revision: str | None, *, weights: bool = True) -> tuple[Path, str]:
    """Folder and commit of a hub model; from the cache alone when the hub cannot be reached.

    Without ``weights`` only the config and the tokenizer are brought.

    Raises:
        ModelError: no such model or revision, access refused, or neither network nor cache.
    """
    from huggingface_hub import constants

    shown = f"`{name}`" + (f" at revision `{revision}`" if revision else "")
    offline = constants.HF_HUB_OFFLINE or not hub_is_reachable()
    try:
        with _quiet_client():
            folder = _fetch(name, revision, weights=weights, offline=offline)
    except Exception as error:
        # Besides its own errors the client lets through those of its HTTP library.
        reason = _reason(error, shown, offline, constants.HF_HUB_OFFLINE)
        raise ModelError(reason) from error
    if weights and not any(folder.glob(_weight_pattern(folder))):
        if offline:
            raise ModelError(f"{shown} is only partly in the cache and {_unreachable()}")
        if _weight_pattern(folder) == TL_WEIGHTS:
            raise ModelError(f"{shown} has no finished weights ({TL_WEIGHTS}) on the hub")
        raise ModelError(
            f"{shown} has no safetensors weights on the hub; other formats are pickles, which "
            "could run code, and are not loaded"
        )
    return folder, folder.name


def _fetch(name: str, revision: str | None, *, weights: bool, offline: bool) -> Path:
    """The snapshot's folder, with the weights downloaded one by one in this thread.

    `snapshot_download` works in threads that an interrupt does not end, so only the small files are
    left to it.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    def snapshot(patterns: list[str], *, local: bool) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=patterns,
                ignore_patterns=_UNWANTED,
                local_files_only=local,
            )
        )

    everything = [*_SMALL, _WEIGHTS, TL_WEIGHTS] if weights else _SMALL
    if offline:
        return snapshot(everything, local=True)
    folder = snapshot(_SMALL, local=False)
    pattern = _weight_pattern(folder)
    if weights:
        try:
            # Not `list_repo_files`, which asks a hub in trouble for half a minute.
            siblings = HfApi().model_info(name, revision=folder.name).siblings or ()
        except Exception:
            # The hub is in trouble, and the small files came from the cache.
            return snapshot(everything, local=True)
        for file in (sibling.rfilename for sibling in siblings):
            if fnmatch(file, pattern) and not any(fnmatch(file, no) for no in _UNWANTED):
                hf_hub_download(name, file, revision=folder.name)
    return folder


def _weight_pattern(folder: Path) -> str:
    """What the weights of a model are called whose config lies in a folder."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return _WEIGHTS  # loading says what is wrong with the config
    return TL_WEIGHTS if isinstance(config, dict) and is_tl_config(config) else _WEIGHTS


def _reason(error: Exception, shown: str, offline: bool, by_choice: bool) -> str:
    from huggingface_hub import errors

    # Newer clients tell a partial snapshot from a missing one.
    partial = getattr(errors, "IncompleteSnapshotError", ())
    why = _unreachable(by_choice) if offline else _answer(error.__cause__)
    match error:
        case errors.HFValidationError():
            return f"{shown} is neither a folder nor a name that the hub can have"
        case errors.GatedRepoError():
            return (
                f"{shown} is gated: accept its licence on the hub and sign in with `hf auth login`"
            )
        case errors.RevisionNotFoundError():
            return f"the hub has no {shown}: the model is there, the revision is not"
        case errors.RepositoryNotFoundError():
            return f"the hub has no model {shown} (or it is private), and there is no such folder"
        case _ if isinstance(error, partial):
            return f"{shown} is only partly in the cache and {why}"
        case errors.LocalEntryNotFoundError():
            return f"{shown} is neither a folder nor in the cache, and {why}"
        case _:
            return (
                f"{shown} could not be downloaded: {one_line(error, 200)}; run it again, and the "
                "download goes on where it stopped"
            )


def _unreachable(by_choice: bool = False) -> str:
    return "HF_HUB_OFFLINE is set" if by_choice else "the hub cannot be reached"


def _answer(error: BaseException | None) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"the hub answered {status}" if status else "the download failed"


def hub_is_reachable() -> bool:
    """Whether something listens at the hub's address; asked first because a download retries long.

    Behind a proxy the hub's own address need not resolve, so there the proxy is asked for.
    """
    from huggingface_hub.constants import ENDPOINT

    address = urlsplit(ENDPOINT)
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(address.hostname or ""):
        address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """No bars and no news of retries: what matters of them is in the one line of an error."""
    # Imported here because its import would set the verbosity back.
    import huggingface_hub.file_download  # noqa: F401
    from huggingface_hub.utils import logging as chatter
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    had_bars, verbosity = not are_progress_bars_disabled(), chatter.get_verbosity()
    chatter.set_verbosity(logging.CRITICAL)
    disable_progress_bars()
    try:
        yield
    finally:
        chatter.set_verbosity(verbosity)
        if had_bars:
            enable_progress_bars()
