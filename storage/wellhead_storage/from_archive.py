"""A model that comes as one archive: fetched and unpacked, or found unpacked by an earlier run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import PurePosixPath

from wellhead_storage.archives.unpack import unpack
from wellhead_storage.download.fetch import fetch
from wellhead_storage.download.published import is_edition, read_local_manifest
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.errors import IntegrityError
from wellhead_storage.files import disk_errors, free_bytes
from wellhead_storage.manifest import Manifest
from wellhead_storage.stores.brought import BroughtFolder, KeptFolder
from wellhead_storage.stores.interface import Store, StoredObject
from wellhead_storage.uri import StorageUri

_MARK = "config.json"
_MOST_SPARED = 1 << 30


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The content of an archive.

    Attributes:
        store: its files.
        root: the folder in the archive that they are relative to; empty for all of it.
    """

    store: BroughtFolder
    root: str


def unpacked_before(uri: StorageUri, archive: StoredObject, staging: Staging, *, lift: bool) -> Unpacked | None:
    """What an earlier run unpacked into the destination, if it is of this edition and untouched since.

    A cheap check: sizes and modification times of the files, and the archive's ETag.
    """
    manifest = read_local_manifest(staging.destination)
    if manifest is None or manifest.archive is None or manifest.source != uri.public:
        return None
    names = [file.name for file in manifest.files]
    usable = manifest.archive_root == "" or lift
    if not usable or (lift and _wrapper(manifest)) or not is_edition(manifest.archive, archive):
        return None
    doubts = [staging.published.doubts(file) for file in manifest.files]  # of all, so that all are synced
    if not names or any(doubts) or not all(map(staging.published.untouched, manifest.files)):
        return None
    return Unpacked(KeptFolder(uri, staging.destination, frozenset(names)), manifest.archive_root)


def _wrapper(manifest: Manifest) -> str:
    """The one folder that holds the model and would be lifted out of."""
    tops = {PurePosixPath(file.name).parts[0] for file in manifest.files}
    top = tops.pop() if len(tops) == 1 else ""
    return top if any(file.name == f"{top}/{_MARK}" for file in manifest.files) else ""


def room(free: int) -> int:
    """How many of the free bytes of a volume an archive may fill.

    Not the last twentieth, or GiB: blocks and folders take more than the bytes in them, and on a node's disk others
    write too (the kubelet evicts pods long before it is full).
    """
    return free - min(free // 20, _MOST_SPARED)


def fetch_and_unpack(
    store: Store, archive: StoredObject, staging: Staging, transfer: Transfer, *, lift: bool
) -> Unpacked:
    """Fetch an archive and unpack it on the destination's volume, as KServe's own initializer does with a lone one.

    Args:
        store: holds the archive.
        archive: its only object.
        staging: of the destination.
        transfer: pools of the call.
        lift: take the model out of the one folder it is packed in.

    Raises:
        InsufficientSpace, IntegrityError, IncompleteCheckpoint, StoreUnavailable: see `fetch` and `unpack`.
    """
    fetch(store, [archive], staging, transfer, large=True)
    root = staging.unpacked
    with disk_errors(staging.destination):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
    try:
        unpack(staging.path(archive.name), root, available=room(free_bytes(root)), check=transfer.large.check)
    except IntegrityError:  # it will not be better the next time
        staging.spoil(archive)
        raise
    staging.drop(archive.name)
    inside = list(root.iterdir())
    if lift and len(inside) == 1 and (inside[0] / _MARK).is_file():
        return Unpacked(BroughtFolder(store.uri, inside[0]), inside[0].name)
    return Unpacked(BroughtFolder(store.uri, root), "")
