"""Bringing a model from the Hugging Face hub into its cache: safetensors and JSON only."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from circuitlang.engine.errors import ModelError

_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model"]
_CONNECT_SECONDS = 3.0


def hub_snapshot(name: str, revision: str | None) -> tuple[Path, str]:
    """Folder and commit of a hub model; from the cache alone when the hub cannot be reached.

    Raises:
        ModelError: no such model or revision, access refused, or neither network nor cache.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    shown = f"`{name}`" + (f" at revision `{revision}`" if revision else "")
    offline = bool(os.environ.get("HF_HUB_OFFLINE")) or not hub_is_reachable()
    try:
        folder = Path(
            snapshot_download(
                name, revision=revision, allow_patterns=_WANTED, local_files_only=offline
            )
        )
    except HFValidationError as error:
        raise ModelError(f"{shown} is neither a folder nor a name that the hub can have") from error
    except GatedRepoError as error:
        raise ModelError(f"{shown} needs a licence to be accepted on the hub first") from error
    except RevisionNotFoundError as error:
        raise ModelError(f"the model `{name}` has no revision `{revision}`") from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"the hub has no model {shown} (or it is private); a local folder is written `./folder`"
        ) from error
    except LocalEntryNotFoundError as error:
        why = "the hub cannot be reached" if offline else "the download failed"
        raise ModelError(f"{shown} is not in the cache and {why}") from error
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{shown} could not be downloaded: {reason}") from error
    return folder, folder.name


def hub_is_reachable() -> bool:
    """Whether something listens at the hub's address; asked first because a download retries long.

    Behind a proxy the hub's own address need not resolve, so nothing is asked there.
    """
    from huggingface_hub.constants import ENDPOINT

    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return True
    address = urlsplit(ENDPOINT)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False
