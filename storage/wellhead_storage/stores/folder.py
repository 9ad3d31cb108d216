"""A folder in any store that obstore speaks to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import obstore

from wellhead_storage.errors import IntegrityError
from wellhead_storage.retrying import persist
from wellhead_storage.settings import Settings
from wellhead_storage.stores.failures import CLIENT_ERRORS, explain, replaced
from wellhead_storage.stores.interface import Checksum, StoredObject
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore
    from typing_extensions import Buffer

_PAGE = 1000
# A chunk stays in the processor's cache on its way to the file, which over plain HTTP saves a tenth of the time. With
# TLS every chunk costs a hand-over between threads that is worth more.
_CHUNK, _CHUNK_TLS = 256 * 1024, 1024 * 1024


def listed(name: str, meta: ObjectMeta) -> StoredObject:
    """An object as obstore lists it. Azure's listings have ETags without the quotes that all its answers have."""
    etag = meta["e_tag"]
    if etag and etag.startswith("0x"):
        etag = f'"{etag}"'
    return StoredObject(name, meta["size"], etag, meta["version"])


class ObstoreFolder:
    """The folder `prefix` of an obstore store, as `Store`.

    Args:
        uri: what to call it in messages.
        store: an obstore store for the bucket.
        prefix: the folder's key without slashes at its ends; empty for the whole bucket.
        settings: how long a failing listing is tried again; None is for folders of this machine.
    """

    def __init__(self, uri: StorageUri, store: ObjectStore, prefix: str, settings: Settings | None = None) -> None:
        self.uri = uri
        self._settings = settings
        self._store = store
        self._prefix = prefix
        options = getattr(store, "client_options", None) or {}
        self._chunk = _CHUNK if options.get("allow_http") else _CHUNK_TLS
        self._single = False  # the URI names one object instead of a folder

    @property
    def client(self) -> ObjectStore:
        """The obstore store of the whole bucket, for writing."""
        return self._store

    def objects(self) -> list[StoredObject]:
        """See `Store.objects`. obstore's prefix ends at a slash: `models/llama` never lists `models/llama-2/`."""
        return persist(self._list, self._settings, first=True) if self._settings else self._list()

    def _list(self) -> list[StoredObject]:
        try:
            found = [
                listed(self._relative(meta["path"]), meta)
                for page in obstore.list(self._store, self._prefix or None, chunk_size=_PAGE)
                for meta in page
            ]
            found = [item for item in found if item.name]  # the folder's own marker object
            return found or self._itself()
        except CLIENT_ERRORS as error:
            raise explain(error, self.uri.location) from error

    def _itself(self) -> list[StoredObject]:
        if not self._prefix:
            return []
        try:
            meta = obstore.head(self._store, self._prefix)
        except FileNotFoundError:
            return []
        if meta["size"] == 0:
            return []  # a folder's marker, written as an object by some tools
        self._single = True
        return [listed(self._prefix.rpartition("/")[2], meta)]

    def stream(self, item: StoredObject, start: int = 0, length: int | None = None) -> Iterator[Buffer]:
        """See `Store.stream`."""
        end = item.size if length is None else start + length
        if end <= start:
            return  # an empty range is an error for S3, and nothing is needed
        got = 0
        try:
            options: dict[str, object] = {"range": (start, end)}
            if item.etag:
                options["if_match"] = item.etag
            answer = obstore.get(self._store, self._key(item.name), options=options)  # type: ignore[arg-type]
            if not _is_edition(item, answer.meta):  # not every gateway or cache knows If-Match
                raise replaced(self.uri.child(item.name))
            for chunk in answer.stream(min_chunk_size=self._chunk):
                got += len(chunk)
                if got > end - start:
                    break
                yield chunk
        except CLIENT_ERRORS as error:
            raise explain(error, self.uri.child(item.name)) from error
        if got != end - start:
            raise IntegrityError(
                f"{self.uri.child(item.name)} gave {got:,} bytes where {end - start:,} were asked for.",
                "Upload it again, or check the proxy in front of the store.",
                passing=True,
            )

    def read(self, item: StoredObject, start: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        return b"".join(self.stream(item, start, length))

    def checksum(self, item: StoredObject) -> Checksum | None:
        """See `Store.checksum`."""
        return item.checksum

    def checksum_is_of_content(self, item: StoredObject, checksum: Checksum) -> bool:
        """See `Store.checksum_is_of_content`."""
        return True

    def _relative(self, path: str) -> str:
        if not self._prefix:
            return path
        return path[len(self._prefix) + 1 :] if path.startswith(self._prefix + "/") else ""

    def _key(self, name: str) -> str:
        if self._single:
            return self._prefix
        return f"{self._prefix}/{name}" if self._prefix else name


def _is_edition(item: StoredObject, meta: ObjectMeta) -> bool:
    """Whether an answer is of the object that was listed; proxies that compress make ETags weak, lists lack quotes."""
    listed_as, came_as = ((etag or "").removeprefix("W/").strip('"') for etag in (item.etag, meta["e_tag"]))
    return meta["size"] == item.size and (not listed_as or not came_as or listed_as == came_as)
