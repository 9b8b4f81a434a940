"""A loopback server that speaks the Hub's routes, for tests of downloading and of publishing's reading side.

    GET  /api/models/{repo}/revision/{revision}        the commit and the list of files
    HEAD /{repo}/resolve/{revision}/{file}             ETag, X-Repo-Commit, Content-Length
    GET  /{repo}/resolve/{revision}/{file}             the bytes, with Range

Errors carry X-Error-Code as the Hub's do: RepoNotFound (401 without a token, 404 with one), RevisionNotFound,
EntryNotFound, GatedRepo. Files of 1 MB and more answer HEAD with a redirect to another path, as LFS files do.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LARGE = 1_000_000
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass
class Repo:
    """A repository: commits by hash, each a table of files; branches and tags point to commits."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    token: str | None = None  # needed to see it
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add a commit holding exactly these files and move the branch to it; its 40 digits."""
        digest = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[digest] = files
        self.refs[branch] = digest
        return digest

    def find(self, revision: str) -> str | None:
        """The commit of a branch, tag or commit."""
        return revision if revision in self.commits else self.refs.get(revision)


def files_of(folder: Path, prefix: str = "") -> dict[str, bytes]:
    """The files of a folder as a repository keeps them."""
    return {prefix + p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}


class HubServer(ThreadingHTTPServer):
    """Repositories by name, a log of requests, and faults to inject."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, Repo] = {}
        self.log: list[str] = []  # "GET /path" with the Range header appended where there is one
        self.cut_after: list[int] = []  # bytes after which the next GETs of a large file lose their connection
        self.status: int | None = None  # answer everything with this status

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""

    def _answer(self) -> None:
        path, asked = self.path.partition("?")[0], self.headers.get("Range", "")
        self.server.log.append(f"{self.command} {path} {asked}".strip())
        if self.server.status is not None:
            return self._send(self.server.status)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self._listing(found[1], found[2] or "main")
        if found := re.fullmatch(r"/(?:lfs/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(found[1], found[2], found[3], redirected=path.startswith("/lfs/"))
        return self._send(404)

    def _commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit and its files, or None after an error was sent."""
        repo = self.server.repos.get(name)
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if repo is None or (repo.token is not None and given != repo.token):
            self._send(404 if given else 401, {"X-Error-Code": "RepoNotFound"})
        elif repo.gated:
            self._send(403, {"X-Error-Code": "GatedRepo"})
        elif (commit := repo.find(revision)) is None:
            self._send(404, {"X-Error-Code": "RevisionNotFound"})
        else:
            return commit, repo.commits[commit]
        return None

    def _listing(self, name: str, revision: str) -> None:
        found = self._commit(name, revision)
        if found is not None:
            siblings = [{"rfilename": name, "size": len(data)} for name, data in found[1].items()]
            body = json.dumps({"id": name, "modelId": name, "sha": found[0], "siblings": siblings}).encode()
            self._send(200, {"Content-Type": "application/json"}, body)

    def _file(self, name: str, revision: str, filename: str, redirected: bool) -> None:
        found = self._commit(name, revision)
        if found is None:
            return
        commit, files = found
        if filename not in files:
            self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        data = files[filename]
        etag = hashlib.sha256(data).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if len(data) >= LARGE and not redirected:
            linked = {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{etag}"'}
            self._send(302, {**headers, **linked, "Location": f"{self.server.url}/lfs{self.path}"})
            return
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if start:
            first = int(start[1])
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            self._send(206, headers, data[first:])
        else:
            self._send(200, headers, data)

    def _send(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.cut_after and self.path.endswith("model.safetensors") and status in (200, 206):
            self.wfile.write(body[: self.server.cut_after.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(body)


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running server; `url` is what HF_ENDPOINT wants."""
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
