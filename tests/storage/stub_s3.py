"""A stand-in for stores that misbehave: listings and refusals that a real store of ours would never give.

It knows one bucket, checks no signature, and answers with what it was told. Everything that a real store can be
made to do is tested with the real one.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


@dataclass
class StubS3:
    """What to answer.

    Attributes:
        endpoint_url: where it listens.
        objects: key → content; keys go into listings as they are, however senseless.
        refusals: status and error code for the next requests, before it answers properly.
        refuses_forever: the last refusal stays.
        ignores_ranges: answers every GET with the whole object.
        requests: method and target of every request.
    """

    endpoint_url: str
    objects: list[tuple[str, bytes]] = field(default_factory=list)
    refusals: list[tuple[int, str]] = field(default_factory=list)
    refuses_forever: bool = False
    ignores_ranges: bool = False
    requests: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that KServe makes of a secret for this store."""
        return {
            "AWS_ACCESS_KEY_ID": "key-id",
            "AWS_SECRET_ACCESS_KEY": "secret-key",
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "S3_ENDPOINT": self.endpoint_url.partition("://")[2],
            "S3_USE_HTTPS": "0",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def _refusal(self) -> tuple[int, str] | None:
        if not self.refusals:
            return None
        return self.refusals[0] if self.refuses_forever and len(self.refusals) == 1 else self.refusals.pop(0)

    def _listing(self) -> bytes:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{number}&quot;</ETag><Size>{len(content)}</Size></Contents>"
            for number, (key, content) in enumerate(self.objects)
        )
        head = '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><IsTruncated>false</IsTruncated>'
        return f"{head}{entries}</ListBucketResult>".encode()


@contextmanager
def stub_s3() -> Iterator[StubS3]:
    """Run one until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        stub = StubS3(f"http://127.0.0.1:{server.server_port}")
        server.stub = stub  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield stub
        finally:
            server.shutdown()
            thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        stub: StubS3 = self.server.stub  # type: ignore[attr-defined]
        stub.requests.append(f"{self.command} {self.path}")
        target = urlsplit(self.path)
        if refusal := stub._refusal():
            status, code = refusal
            self._answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
        elif "list-type=2" in target.query:
            self._answer(200, stub._listing())
        else:
            self._object(stub, unquote(target.path).partition("/")[2].partition("/")[2])

    do_HEAD = do_GET  # noqa: N815 - the names that http.server looks for

    def _object(self, stub: StubS3, key: str) -> None:
        found = [(number, content) for number, (name, content) in enumerate(stub.objects) if name == key]
        if not found:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        number, content = found[0]
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is None or stub.ignores_ranges:
            self._answer(200, content, ETag=f'"{number}"')
            return
        begin, end = int(asked[1]), min(int(asked[2]) + 1, len(content))
        span = f"bytes {begin}-{end - 1}/{len(content)}"
        self._answer(206, content[begin:end], **{"ETag": f'"{number}"', "Content-Range": span})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
