"""Where a mirror goes: a folder of an object store, or a directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from wellhead_storage.errors import AccessDenied, InvalidUri
from wellhead_storage.mirror.refusals import explain_writing
from wellhead_storage.settings import Settings
from wellhead_storage.stores.failures import CLIENT_ERRORS, explain
from wellhead_storage.stores.folder import ObstoreFolder, listed
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from typing_extensions import Buffer

WRITABLE = frozenset({"s3", "gs", "az", "file"})
_PAGE = 1000
_UPLOADS = 64  # parts of one object at a time; what really bounds them is the budget of memory


class Target(Protocol):
    """A folder that can be written. Objects appear whole or not at all; methods are called from many threads.

    Attributes:
        uri: what it is called in messages.
    """

    uri: StorageUri

    def objects(self) -> dict[str, StoredObject]:
        """The listing, by name."""

    def read(self, name: str) -> bytes | None:
        """A small object, or None."""

    def put(self, name: str, data: Buffer) -> str | None:
        """Write an object, and return the ETag that the listing will show."""

    def put_pieces(self, name: str, pieces: Iterator[Buffer], piece_bytes: int) -> str | None:
        """The same for one that comes in pieces of equal size; if `pieces` raises, nothing is left."""

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects; those that are not there count as removed."""

    def require_space(self, needed: int) -> None:
        """Refuse what cannot fit, as far as that can be known."""

    def settle(self) -> None:
        """What was written and deleted until now outlasts a power failure."""

    def held(self) -> AbstractContextManager[None]:
        """Keep other processes out, as far as that is possible."""


def open_target(uri: StorageUri, environment: Mapping[str, str], settings: Settings) -> Target:
    """Open a destination; no request is made yet.

    Raises:
        InvalidUri: nothing can be written there.
        InvalidConfiguration, AccessDenied: the credentials are unusable or missing.
    """
    if uri.kind == "file":
        from wellhead_storage.mirror.directory import Directory

        return Directory(uri)
    from wellhead_storage.stores.opening import open_store

    opened = open_store(uri, environment, settings) if uri.kind in WRITABLE else None
    store = opened.store if opened else None
    if opened and opened.credentials and uri.kind == "gs" and opened.credentials.connection.identity == "anonymous":
        raise AccessDenied(  # obstore would look for a metadata server even where it is told to sign nothing
            f"{uri.location} cannot be written without credentials.",
            "Name a key file in GOOGLE_APPLICATION_CREDENTIALS, or in WELLHEAD_DST_GOOGLE_APPLICATION_CREDENTIALS.",
        )
    if not isinstance(store, ObstoreFolder):
        raise InvalidUri(
            f"A mirror cannot be written to {uri.scheme}://.", "Name a folder in s3://, gs:// or az://, or a directory."
        )
    return ObjectFolder(uri, store)


class ObjectFolder:
    """A folder in a store that obstore speaks to.

    Args:
        uri: the folder.
        store: it, opened.
    """

    def __init__(self, uri: StorageUri, store: ObstoreFolder) -> None:
        self.uri = uri
        self._client = store.client

    def objects(self) -> dict[str, StoredObject]:
        """See `Target.objects`."""
        import obstore

        found: dict[str, StoredObject] = {}
        try:
            for page in obstore.list(self._client, self.uri.key or None, chunk_size=_PAGE):
                for meta in page:
                    name = meta["path"][len(self._key("")) :]
                    if name:
                        found[name] = listed(name, meta)
        except CLIENT_ERRORS as error:
            raise explain(error, self.uri.location) from error
        return found

    def read(self, name: str) -> bytes | None:
        """See `Target.read`."""
        import obstore

        try:
            return bytes(obstore.get(self._client, self._key(name)).bytes())
        except FileNotFoundError:
            return None
        except CLIENT_ERRORS as error:
            raise explain(error, self.uri.child(name)) from error

    def put(self, name: str, data: Buffer) -> str | None:
        """See `Target.put`."""
        import obstore

        try:
            return obstore.put(self._client, self._key(name), data, use_multipart=False)["e_tag"]
        except CLIENT_ERRORS as error:
            raise explain_writing(error, self.uri, name) from error

    def put_pieces(self, name: str, pieces: Iterator[Buffer], piece_bytes: int) -> str | None:
        """See `Target.put_pieces`.

        obstore sends every piece as one part as soon as it gets it, without a copy, and aborts the upload when
        `pieces` raises (seen with 0.12.1).
        """
        import obstore

        try:
            result = obstore.put(
                self._client,
                self._key(name),
                pieces,
                use_multipart=True,
                chunk_size=piece_bytes,
                max_concurrency=_UPLOADS,
            )
            if self.uri.kind == "gs":  # whose answer need not bear the ETag that the object then has
                return obstore.head(self._client, self._key(name))["e_tag"]
            return result["e_tag"]
        except CLIENT_ERRORS as error:
            raise explain_writing(error, self.uri, name) from error

    def delete(self, names: Iterable[str]) -> None:
        """See `Target.delete`."""
        import obstore

        for name in names:
            try:
                obstore.delete(self._client, self._key(name))
            except FileNotFoundError:
                continue
            except CLIENT_ERRORS as error:
                raise explain_writing(error, self.uri, name) from error

    def require_space(self, needed: int) -> None:
        """Object stores say nothing of their size."""

    def settle(self) -> None:
        """What an object store has confirmed, it keeps."""

    def held(self) -> AbstractContextManager[None]:
        """Object stores have no lock; that somebody else wrote is noticed at the end."""
        return nullcontext()

    def _key(self, name: str) -> str:
        return f"{self.uri.key}/{name}" if self.uri.key else name
