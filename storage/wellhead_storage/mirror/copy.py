"""Copying one object: read in parallel, verified on the way through, and written so that it is whole or absent."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from wellhead_storage.download.verify import Digest, start_digest
from wellhead_storage.errors import IntegrityError
from wellhead_storage.logs import log
from wellhead_storage.manifest import ManifestFile
from wellhead_storage.mirror.arrived import Arrived
from wellhead_storage.mirror.budget import Piece
from wellhead_storage.mirror.pieces import Reader, piece_bytes
from wellhead_storage.mirror.targets import Target
from wellhead_storage.retrying import persist
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Algorithm, Checksum, Store, StoredObject

if TYPE_CHECKING:
    from typing_extensions import Buffer

_OWN: Algorithm = "sha256"  # recorded where the source gives no checksum


class Copier:
    """Copies objects from one store to one target; called from many threads.

    Args:
        store: the source.
        target: where copies go.
        reader: reads the source.
        arrived: counts what it reads.
        settings: whether to compute checksums, and how long to try.
    """

    def __init__(self, store: Store, target: Target, reader: Reader, arrived: Arrived, settings: Settings) -> None:
        self._store, self._target, self._reader, self._settings = store, target, reader, settings
        self._arrived = arrived

    def copy(self, item: StoredObject) -> ManifestFile:
        """Copy one object; where it changes meanwhile or arrives damaged, it starts over once.

        Raises:
            IntegrityError: the second time.
            ObjectNotFound: it is gone.
            StoreUnavailable: either side kept failing.
        """
        try:
            return persist(partial(self._once, item), self._settings)
        except IntegrityError as error:
            log.warning("%s Copying it again.", error.problem)
        # Here and not above: the error's frames hold pieces that the new attempt needs.
        fresh = next((other for other in self._store.objects() if other.name == item.name), None)
        if fresh is None:
            raise IntegrityError(
                f"{self._store.uri.child(item.name)} vanished while it was being copied.",
                "Start again once the upload of the model is finished.",
            )
        return persist(partial(self._once, fresh), self._settings)

    def _once(self, item: StoredObject) -> ManifestFile:
        through = _Through(self._store, item, self._settings)
        with (
            self._arrived.attempt(item.name) as count,
            closing(through.check(self._reader.pieces(item, count))) as pieces,
        ):
            if item.sized and item.size <= piece_bytes(item):
                copy_etag = self._put_whole(item.name, pieces)
            else:
                copy_etag = self._target.put_pieces(item.name, pieces, piece_bytes(item))
        return ManifestFile(
            name=item.name,
            size=through.size,
            etag=item.etag,
            version=item.version,
            checksum=through.checksum,
            copy_etag=copy_etag,
        )

    def _put_whole(self, name: str, pieces: Iterator[Buffer]) -> str | None:
        data = next(pieces, b"")
        try:
            next(pieces, None)  # the end, where the checks are
            return self._target.put(name, data)
        except BaseException:
            if isinstance(data, Piece):
                data.drop()
            raise


class _Through:
    """What is learnt of an object while it passes.

    Attributes:
        size: bytes so far.
        checksum: as the manifest has it, once all have passed.
    """

    def __init__(self, store: Store, item: StoredObject, settings: Settings) -> None:
        self._store, self._item = store, item
        self.size = 0
        self.checksum: str | None = None
        full = settings.verify == "full"
        self._expected = persist(partial(store.checksum, item), settings) if full else None
        algorithm = self._expected.algorithm if self._expected else _OWN
        self._digest: Digest | None = start_digest(algorithm, item.size) if full else None
        self._algorithm = algorithm

    def check(self, pieces: Iterator[Buffer]) -> Generator[Buffer, None, None]:
        """Pass the pieces on; what is wrong fails after the last one, before the upload is completed."""
        for piece in pieces:
            self.size += memoryview(piece).nbytes
            if self._digest:
                self._digest.update(piece)
            held = [piece]
            del piece  # while this waits for its next turn, nothing here may hold the piece
            yield held.pop()
        if self._item.sized and self.size != self._item.size:
            raise IntegrityError(
                f"{self._store.uri.child(self._item.name)} gave {self.size:,} bytes of {self._item.size:,}.",
                "Upload it again, or check the proxy in front of the store.",
            )
        if not self._digest:
            return
        found = Checksum(self._algorithm, self._digest.hexdigest())
        self.checksum = str(found)
        if (
            self._expected
            and found != self._expected
            and self._store.checksum_is_of_content(self._item, self._expected)
        ):
            raise IntegrityError(
                f"{self._store.uri.child(self._item.name)} came with another checksum than the store's.",
                "Upload it again, or check the proxy in front of the store.",
            )
