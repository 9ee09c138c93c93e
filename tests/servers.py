"""Stand-in servers on 127.0.0.1: plain HTTP and the Hugging Face hub's protocol.

They speak what the real clients (requests, huggingface_hub, datasets) say over a real socket, so
that the tests run the real loading code, and they misbehave where a test asks them to.
"""

import hashlib
import json
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self, cast
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Request:
    """What a client asked for; headers are found whatever their case, None where missing."""

    method: str
    path: str
    headers: Message


@dataclass(frozen=True)
class Answer:
    """What a server says."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class StandIn(ThreadingHTTPServer, ABC):
    """A server in a thread of its own that lives as long as a `with` block.

    Attributes:
        log: every request, in the order of arrival.
        cuts: for a path, after how many bytes each of the next bodies breaks off.
        statuses: for a path, the statuses that the next requests get instead of an answer.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.log: list[Request] = []
        self.cuts: dict[str, list[int]] = {}
        self.statuses: dict[str, list[int]] = {}
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """The address to ask at."""
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self, path: str) -> int:
        """How often `path` was to be got so far."""
        return [(each.method, each.path) for each in self.log].count(("GET", path))

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Say what `request` gets; each stand-in has its own."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a client that left early, which some tests make it do."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing on stderr; `StandIn.log` has the requests."""

    def _serve(self) -> None:
        server = cast("StandIn", self.server)
        request = Request(self.command, self.path, self.headers)
        server.log.append(request)
        if server.statuses.get(self.path):
            answer = Answer(status=server.statuses[self.path].pop(0))
        else:
            answer = server.answer(request)
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        # A connection that is kept would outlive the server, and answer for it.
        told = {"Content-Length": str(len(answer.body)), "Connection": "close"}
        for name, value in {**told, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cuts = cast("StandIn", self.server).cuts.get(self.path)
        if cuts and answer.body:
            self.wfile.write(answer.body[: cuts.pop(0)])
        else:
            self.wfile.write(answer.body)


class FileServer(StandIn):
    """Plain HTTP: paths and their bytes, redirects, headers that come with every file.

    It is a proxy, too: a client asks a proxy for a file by its whole address.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__()
        self.files = dict(files)
        self.redirects: dict[str, str] = {}
        self.headers: dict[str, str] = {}

    def answer(self, request: Request) -> Answer:
        """Serve a file, a redirect, or 404."""
        if request.path in self.redirects:
            return Answer(302, headers={"Location": self.redirects[request.path]})
        body = self.files.get(request.path)
        if body is None:
            return Answer(404, b"no such file")
        return Answer(body=body, headers=self.headers)


@dataclass
class Repository:
    """A repository of the hub at one commit.

    Attributes:
        commit: the 40 hex digits of the commit.
        files: its files; those named in `large` are handed out by another host, as LFS files are.
        branches: names that stand for the commit.
        token: what a reader must show; anyone may read where there is none.
    """

    commit: str
    files: dict[str, bytes]
    large: frozenset[str] = frozenset()
    branches: tuple[str, ...] = ("main",)
    token: str | None = None


_RESOLVE = re.compile(r"/(?:(datasets)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)/(revision|tree)/([^/]+)(?:/(.*))?")


class Hub(StandIn):
    """The hub's protocol: repository information, trees, resolving to files or to another host."""

    def __init__(self, elsewhere: FileServer) -> None:
        super().__init__()
        self.models: dict[str, Repository] = {}
        self.datasets: dict[str, Repository] = {}
        self.elsewhere = elsewhere

    def answer(self, request: Request) -> Answer:
        """Route a request as the hub does."""
        path = urlsplit(request.path).path
        if found := _RESOLVE.fullmatch(path):
            kind, name, revision, file = _unquoted(found)
            repository = self._repository(kind or "models", name, revision, request)
            return repository if isinstance(repository, Answer) else self._file(repository, file)
        if found := _API.fullmatch(path):
            kind, name, what, revision, folder = _unquoted(found)
            repository = self._repository(kind, name, revision, request)
            if isinstance(repository, Answer):
                return repository
            if what == "tree":
                return _as_json(_entries(repository, folder))
            siblings = [{"rfilename": file} for file in repository.files]
            return _as_json({"id": name, "sha": repository.commit, "siblings": siblings})
        return Answer(404)

    def _repository(
        self, kind: str, name: str, revision: str, request: Request
    ) -> "Repository | Answer":
        repository = (self.datasets if kind == "datasets" else self.models).get(name)
        if repository is None:
            return Answer(404, headers={"X-Error-Code": "RepoNotFound"})
        if (
            repository.token
            and request.headers.get("authorization") != f"Bearer {repository.token}"
        ):
            return Answer(403, headers={"X-Error-Code": "GatedRepo"})
        if revision not in (repository.commit, *repository.branches):
            return Answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        return repository

    def _file(self, repository: Repository, file: str) -> Answer:
        told = {"X-Repo-Commit": repository.commit}
        body = repository.files.get(file)
        if body is None:
            return Answer(404, headers={**told, "X-Error-Code": "EntryNotFound"})
        if file not in repository.large:
            return Answer(body=body, headers={**told, "ETag": _etag(body)})
        path = f"/lfs/{hashlib.sha256(body).hexdigest()}"
        self.elsewhere.files.setdefault(path, body)
        linked = {"X-Linked-Size": str(len(body)), "X-Linked-ETag": _etag(body)}
        return Answer(302, headers={**told, **linked, "Location": self.elsewhere.url + path})


def _unquoted(found: re.Match[str]) -> list[str]:
    """The groups of a path, "" for those that are not there; a branch may hold a quoted slash."""
    return [unquote(group or "") for group in found.groups()]


def _entries(repository: Repository, folder: str) -> list[dict[str, object]]:
    """List files and folders under `folder`, all levels."""
    parents = sorted({file.rsplit("/", 1)[0] for file in repository.files if "/" in file})
    entries: list[dict[str, object]] = [
        {"type": "directory", "path": path, "oid": "0" * 40} for path in parents
    ]
    for path, body in repository.files.items():
        entry = {"type": "file", "path": path, "size": len(body), "oid": _git_hash(body)}
        if path in repository.large:
            sum_ = hashlib.sha256(body).hexdigest()
            entry["lfs"] = {"oid": sum_, "size": len(body), "pointerSize": 130}
        entries.append(entry)
    return [each for each in entries if str(each["path"]).startswith(folder)]


def _git_hash(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body, usedforsecurity=False).hexdigest()


def _as_json(value: object) -> Answer:
    return Answer(body=json.dumps(value).encode(), headers={"Content-Type": "application/json"})


def _etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()}"'
