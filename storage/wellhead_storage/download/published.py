"""What an earlier run published in a destination, and what of it can be believed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from wellhead_storage.download.boot import boot_id
from wellhead_storage.manifest import MANIFEST_NAME, Manifest, ManifestFile, parse_manifest
from wellhead_storage.paths import safe_target
from wellhead_storage.stores.interface import StoredObject


class Published:
    """The published files of one destination.

    Nothing is synced when it is published: that would cost as long as writing the whole model to the disk. So the
    manifest says in which boot a file was written, and in another one it is in doubt: after a crash of its machine
    its size and modification time may be on the disk while its bytes are not. What was in doubt once is synced when
    it is published the next time, and believed from then on.

    Args:
        destination: the model folder.

    Attributes:
        doubted: names of files that were in doubt.
    """

    def __init__(self, destination: Path) -> None:
        self._destination = destination
        self._files: dict[str, ManifestFile] = {}
        self._source = ""
        self.doubted: set[str] = set()

    def open(self) -> None:
        """Read the manifest."""
        manifest = read_local_manifest(self._destination)
        self._files = {file.name: file for file in manifest.files} if manifest else {}
        self._source = manifest.source if manifest else ""

    def holds(self, item: StoredObject, source: str) -> bool:
        """Whether this edition of an object of `source` is in its place, and untouched since.

        ETags and versions say something within one source only, checksums anywhere.
        """
        known = self._files.get(item.name)
        if known is None or not is_edition(known, item) or not self.untouched(known):
            return False
        return source == self._source or bool(known.checksum and item.checksum)

    def untouched(self, file: ManifestFile) -> bool:
        """Whether a published file is as it was: a cheap check, without reading it."""
        path = safe_target(self._destination, file.name)
        if path.is_symlink() or not path.is_file():
            return False
        found = path.stat()
        return (found.st_size, found.st_mtime_ns) == (file.size, file.modified_ns)

    def doubts(self, file: ManifestFile) -> bool:
        """Whether the file was written before this boot, and may never have reached the disk."""
        doubtful = bool(file.size and file.boot and file.boot != boot_id())
        if doubtful:
            self.doubted.add(file.name)
        return doubtful

    def doubts_name(self, name: str) -> bool:
        """The same of a file by its name."""
        return self.doubts(self._files[name])

    def describe(self, items: Iterable[StoredObject], kept: Collection[str]) -> tuple[ManifestFile, ...]:
        """What is published now, for the manifest.

        Args:
            items: the objects.
            kept: names of those that stayed as they were.

        Raises:
            OSError: of the disk.
        """
        found = []
        for item in items:
            path = safe_target(self._destination, item.name)
            boot = boot_id() or None
            if item.name in self.doubted:
                _sync(path)
                boot = None
            elif item.name in kept and item.name in self._files:
                boot = self._files[item.name].boot
            status = path.stat()
            facts = {"size": status.st_size, "modified_ns": status.st_mtime_ns, "boot": boot}
            found.append(record_of(item).model_copy(update=facts))
        return tuple(found)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def record_of(item: StoredObject) -> ManifestFile:
    """What identifies an edition of an object, for the manifest."""
    return ManifestFile(
        name=item.name,
        size=item.size,
        etag=item.etag,
        version=item.version,
        checksum=str(item.checksum) if item.checksum else None,
    )


def is_edition(known: ManifestFile, item: StoredObject) -> bool:
    """Whether a file is a copy of this edition of an object: of its size, and with no mark that differs."""
    checksum = str(item.checksum) if item.checksum else None
    marks = [(known.etag, item.etag), (known.version, item.version), (known.checksum, checksum)]
    return (
        known.size == item.size
        and all(there == here for there, here in marks if there and here)
        and any(there and here for there, here in marks)
    )


def read_local_manifest(destination: Path) -> Manifest | None:
    """The manifest of a model folder, or None where there is none that can be read."""
    try:
        return parse_manifest((destination / MANIFEST_NAME).read_bytes())
    except OSError:
        return None
