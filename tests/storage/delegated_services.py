"""Stand-ins for the services that KServe's library is asked for: a Git server, and Azure Files behind a proxy."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import BaseRequestHandler, ThreadingMixIn, ThreadingTCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.objectspec import parse_tree
from dulwich.repo import MemoryRepo
from dulwich.server import DictBackend
from dulwich.web import make_wsgi_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

LINK = 0o120000
FILE = 0o100644


def repository(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> MemoryRepo:
    """A repository with one commit on its default branch."""
    repo = MemoryRepo()
    entries = [(name, data, FILE) for name, data in files.items()]
    entries += [(name, target.encode(), LINK) for name, target in (links or {}).items()]
    blobs = []
    for name, data, mode in entries:
        blob = Blob.from_string(data)
        repo.object_store.add_object(blob)
        blobs.append((name.split("/"), mode, blob.id))
    commit = Commit()
    commit.tree = _tree(repo, blobs)
    commit.author = commit.committer = b"A <a@example.org>"
    commit.author_time = commit.commit_time = commit.author_timezone = commit.commit_timezone = 0
    commit.message = b"A model"
    repo.object_store.add_object(commit)
    repo.refs[b"refs/heads/main"] = commit.id  # type: ignore[index]
    repo.refs.set_symbolic_ref(b"HEAD", b"refs/heads/main")  # type: ignore[arg-type]
    assert parse_tree(repo, b"HEAD").id == commit.tree
    return repo


def _tree(repo: MemoryRepo, entries: list[tuple[list[str], int, ObjectID]]) -> ObjectID:
    tree = Tree()
    for folder in {parts[0] for parts, _, _ in entries if len(parts) > 1}:
        inside = [(parts[1:], mode, blob) for parts, mode, blob in entries if len(parts) > 1 and parts[0] == folder]
        tree.add(folder.encode(), 0o040000, _tree(repo, inside))
    for parts, mode, blob in entries:
        if len(parts) == 1:
            tree.add(parts[0].encode(), mode, blob)
    repo.object_store.add_object(tree)
    return tree.id


@dataclass
class GitServer:
    """Repositories over plain HTTP, and Git's large file storage.

    Attributes:
        url: of the server.
        repositories: path of each, with a slash in front.
        large: contents that the large file storage has.
        password: what clients have to give, if anything.
    """

    url: str = ""
    repositories: dict[str, MemoryRepo] = field(default_factory=dict)
    large: list[bytes] = field(default_factory=list)
    password: str = ""

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request, as WSGI has it."""
        path = environ["PATH_INFO"]
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(start)
        if path.startswith("/large/"):
            found = [data for data in self.large if hashlib.sha256(data).hexdigest() == path.rpartition("/")[2]]
            start("200 OK", [("Content-Type", "application/octet-stream")])
            return found
        given = environ.get("HTTP_AUTHORIZATION", "").removeprefix("Basic ")
        if self.password and not base64.b64decode(given).endswith(f":{self.password}".encode()):
            start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"')])
            return [b"no"]
        backend = DictBackend(self.repositories)  # type: ignore[arg-type]
        return make_wsgi_chain(backend)(environ, start)

    def _batch(self, start: Callable[..., Any]) -> Iterable[bytes]:
        objects = [
            {
                "oid": (name := hashlib.sha256(data).hexdigest()),
                "size": len(data),
                "actions": {"download": {"href": f"{self.url}/large/{name}"}},
            }
            for data in self.large
        ]
        start("200 OK", [("Content-Type", "application/vnd.git-lfs+json")])
        return [json.dumps({"transfer": "basic", "objects": objects}).encode()]


def pointer(data: bytes) -> bytes:
    """What a repository holds in the place of a large file."""
    digest = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n".encode()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None: ...


@contextmanager
def git_server() -> Iterator[GitServer]:
    """Serve Git until the block ends."""
    app = GitServer()
    server = make_server("127.0.0.1", 0, app, server_class=_Server, handler_class=_Quiet)
    app.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def tunnel_to(endpoint_url: str) -> Iterator[str]:
    """A proxy whose every CONNECT leads to this one endpoint, whatever host was asked for; gives its URL."""
    end = urlsplit(endpoint_url)

    class Tunnel(BaseRequestHandler):
        def handle(self) -> None:
            asked = b""
            while not asked.endswith(b"\r\n\r\n"):
                asked += self.request.recv(1)
            with socket.create_connection((str(end.hostname), int(end.port or 443))) as server:
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(server, self.request))
                back.start()
                _pump(self.request, server)
                back.join()

    with ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy:
        proxy.daemon_threads = True
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_address[1]}"
        finally:
            proxy.shutdown()
            thread.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
