"""A store in memory, for tests of what lies above stores."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from wellhead_storage.errors import IntegrityError, WellheadError
from wellhead_storage.stores.interface import Checksum, StoredObject
from wellhead_storage.uri import StorageUri, parse


class MemoryStore:
    """`Store` over a dict.

    Args:
        content: name → bytes.
        uri: what to call it.
        broken: names whose reads fail, with the error.

    Attributes:
        reads: (name, start, length) of every read so far.
    """

    def __init__(
        self,
        content: Mapping[str, bytes],
        uri: str = "s3://models/llama",
        broken: Mapping[str, WellheadError] | None = None,
    ) -> None:
        self.uri: StorageUri = parse(uri)
        self.content = dict(content)
        self.broken = dict(broken or {})
        self.reads: list[tuple[str, int, int]] = []
        self._lock = threading.Lock()

    def objects(self) -> list[StoredObject]:
        return [StoredObject(name, len(data), _etag(data)) for name, data in self.content.items()]

    def stream(self, item: StoredObject, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        data = self.content[item.name]
        end = item.size if length is None else start + length
        with self._lock:
            self.reads.append((item.name, start, end - start))
        if item.name in self.broken:
            raise self.broken[item.name]
        if item.etag != _etag(data):
            raise IntegrityError(f"{self.uri.child(item.name)} was replaced while it was being read.")
        for position in range(start, end, 1000):
            yield data[position : min(position + 1000, end)]

    def read(self, item: StoredObject, start: int = 0, length: int | None = None) -> bytes:
        return b"".join(self.stream(item, start, length))

    def checksum(self, item: StoredObject) -> Checksum | None:
        return item.checksum

    def checksum_is_of_content(self, item: StoredObject, checksum: Checksum) -> bool:
        return True

    def bytes_read(self, suffix: str = "") -> int:
        return sum(length for name, _, length in self.reads if name.endswith(suffix))


def of_folder(folder: Path) -> dict[str, bytes]:
    """The content of a folder as a store has it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'
