"""A folder or file of this machine, as a store."""

from __future__ import annotations

from pathlib import Path

from wellhead_storage.errors import ObjectNotFound
from wellhead_storage.stores.folder import ObstoreFolder
from wellhead_storage.uri import StorageUri


def open_local(uri: StorageUri, path: Path) -> ObstoreFolder:
    """Open a local path.

    Raises:
        ObjectNotFound: nothing is there.
    """
    from obstore.store import LocalStore

    if path.is_dir():
        return ObstoreFolder(uri, LocalStore(path), "")
    if path.is_file():
        return ObstoreFolder(uri, LocalStore(path.parent), path.name)
    raise ObjectNotFound(f"{path} does not exist in this container.", "Check the path and the volume's mount.")
