"""A Hugging Face hub of one machine: enough of its protocol for the real client to download from.

Serves folders as repositories on 127.0.0.1. What a repository does wrong is set per repository:
gated, a server error, or a connection that breaks in the middle of the weights.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Repository:
    """A folder with its revisions.

    ``breaks_at`` cuts every answer of a larger file there; with ``stalls`` the connection stays
    open there instead.
    """

    folder: Path
    revisions: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    gated: bool = False
    status: int | None = None
    breaks_at: int | None = None
    stalls: bool = False


@dataclass
class Hub:
    """A running server: its address, its repositories, and the requests that it saw."""

    endpoint: str
    repositories: dict[str, Repository]
    requests: list[str]
    closing: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve(**repositories: Repository) -> Iterator[Hub]:
    """Serve repositories until the block ends; `org__name` stands for `org/name`."""
    named = {name.replace("__", "/"): repo for name, repo in repositories.items()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}", named, [])
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing: the tests look at what the command prints."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    @property
    def _hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined]

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self._hub.requests.append(f"{self.command} {path}")
        is_api = path.startswith("/api/models/")
        rest = path.removeprefix("/api/models/").lstrip("/")
        name = next((n for n in self._hub.repositories if f"{rest}/".startswith(f"{n}/")), None)
        if name is None:
            self._refuse(401, "RepoNotFound")
            return
        repo, rest = self._hub.repositories[name], rest[len(name) :].strip("/")
        if repo.status is not None:
            self._refuse(repo.status, "")
        elif is_api and rest.startswith("tree/"):
            self._tree(repo, rest.removeprefix("tree/"))
        elif is_api:
            self._info(name, repo, rest.removeprefix("revision/") or "main")
        else:
            revision, _, file = rest.removeprefix("resolve/").partition("/")
            self._file(repo, revision, file)

    def _commit(self, repo: Repository, revision: str) -> str | None:
        commit = repo.revisions.get(revision)
        commit = revision if revision in repo.revisions.values() else commit
        if commit is None:
            self._refuse(404, "RevisionNotFound")
        return commit

    def _info(self, name: str, repo: Repository, revision: str) -> None:
        if commit := self._commit(repo, revision):
            files = [{"rfilename": path.name} for path in _files(repo)]
            self._json({"_id": "1", "id": name, "sha": commit, "siblings": files, "tags": []})

    def _tree(self, repo: Repository, revision: str) -> None:
        if self._commit(repo, revision):
            self._json([
                {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": _etag(p)}
                for p in _files(repo)
            ])  # fmt: skip

    def _file(self, repo: Repository, revision: str, name: str) -> None:
        commit = self._commit(repo, revision)
        if commit is None:
            return
        if repo.gated:
            self._refuse(403, "GatedRepo")
            return
        path = repo.folder / name
        if not path.is_file():
            self._refuse(404, "EntryNotFound")
            return
        data = path.read_bytes()
        start = self._range_start(len(data))
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{_etag(path)}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if self.command == "GET":
            self._send(data, start, repo)

    def _send(self, data: bytes, start: int, repo: Repository) -> None:
        if repo.breaks_at is None or len(data) <= repo.breaks_at:
            self.wfile.write(data[start:])
            return
        self.wfile.write(data[start : repo.breaks_at])
        self.wfile.flush()
        if repo.stalls:
            self._hub.closing.wait(60)
        self.close_connection = True

    def _range_start(self, size: int) -> int:
        wanted = self.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
        return min(int(wanted), size) if wanted.isdigit() else 0

    def _json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _files(repo: Repository) -> list[Path]:
    return sorted(path for path in repo.folder.iterdir() if path.is_file())


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
