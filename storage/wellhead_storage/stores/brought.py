"""Files that were brought to this machine another way than object by object: unpacked, or fetched by a delegate."""

from __future__ import annotations

from pathlib import Path

from wellhead_storage.stores.folder import ObstoreFolder
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.uri import StorageUri


class BroughtFolder(ObstoreFolder):
    """A folder of our own: its files are read like a store's, and moved instead of copied.

    Args:
        uri: where the files came from, for messages.
        root: the folder, on the destination's volume.
    """

    def __init__(self, uri: StorageUri, root: Path) -> None:
        from obstore.store import LocalStore

        super().__init__(uri, LocalStore(root), "")
        self._root = root

    def file(self, item: StoredObject) -> Path:
        """Where the file is."""
        return self._root / item.name


class KeptFolder(BroughtFolder):
    """Files that an earlier run brought, in their place in the destination; others there do not count.

    Args:
        uri: where the files came from, for messages.
        root: the destination.
        names: of the files.
    """

    def __init__(self, uri: StorageUri, root: Path, names: frozenset[str]) -> None:
        super().__init__(uri, root)
        self._names = names

    def objects(self) -> list[StoredObject]:
        """See `Store.objects`."""
        return [item for item in super().objects() if item.name in self._names]
