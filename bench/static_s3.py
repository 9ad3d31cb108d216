"""A read-only S3 look-alike that costs next to nothing: nginx sends the objects, a small handler lists them.

Path-style, plain HTTP, any signature is good. Clients can be compared on it where a real store would be the slowest
part. Needs nginx with two modules (Debian: nginx-light, libnginx-mod-http-echo, libnginx-mod-http-headers-more-filter).
"""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from urllib.parse import parse_qs, urlsplit

from bench.netns import Link
from bench.s3_answers import StoredFile, listing, location, stored_files

_CONFIG = """\
load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;
load_module /usr/lib/nginx/modules/ngx_http_headers_more_filter_module.so;
user root;
daemon off;
worker_processes auto;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  log_format requests "$msec $request_time $request_method $status $body_bytes_sent $uri";
  access_log {folder}/access.log requests;
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 600s;
  keepalive_requests 1000000;
  etag off;
  map_hash_bucket_size 512;
  map $uri $s3_etag {{
{etags}
  }}
  server {{
    listen {address}:80 backlog=4096;
    location ~ ^/[^/]+/?$ {{ proxy_pass http://unix:{folder}/list.sock; }}
    location / {{ {delay} }}
    location @objects {{
      root {root};
      try_files $uri =404;
      more_clear_input_headers If-Match If-None-Match;  # nginx would compare them with its own kind of ETag
      more_set_headers "ETag: $s3_etag";
    }}
  }}
}}
"""


class ServerError(RuntimeError):
    """nginx did not start."""


@dataclass(frozen=True)
class Request:
    """A line of nginx's log; `arrived` is in seconds since 1970, `took` in seconds."""

    arrived: float
    took: float
    method: str
    status: int
    size: int
    path: str


@dataclass
class StaticS3:
    """A running server.

    Attributes:
        endpoint_url: as the client's namespace sees it.
        latency: seconds before every answer.
    """

    endpoint_url: str
    process: subprocess.Popen[bytes]
    log: Path
    files: tuple[StoredFile, ...]
    latency: float = 0.0
    _read: int = 0

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
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def new_requests(self) -> list[Request]:
        """What was answered since the last call."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        self._read += len(text)
        return [parse_request(line) for line in text.decode().splitlines()]


def parse_request(line: str) -> Request:
    """A line of the log format above."""
    ended, took, method, status, size, path = line.split(" ", 5)
    return Request(float(ended) - float(took), float(took), method, int(status), int(size), path)


@contextmanager
def static_s3(root: Path, folder: Path, link: Link, latency: float = 0.0) -> Iterator[StaticS3]:
    """Serve `root`, whose folders are buckets, in the link's server namespace.

    Args:
        root: what to serve; not changed while it is served.
        folder: for nginx's own files; empty or missing.
        link: where to listen.
        latency: seconds to wait before every answer.
    """
    nginx = shutil.which("nginx")
    if nginx is None:
        raise ServerError("nginx is not installed.")
    folder.mkdir(parents=True, exist_ok=True)
    files = stored_files(root)
    etags = "\n".join(f"    '/{file.bucket}/{file.key}' '{file.etag}';" for file in files)
    delay = f"echo_sleep {latency:.3f}; echo_exec @objects;" if latency else "echo_exec @objects;"
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(folder=folder, root=root, etags=etags, delay=delay, address=link.address), encoding="utf-8"
    )
    with ExitStack() as stack:
        handler = stack.enter_context(ThreadingUnixStreamServer(str(folder / "list.sock"), _handler(files, latency)))
        thread = threading.Thread(target=handler.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(handler.shutdown)
        command = link.in_server(nginx, "-c", str(config), "-e", str(folder / "error.log"))
        process = subprocess.Popen(command)
        stack.callback(_end, process)
        _await_start(link, process, folder / "error.log")
        server = StaticS3(f"http://{link.address}", process, folder / "access.log", files, latency)
        server.new_requests()
        yield server


def _await_start(link: Link, process: subprocess.Popen[bytes], log: Path) -> None:
    probe = link.in_client("curl", "--silent", "--output", "/dev/null", f"http://{link.address}/probe")
    for _ in range(100):
        if process.poll() is not None:
            break
        if subprocess.run(probe, check=False).returncode == 0:
            return
        time.sleep(0.05)
    said = log.read_text() if log.exists() else ""
    raise ServerError(f"nginx did not start: {said.strip() or 'it said nothing'}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _handler(files: tuple[StoredFile, ...], latency: float) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def address_string(self) -> str:
            return "nginx"  # a UNIX socket's peer has no address

        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            bucket = parts.path.strip("/")
            self._answer(location() if "location" in query else listing(files, bucket, query))

        def _answer(self, body: bytes) -> None:
            time.sleep(latency)
            known = any(file.bucket == urlsplit(self.path).path.strip("/") for file in files)
            self.send_response(http.client.OK if known else http.client.NOT_FOUND)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, socket.timeout):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """nginx logs."""

    return Handler
