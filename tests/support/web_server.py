"""A web server of our own, with the habits that web servers have: ranges or none, redirects, logins, lies."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class WebServer:
    """What it does.

    Attributes:
        url: where it listens.
        files: path → content; changing one changes its ETag.
        headers: path → further headers of its answers; those of the server's own go where they are empty.
        redirects: path → where to.
        needs: headers without which it answers 401.
        ranges: it knows ranges.
        refuses_ranges: it answers 416 to every range.
        etags: it gives ETags; by its content; `headers` may give others.
        lengths: it says lengths; without, bodies come in chunks.
        failures: statuses of the next answers.
        cuts: how many of the next bodies end half-way.
        before: called with every request before it is answered; the number of requests so far comes with it.
        asked: (path with query, headers in lower case) of every request.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    refuses_ranges: bool = False
    etags: bool = True
    lengths: bool = True
    failures: list[int] = field(default_factory=list)
    cuts: int = 0
    before: Callable[[int], None] = lambda _: None
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Host and port."""
        return self.url.partition("://")[2]


@contextmanager
def web_server() -> Iterator[WebServer]:
    """Run one until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        web = WebServer(f"http://127.0.0.1:{server.server_port}")
        server.web = web  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        web: WebServer = self.server.web  # type: ignore[attr-defined]
        web.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        web.before(len(web.asked))
        path = self.path.partition("?")[0]
        if web.failures:
            self._answer(web.failures.pop(0), b"")
        elif any(self.headers.get(name) != value for name, value in web.needs.items()):
            self._answer(401, b"")
        elif path in web.redirects:
            self._answer(302, b"", location=web.redirects[path])
        elif path not in web.files:
            self._answer(404, b"<html>not here</html>", **{"content-type": "text/html"})
        else:
            self._file(web, web.files[path], web.headers.get(path, {}))

    def _file(self, web: WebServer, content: bytes, further: dict[str, str]) -> None:
        etag = f'"{hash(content)}"'
        marks = {"etag": etag} if web.etags else {}
        headers = {**marks, "content-type": "application/octet-stream", **further}
        asked = _RANGE.fullmatch(self.headers.get("range", "")) if web.ranges else None
        if web.refuses_ranges and "range" in self.headers:
            self._answer(416, b"<html>no</html>", **{"content-type": "text/html"})
        elif asked and int(asked[1]) >= len(content):
            self._answer(416, b"", **{"content-range": f"bytes */{len(content)}"}, **marks)
        elif asked:
            begin, end = int(asked[1]), min(int(asked[2] or len(content)) + 1, len(content))
            span = f"bytes {begin}-{end - 1}/{len(content)}"
            self._answer(206, content[begin:end], **{"content-range": span}, **headers)
        else:
            self._answer(200, content, **headers)

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        web: WebServer = self.server.web  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if web.lengths or status != 200:
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if web.cuts and len(body) > 1:
                web.cuts -= 1
                body, self.close_connection = body[: len(body) // 2], True
            self.wfile.write(body)
        else:
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for start in range(0, len(body), 50_000):
                piece = body[start : start + 50_000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
