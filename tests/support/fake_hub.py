"""A stand-in for the Hugging Face Hub: its API, its links to a CDN on another host, and Xet's storage behind it.

Answers, headers and refusals have the form of the Hub's own; what `huggingface_hub` 2.4 and hf-xet 1.8 send and
understand was used to check them.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "hf_TheTokenOfTheTests"
SIGNATURE = "the-signature-of-a-link"
GRANT = "the-grant-to-read-from-xet"
_CHUNK = 64 << 10  # of Xet; real ones are as large on average
_HEAD = 8  # bytes in front of every chunk of a xorb


class Request(NamedTuple):
    """What was asked: `kind` is one of api, file, cdn, grant, recipe and xorb."""

    kind: str
    path: str
    token: str
    range: str


class Refusal(NamedTuple):
    """An answer instead of the right one."""

    status: int
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed
    body: bytes = b"{}"


@dataclass
class Repository:
    """One model.

    Attributes:
        files: path → content, of its one commit.
        names: branches and tags.
        kept: a path of this form is kept in LFS, behind the CDN.
        xet: those files are in Xet.
        private: only for the token.
        gated: files only for those who accepted the licence; nobody did.
    """

    files: dict[str, bytes]
    names: tuple[str, ...] = ("main",)
    kept: str = r".*\.(safetensors|bin|gguf|onnx|pth)"
    xet: bool = False
    private: bool = False
    gated: bool = False

    @property
    def commit(self) -> str:
        """What all names stand for."""
        listing = repr(sorted((path, sha256(content)) for path, content in self.files.items()))
        return hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()

    def is_large(self, path: str) -> bool:
        """Whether the file is in LFS."""
        return re.fullmatch(self.kept, path) is not None

    def entry(self, path: str) -> dict[str, object]:
        """The file in a listing."""
        content = self.files[path]
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
        if self.is_large(path):
            entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
            if self.xet:
                entry["xetHash"] = sha256(content)
        return entry


@cache
def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@cache
def blob_id(content: bytes) -> str:
    """What Git knows a file by."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class FakeHub:
    """The Hub and what is behind it.

    Attributes:
        endpoint: of the Hub.
        storage: of CDN and Xet: another host.
        repositories: by owner/model.
        page: files in one page of a listing.
        requests: everything that was asked.
        refusals: by kind, for the next requests of it; None for one that is answered.
        stalls: by kind, how many of the next answers stop half-way and stay open.
        cuts: by kind, how many of the next answers end half-way.
        expired: links with a lower number are refused.
        ignores_ranges: the Hub's own answers are always whole.
        stored: other content than the listing says, by its SHA-256.
    """

    endpoint: str = ""
    storage: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    page: int = 1000
    requests: list[Request] = field(default_factory=list)
    refusals: defaultdict[str, list[Refusal | None]] = field(default_factory=lambda: defaultdict(list))
    stalls: Counter[str] = field(default_factory=Counter)
    cuts: Counter[str] = field(default_factory=Counter)
    expired: int = 0
    ignores_ranges: bool = False
    stored: dict[str, bytes] = field(default_factory=dict)
    links: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def environment(self) -> dict[str, str]:
        """The variables for a client that looks at nothing of this machine."""
        return {"HF_ENDPOINT": self.endpoint, "HF_TOKEN": TOKEN, "HF_HOME": "/nonexistent"}

    def asked(self, kind: str) -> list[Request]:
        """The requests of one kind."""
        return [request for request in self.requests if request.kind == kind]

    def content(self, digest: str) -> bytes:
        """What the storage keeps under a SHA-256."""
        known = {sha256(data): data for repository in self.repositories.values() for data in repository.files.values()}
        return {**known, **self.stored}[digest]

    def take(self, counter: Counter[str], kind: str) -> bool:
        """Whether this answer is one of those."""
        with self.lock:
            counter[kind] -= 1
            return counter[kind] >= 0


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Run one until the block ends."""
    hub = FakeHub()
    servers = []
    for name in ("endpoint", "storage"):
        server = _Server(("127.0.0.1", 0), _Hub if name == "endpoint" else _Storage)
        server.daemon_threads, server.block_on_close = True, False
        server.hub = hub  # type: ignore[attr-defined]
        setattr(hub, name, f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        servers.append((server, thread))
    try:
        yield hub
    finally:
        hub.over.set()
        for server, thread in servers:
            server.shutdown()
            server.server_close()
            thread.join(5)


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients hang up; that is their right."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    kind = ""

    @property
    def hub(self) -> FakeHub:
        return self.server.hub  # type: ignore[attr-defined, no-any-return]

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def note(self, kind: str) -> bool:
        """Remember the request; False if it was refused."""
        self.kind = kind
        self.hub.requests.append(Request(kind, self.path, self.token, self.headers.get("Range", "")))
        with self.hub.lock:
            refusal = self.hub.refusals[kind].pop(0) if self.hub.refusals[kind] else None
        if refusal:
            self.answer(refusal.status, refusal.body, **refusal.headers)
        return refusal is None

    def refuse(self, status: int, code: str, message: str) -> None:
        self.answer(status, b"{}", **{"X-Error-Code": code, "X-Error-Message": message} if code else {})

    def json(self, value: object, **headers: str) -> None:
        self.answer(200, json.dumps(value).encode(), **{"Content-Type": "application/json", **headers})

    def part(self, content: bytes) -> None:
        """The range that was asked for, or all."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None or (self.kind == "file" and self.hub.ignores_ranges):
            self.answer(200, content)
            return
        begin, end = int(asked[1]), min(int(asked[2]) + 1, len(content))
        self.answer(206, content[begin:end], **{"Content-Range": f"bytes {begin}-{end - 1}/{len(content)}"})

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status < 300 and self.hub.take(self.hub.stalls, self.kind):
            self.wfile.write(body[: len(body) // 2])
            self.hub.over.wait(60)
        elif status < 300 and self.hub.take(self.hub.cuts, self.kind):
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)


class _Hub(_Handler):
    """`/api/models/owner/model…` and `/owner/model/resolve/commit/path`."""

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        path = unquote(target.path)
        if api := re.fullmatch(
            r"/api/models/([^/]+/[^/]+)(?:/(revision|tree|xet-read-token)/([^/]+)(?:/(.+))?)?", path
        ):
            raw = target.path.split("/")[6:7]  # a revision's own slashes are encoded
            repository = (
                self._repository(api[1]) if self.note("grant" if api[2] == "xet-read-token" else "api") else None
            )
            if repository:
                revision = unquote(raw[0]) if raw else "main"
                folder = unquote("/".join(target.path.split("/")[7:]))
                self._api(repository, api[2] or "revision", revision, folder, parse_qs(target.query))
        elif file := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)", path):
            if self.note("file") and (repository := self._repository(file[1])):
                self._file(file[1], repository, file[2], file[3])
        elif self.note("file"):
            self.refuse(404, "", "")

    def _repository(self, name: str) -> Repository | None:
        found = self.hub.repositories.get(name)
        if self.token and self.token != TOKEN:
            self.refuse(401, "", "")
            return None
        if found is None or (found.private and not self.token):
            if self.token:
                self.refuse(404, "RepoNotFound", "Repository not found")
            else:
                self.answer(401, b"{}", **{"X-Error-Message": "Invalid username or password."})
            return None
        return found

    def _api(self, repository: Repository, what: str, revision: str, folder: str, query: dict[str, list[str]]) -> None:
        if revision not in {*repository.names, repository.commit}:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif what == "revision":
            self.json({"id": "x", "sha": repository.commit})
        elif what == "xet-read-token":
            self.json({"casUrl": self.hub.storage, "exp": 4_000_000_000, "accessToken": GRANT})
        else:
            self._tree(repository, folder, query)

    def _tree(self, repository: Repository, folder: str, query: dict[str, list[str]]) -> None:
        inside = f"{folder}/" if folder else ""
        below = [path for path in sorted(repository.files) if path.startswith(inside)]
        if folder and not below:
            self.refuse(404, "EntryNotFound", f"{folder} does not exist on this revision")
            return
        folders = sorted({path[: path.index("/", len(inside))] for path in below if "/" in path[len(inside) :]})
        if query.get("recursive") != ["true"]:
            below = [path for path in below if "/" not in path[len(inside) :]]
        entries: list[dict[str, object]] = [
            {"type": "directory", "path": name, "size": 0, "oid": "0"} for name in folders
        ]
        entries += [repository.entry(path) for path in below]
        begin = int(query.get("cursor", ["0"])[0])
        end = begin + self.hub.page
        own = self.path.partition("?")[0]
        link = f'<{self.hub.endpoint}{own}?recursive={query["recursive"][0]}&cursor={end}>; rel="next"'
        self.json(entries[begin:end], **({"Link": link} if end < len(entries) else {}))

    def _file(self, name: str, repository: Repository, commit: str, path: str) -> None:
        if repository.gated:
            message = f"Access to model {name} is restricted."
            self.refuse(403 if self.token else 401, "GatedRepo", message)
        elif commit != repository.commit or path not in repository.files:
            self.refuse(404, "EntryNotFound", "Entry not found")
        elif repository.is_large(path):
            with self.hub.lock:
                self.hub.links += 1
            digest = sha256(repository.files[path])
            link = f"{self.hub.storage}/cdn/a%2Bb/{digest}?number={self.hub.links}&Signature={SIGNATURE}%3D"
            self.answer(302, b"", Location=link)
        else:
            self.part(repository.files[path])


class _Storage(_Handler):
    """`/cdn/…`, and of Xet `/v1/reconstructions/…` and `/xorb/…`."""

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        digest = target.path.rpartition("/")[2]
        if target.path.startswith("/cdn/a%2Bb/"):
            if self.note("cdn"):
                signed = parse_qs(target.query)
                good = signed["Signature"] == [f"{SIGNATURE}="] and int(signed["number"][0]) > self.hub.expired
                self.part(self.hub.content(digest)) if good else self.refuse(403, "", "")
        elif target.path.startswith("/v1/reconstructions/"):
            if self.note("recipe"):
                self._recipe(digest)
        elif target.path.startswith("/xorb/"):
            if self.note("xorb"):
                self.part(_xorb(self.hub.content(digest)))
        else:  # newer editions of the protocol are asked for first
            self.refuse(404, "", "")

    def _recipe(self, digest: str) -> None:
        """Of which chunks the range is made, and where they are."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert asked is not None
        size = len(self.hub.content(digest))
        begin, last = int(asked[1]), min(int(asked[2]), size - 1)
        chunks = {"start": begin // _CHUNK, "end": last // _CHUNK + 1}
        length = min(chunks["end"] * _CHUNK, size) - chunks["start"] * _CHUNK
        whole = chunks["end"] * (_CHUNK + _HEAD)
        inside = {
            "start": chunks["start"] * (_CHUNK + _HEAD),
            "end": min(whole, len(_xorb(self.hub.content(digest)))) - 1,
        }
        fetch = {"range": chunks, "url": f"{self.hub.storage}/xorb/{digest}", "url_range": inside}
        terms = [{"hash": digest, "unpacked_length": length, "range": chunks}]
        offset = begin - chunks["start"] * _CHUNK
        self.json({"offset_into_first_range": offset, "terms": terms, "fetch_info": {digest: [fetch]}})


@cache
def _xorb(content: bytes) -> bytes:
    """Uncompressed chunks, each behind its version, length, compression scheme and length again."""
    pieces = [content[begin : begin + _CHUNK] for begin in range(0, len(content), _CHUNK)]
    return b"".join(b"\0" + (size := len(piece).to_bytes(3, "little")) + b"\0" + size + piece for piece in pieces)
