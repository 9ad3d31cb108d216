"""What a store has to offer: one listing, and reads of parts of objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from typing_extensions import Buffer


Algorithm = Literal["md5", "sha256", "sha1", "crc32", "crc32c", "crc64nvme", "git-sha1"]


class Checksum(NamedTuple):
    """What a store says about an object's content.

    Attributes:
        algorithm: `git-sha1` is Git's blob id: SHA-1 over a `blob` header and the content (Hugging Face, small files).
        value: lower-case hexadecimal.
    """

    algorithm: Algorithm
    value: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a model's folder.

    Attributes:
        name: path relative to the folder, `/`-separated.
        size: bytes; 0 where `sized` is False.
        etag: the store's version mark, quotes included, or None.
        version: generation (GCS) or version id, or None.
        checksum: of the content, where the store gives one with its listing.
        ranged: False where the store can only send the object from its start to its end (some HTTP servers).
        sized: False where the length is unknown until the end has come (chunked HTTP answers).
    """

    name: str
    size: int
    etag: str | None = None
    version: str | None = None
    checksum: Checksum | None = None
    ranged: bool = True
    sized: bool = True


class Store(Protocol):
    """A folder in a store. Methods raise `WellheadError`s that name the object, and are called from many threads.

    Attributes:
        uri: what it is called in messages and in the plan; after `objects()` it may be more precise than what was
            asked for (a Hugging Face revision becomes a commit).
    """

    uri: StorageUri

    def objects(self) -> list[StoredObject]:
        """Every object below the folder (paged inside), or the one object that the URI names itself."""

    def stream(self, item: StoredObject, start: int = 0, length: int | None = None) -> Iterator[Buffer]:
        """The bytes [start, start + length) of an object in chunks; fails if the object changed since listed."""

    def read(self, item: StoredObject, start: int = 0, length: int | None = None) -> bytes:
        """The same, whole; for small parts."""

    def checksum(self, item: StoredObject) -> Checksum | None:
        """What the store says of the content, asked once a file is whole; may need a request."""

    def checksum_is_of_content(self, item: StoredObject, checksum: Checksum) -> bool:
        """Asked when that does not fit: whether it really is a checksum of the content as it is sent.

        S3's ETag is not, for objects encrypted with a key of KMS or of the customer.
        """
