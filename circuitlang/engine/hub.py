"""Bringing a model from the Hugging Face hub into its cache: safetensors and JSON only."""

import contextlib
import logging
import socket
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from circuitlang.engine.errors import ModelError, one_line

_SMALL = ["*.json", "*.txt", "*.model"]
_WEIGHTS = ["*.safetensors"]
# Files in folders are other formats' (`onnx/`); `consolidated` holds the same weights once more.
_UNWANTED = ["*/*", "consolidated*.safetensors"]
_CONNECT_SECONDS = 3.0


def hub_snapshot(name: str, revision: str | None, *, weights: bool = True) -> tuple[Path, str]:
    """Folder and commit of a hub model; from the cache alone when the hub cannot be reached.

    Without ``weights`` only the config and the tokenizer are brought.

    Raises:
        ModelError: no such model or revision, access refused, or neither network nor cache.
    """
    from huggingface_hub import constants, snapshot_download

    shown = f"`{name}`" + (f" at revision `{revision}`" if revision else "")
    offline = constants.HF_HUB_OFFLINE or not hub_is_reachable()
    try:
        with _quiet_client():
            if weights and not offline:
                _bring_weights(name, revision)
            folder = Path(
                snapshot_download(
                    name,
                    revision=revision,
                    allow_patterns=[*_SMALL, *_WEIGHTS] if weights else _SMALL,
                    ignore_patterns=_UNWANTED,
                    local_files_only=offline,
                )
            )
    except Exception as error:
        # Besides its own errors the client lets through those of its HTTP library.
        reason = _reason(error, shown, offline, constants.HF_HUB_OFFLINE)
        raise ModelError(reason) from error
    if weights and not any(folder.glob("*.safetensors")):
        if offline:
            raise ModelError(f"{shown} is only partly in the cache and {_unreachable()}")
        raise ModelError(
            f"{shown} has no safetensors weights on the hub; other formats are pickles, which "
            "could run code, and are not loaded"
        )
    return folder, folder.name


def _bring_weights(name: str, revision: str | None) -> None:
    """Download the large files one by one in this thread, where an interrupt ends it at once.

    `snapshot_download` works in threads that go on after an interrupt until they are done; left to
    it are the small files, and every error of the hub's own.
    """
    from huggingface_hub import HfApi, hf_hub_download

    try:
        info = HfApi().model_info(name, revision=revision)
    except Exception:
        return  # the same question comes again, and then the cache may answer it
    for file in (sibling.rfilename for sibling in info.siblings or ()):
        wanted = any(fnmatch(file, pattern) for pattern in _WEIGHTS)
        if wanted and not any(fnmatch(file, pattern) for pattern in _UNWANTED):
            hf_hub_download(name, file, revision=info.sha)


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
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    logger = logging.getLogger("huggingface_hub")
    level, had_bars = logger.level, not are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if had_bars:
            enable_progress_bars()
