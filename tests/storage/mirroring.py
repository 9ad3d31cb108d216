"""A folder of the store to mirror into, and the mirror in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import obstore

from tests.storage.model import BUCKET
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME, Manifest, parse_manifest
from wellhead_storage.mirror.run import Options, mirror
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    from tests.support.counting_proxy import Request
    from tests.support.seaweedfs import SeaweedFS
    from wellhead_storage.mirror.result import Result

_numbers = count(1)
_LONGEST_HEADER = 16 << 10  # bytes, of the tests' models


def reads_weights(request: Request) -> bool:
    """Whether a request is for the content of a shard, and not for its header."""
    if request.method != "GET" or not request.path.endswith(".safetensors"):
        return False
    begin, _, end = (request.range or "").removeprefix("bytes=").partition("-")
    return int(end) - int(begin) > _LONGEST_HEADER


@dataclass(frozen=True)
class Mirror:
    """A fresh folder of the bucket `models`."""

    store: SeaweedFS
    prefix: str = field(default_factory=lambda: f"mirror-{next(_numbers)}")

    @property
    def uri(self) -> str:
        """What a user writes as DST."""
        return f"s3://{BUCKET}/{self.prefix}"

    def of(
        self,
        source: str,
        options: Options | None = None,
        *,
        endpoint: str | None = None,
        settings: Settings | None = None,
    ) -> Result:
        """Mirror a source into the folder, in this process."""
        environment = self.store.environment(endpoint)
        return mirror(source, self.uri, options or Options(), settings or Settings(retry_timeout=0.2), environment)

    @property
    def everything(self) -> dict[str, bytes]:
        """Every object of the folder."""
        client = self.store.store(BUCKET)
        names = [key.removeprefix(f"{self.prefix}/") for key in self.store.keys(BUCKET, self.prefix)]
        return {name: bytes(obstore.get(client, f"{self.prefix}/{name}").bytes()) for name in names}

    @property
    def files(self) -> dict[str, bytes]:
        """The model in it."""
        return {name: data for name, data in self.everything.items() if not name.startswith(".wellhead/")}

    @property
    def manifest(self) -> Manifest:
        """What says that it is finished."""
        found = parse_manifest(self.everything[MANIFEST_NAME])
        assert found is not None
        return found

    @property
    def recorded(self) -> set[str]:
        """Names in the progress record of an unfinished mirror."""
        found = parse_manifest(self.everything.get(PROGRESS_NAME, b""))
        return {file.name for file in found.files} if found else set()

    def put(self, name: str, content: bytes) -> None:
        """Write one object of the folder."""
        self.store.put(BUCKET, f"{self.prefix}/{name}", content)
