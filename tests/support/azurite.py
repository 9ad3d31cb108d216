"""A real Azure Blob server for tests: Azurite (npm), in memory, on loopback. `make storage` installs it."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import obstore
from obstore.store import AzureStore

from tests.support.child_server import child_server, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "devstoreaccount1"
# The key that Microsoft publishes for every emulator.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_PROGRAM = Path(sys.prefix) / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


@dataclass(frozen=True)
class Azurite:
    """A running server.

    Attributes:
        endpoint_url: of the account.
    """

    endpoint_url: str

    def store(self, container: str) -> AzureStore:
        """A store that may do everything."""
        return AzureStore(
            container,
            config={"account_name": ACCOUNT, "account_key": KEY, "endpoint": self.endpoint_url},
            client_options={"allow_http": True},
        )

    def put(self, container: str, key: str, content: bytes) -> None:
        """Write one blob, in one piece, with its Content-MD5."""
        obstore.put(self.store(container), key, content, use_multipart=False)

    def put_folder(self, container: str, prefix: str, folder: Path) -> None:
        """Write every file below a folder."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.put(container, f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())

    def signed(self, container: str, key: str, method: Literal["GET", "HEAD"] = "GET") -> str:
        """An address with a signature of its own."""
        return obstore.sign(self.store(container), method, key, timedelta(hours=1))


@contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    """Run a server until the block ends."""
    node = shutil.which("node")
    assert node is not None, "make storage installs it where apt-get can"
    assert _PROGRAM.is_file(), "make storage installs it"
    port = free_port()
    command = [
        *(node, str(_PROGRAM), "--silent", "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port)),
    ]
    with child_server(command, folder, f"http://127.0.0.1:{port}/{ACCOUNT}"):
        yield Azurite(f"http://127.0.0.1:{port}/{ACCOUNT}")
