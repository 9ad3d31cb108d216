"""A reverse proxy in front of an object store that writes down every request and counts every byte.

It relays HTTP/1.1 between one client connection and one connection of its own to the store, and copies
heads and bodies as they come. Only the request target may change, from absolute form (which the streamer's
C++ client sends over plain HTTP) to origin form. The client signs for the proxy's `host:port`, and as the
Host header is passed on untouched, the store computes the same signature.

On demand it misbehaves as networks and stores do: see `Fault`.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BUFFER = 1 << 18


@dataclass
class Request:
    """One request and what became of it.

    `status` and `body_bytes` run ahead of the socket, so that a client that has its answer finds them final.

    Attributes:
        method: GET, PUT, …
        target: path and query, in origin form.
        headers: names in lower case, without the signature.
        connection: number of the client's connection, from 1.
        started: `time.monotonic()` when the head had arrived.
        absolute_form: the client named the whole URL in its request line.
        signed: it carried a signature, in its head or its query.
        status: status of the answer; 0 until there is one.
        body_bytes: bytes of the answer's body, so far.
        finished: `time.monotonic()` when the answer had been passed on; 0.0 until then.
    """

    method: str
    target: str
    headers: dict[str, str]
    connection: int
    started: float
    absolute_form: bool
    signed: bool
    status: int = 0
    body_bytes: int = 0
    finished: float = 0.0

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def range(self) -> str | None:
        """The Range header."""
        return self.headers.get("range")

    @property
    def user_agent(self) -> str:
        """The User-Agent header; empty where there is none."""
        return self.headers.get("user-agent", "")


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        status: answered in the store's place, where it is not 0.
        code: S3 error code of that answer.
        headers: of that answer, and in place of the store's own of the same name.
        after: bytes of the body that still pass before the `ending`.
        ending: the connection is reset, closed as if all were said, or stays open in silence.
        rate: bytes per second at which the body passes.
        flip: the first byte of the body arrives with all its bits turned over.
    """

    status: int = 0
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    after: int | None = None
    ending: Literal["reset", "close", "silence"] = "reset"
    rate: float | None = None
    flip: bool = False


def round_trips(requests: Iterable[Request]) -> int:
    """The longest chain of requests of which each began only after the one before had ended."""
    chain, end = 0, 0.0
    for request in sorted(requests, key=lambda request: request.finished):
        if request.started >= end:
            chain, end = chain + 1, request.finished
    return chain


@dataclass
class CountingProxy:
    """A running proxy.

    Attributes:
        endpoint_url: what clients take for the store.
        latency: seconds to wait before each request is passed on; may be changed at any time.
        per_connection_rate: bytes per second that each client connection may get; None for no limit.
        interfere: asked for every request what is to go wrong with it; may be changed at any time.
        keeps_back: names of request headers that the store does not get; may be changed at any time.
    """

    endpoint_url: str
    latency: float
    per_connection_rate: float | None
    _upstream: tuple[str, int]
    interfere: Callable[[Request], Fault | None] = lambda _: None
    keeps_back: tuple[str, ...] = ()
    _requests: list[Request] = field(default_factory=list)
    _sockets: set[socket.socket] = field(default_factory=set)
    _connections: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in order of arrival."""
        with self._lock:
            return list(self._requests)

    @property
    def body_bytes(self) -> int:
        """Bytes of all answers' bodies."""
        return sum(request.body_bytes for request in self.requests)

    @property
    def connections(self) -> int:
        """How many connections clients have opened."""
        return self._connections

    def clear(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._requests.clear()

    def _record(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    @contextmanager
    def _tracked(self, sock: socket.socket) -> Iterator[socket.socket]:
        """Let the proxy's end shut this socket down, which wakes the thread that waits for it."""
        with sock:
            with self._lock:
                self._sockets.add(sock)
            try:
                yield sock
            finally:
                with self._lock:
                    self._sockets.discard(sock)

    def _shut_down(self) -> None:
        with self._lock:
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


@contextmanager
def counting_proxy(
    endpoint_url: str, *, latency: float = 0.0, per_connection_rate: float | None = None
) -> Iterator[CountingProxy]:
    """Run a proxy on loopback in front of a plain-HTTP store until the block ends."""
    parts = urlsplit(endpoint_url)
    if parts.scheme != "http" or parts.hostname is None:
        raise ValueError(f"{endpoint_url!r} is not an http:// endpoint")
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        host, port = listener.getsockname()
        proxy = CountingProxy(f"http://{host}:{port}", latency, per_connection_rate, (parts.hostname, parts.port or 80))
        threads: list[threading.Thread] = []
        accepting = threading.Thread(target=_accept, args=(proxy, listener, threads), daemon=True)
        accepting.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # close() alone would leave accept() waiting
            accepting.join(5)
            proxy._shut_down()
            for thread in threads:
                thread.join(5)


def _accept(proxy: CountingProxy, listener: socket.socket, threads: list[threading.Thread]) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            proxy._connections += 1
            thread = threading.Thread(target=_serve, args=(proxy, client, proxy._connections), daemon=True)
            threads.append(thread)
            thread.start()


def _serve(proxy: CountingProxy, sock: socket.socket, number: int) -> None:
    """Relay one client connection until either side has had enough."""
    with contextlib.suppress(OSError, _ProtocolError), contextlib.ExitStack() as stack:
        client = _Stream(stack.enter_context(proxy._tracked(sock)))
        upstream: _Stream | None = None
        while (head := client.head()) is not None:
            request, line = _request(head, number)
            proxy._record(request)
            if proxy.latency:
                time.sleep(proxy.latency)
            fault = proxy.interfere(request) or Fault()
            if fault.status:
                client.body(_framing(request.headers), lambda *_, **__: None)
                client.send(_answer(request, fault))
                request.finished = time.monotonic()
                continue
            if upstream is None or upstream.stale():
                fresh = socket.create_connection(proxy._upstream)
                upstream = _Stream(stack.enter_context(proxy._tracked(fresh)))
            upstream.send(line + _without(head.partition(b"\r\n")[2], proxy.keeps_back))
            keep = _relay(proxy, request, client, upstream, fault)
            request.finished = time.monotonic()
            if not keep:
                return


def _relay(proxy: CountingProxy, request: Request, client: _Stream, upstream: _Stream, fault: Fault) -> bool:
    """Pass the request's body and the answer on, and say whether the connection stays open."""
    body_sent = request.headers.get("expect", "").lower() != "100-continue"
    if body_sent:
        client.body(_framing(request.headers), upstream.send)
    while True:
        head = upstream.head()
        if head is None:
            raise _ProtocolError("the store closed the connection instead of answering")
        version, status, headers = _response(head)
        if status >= 200:
            break
        client.send(head)
        if status == 100 and not body_sent:
            client.body(_framing(request.headers), upstream.send)
            body_sent = True
    request.status = status
    client.send(_with_headers(head, fault.headers))
    framing = _framing(headers, until_close=True)
    if request.method == "HEAD" or status in {204, 304}:
        framing = 0
    rate = fault.rate or proxy.per_connection_rate
    pace = _pacer(rate)

    def deliver(data: bytes | memoryview, *, payload: bool = True) -> None:
        ends = fault.after is not None and payload and request.body_bytes + len(data) > fault.after
        if ends:
            data = data[: (fault.after or 0) - request.body_bytes]
        if fault.flip and payload and not request.body_bytes:
            data = bytes([data[0] ^ 0xFF]) + bytes(data[1:])
        for piece in _pieces(data, fault.rate):
            if payload:
                request.body_bytes += len(piece)
            client.send(piece)
            pace(len(piece))
        if ends:
            client.end(fault.ending)
            raise _ProtocolError("as was asked for")

    upstream.body(framing, deliver)
    closing = "close" in {
        headers.get("connection", "").lower(),
        request.headers.get("connection", "").lower(),
    }
    return body_sent and not closing and version == "HTTP/1.1" and framing != "close"


def _pieces(data: bytes | memoryview, rate: float | None) -> Iterable[bytes | memoryview]:
    """What trickles comes in small pieces."""
    size = max(1, int(rate / 10)) if rate else max(1, len(data))
    return (data[start : start + size] for start in range(0, len(data), size))


def _answer(request: Request, fault: Fault) -> bytes:
    body = f"<Error><Code>{fault.code}</Code><Message>no</Message></Error>".encode() if fault.code else b""
    headers = {"content-type": "application/xml", **fault.headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    whole = f"HTTP/1.1 {fault.status} Fault\r\n{head}\r\n".encode()
    return whole if request.method == "HEAD" else whole + body


def _without(lines: bytes, names: tuple[str, ...]) -> bytes:
    """Header lines but for those of some names."""
    kept = (line for line in lines.split(b"\r\n") if line.partition(b":")[0].strip().lower().decode() not in names)
    return b"\r\n".join(kept)


def _with_headers(head: bytes, headers: dict[str, str]) -> bytes:
    """The head with some headers in place of those of the same name."""
    if not headers:
        return head
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    kept = [line for line in lines if line.partition(":")[0].strip().lower() not in headers]
    added = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([first, *kept, *added, "", ""]).encode("latin-1")


def _request(head: bytes, connection: int) -> tuple[Request, bytes]:
    """The request and its request line in origin form."""
    first, headers = _parse(head)
    try:
        method, target, version = first.split(" ")
    except ValueError:
        raise _ProtocolError(f"not a request line: {first!r}") from None
    absolute = target.lower().startswith("http://")
    if absolute:
        parts = target.split("/", 3)
        target = "/" + (parts[3] if len(parts) > 3 else "")
    signed = "authorization" in headers or "x-amz-signature=" in target.lower()
    headers.pop("authorization", None)
    request = Request(method, target, headers, connection, time.monotonic(), absolute, signed)
    return request, f"{method} {target} {version}\r\n".encode("latin-1")


def _response(head: bytes) -> tuple[str, int, dict[str, str]]:
    first, headers = _parse(head)
    version, status = first.split(" ")[:2]
    return version, int(status), headers


def _parse(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _framing(headers: dict[str, str], *, until_close: bool = False) -> int | str:
    """How a body ends: after so many bytes, by "chunked" encoding, or with the connection ("close")."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return "chunked"
    if "content-length" in headers:
        return int(headers["content-length"])
    return "close" if until_close else 0


def _pacer(rate: float | None) -> Callable[[int], None]:
    """Sleep as needed so that the bytes of one body pass no faster than `rate` bytes per second."""
    if rate is None:
        return lambda _: None
    start, sent = time.monotonic(), 0

    def pace(count: int) -> None:
        nonlocal sent
        sent += count
        time.sleep(max(0.0, start + sent / rate - time.monotonic()))

    return pace


class _ProtocolError(Exception):
    """The other side does not speak HTTP as we know it."""


class _Stream:
    """A socket with a buffer: heads are read whole, bodies pass through."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._pending = b""
        self._buffer = bytearray(BUFFER)

    def send(self, data: bytes | memoryview, *, payload: bool = True) -> None:
        """Send all of it; `payload` is for others with the same signature."""
        self._sock.sendall(data)

    def end(self, how: Literal["reset", "close", "silence"]) -> None:
        """Leave the other side in the middle of a body."""
        if how == "silence":
            with contextlib.suppress(OSError):
                select.select([self._sock], [], [])  # until it gives up, or the proxy ends
        if how == "reset":
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def stale(self) -> bool:
        """An idle connection that has something to say has been closed by the other side."""
        return bool(select.select([self._sock], [], [], 0)[0])

    def head(self) -> bytes | None:
        """The next head with its empty line, or None where the other side has closed."""
        return self._until(b"\r\n\r\n", end_is_fine=True)

    def body(self, framing: int | str, sink: Callable[..., None]) -> None:
        """Pass a body on as it comes, framing included (`payload=False` marks what is only framing)."""
        if framing == "close":
            self._copy(None, sink)
        elif framing == "chunked":
            while True:
                line = self._until(b"\r\n") or b""
                sink(line, payload=False)
                size = int(line.split(b";")[0], 16)
                if size == 0:
                    break
                self._copy(size, sink)
                sink(self._until(b"\r\n") or b"", payload=False)
            while line != b"\r\n":  # trailers, up to and with the empty line
                line = self._until(b"\r\n") or b""
                sink(line, payload=False)
        else:
            self._copy(int(framing), sink)

    def _until(self, mark: bytes, *, end_is_fine: bool = False) -> bytes | None:
        while mark not in self._pending:
            data = self._sock.recv(BUFFER)
            if not data:
                if end_is_fine and not self._pending:
                    return None
                raise _ProtocolError("closed in the middle of a head")
            self._pending += data
        end = self._pending.index(mark) + len(mark)
        found, self._pending = self._pending[:end], self._pending[end:]
        return found

    def _copy(self, count: int | None, sink: Callable[..., None]) -> None:
        """Pass on `count` bytes, or everything until the other side closes."""
        if self._pending:
            data = self._pending if count is None else self._pending[:count]
            self._pending = self._pending[len(data) :]
            if data:
                sink(data)
            count = None if count is None else count - len(data)
        view = memoryview(self._buffer)
        while count is None or count > 0:
            got = self._sock.recv_into(view, BUFFER if count is None else min(BUFFER, count))
            if not got:
                if count is None:
                    return
                raise _ProtocolError("closed in the middle of a body")
            sink(view[:got])
            count = None if count is None else count - got
