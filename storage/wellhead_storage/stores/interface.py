"""What a store has to offer: one listing, and reads of parts of objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from typing_extensions import Buffer


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a model's folder.

    Attributes:
        name: path relative to the folder, `/`-separated.
        size: bytes.
        etag: the store's version mark, quotes included, or None.
    """

    name: str
    size: int
    etag: str | None = None


class Store(Protocol):
    """A folder in a store. Methods raise `WellheadError`s that name the object."""

    uri: StorageUri

    def objects(self) -> list[StoredObject]:
        """Every object below the folder (paged inside), or the one object that the URI names itself."""

    def stream(self, item: StoredObject, start: int = 0, length: int | None = None) -> Iterator[Buffer]:
        """The bytes [start, start + length) of an object in chunks; fails if the object changed since listed."""

    def read(self, item: StoredObject, start: int = 0, length: int | None = None) -> bytes:
        """The same, whole; for small parts."""
