"""Files in the making: written under `.wellhead/partial`, renamed to their names when all of them are whole.

DEST is a mount point and cannot be renamed itself, so publication is one rename per file: weights first,
`config.json` last (without it no engine takes the folder for a model) and the plan after that. What an interrupted
run left is taken up again (`journal.py`), and what an earlier run published and is still the same edition stays.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from wellhead_storage.download.allocating import allocate
from wellhead_storage.download.journal import Journal
from wellhead_storage.download.parts import Part, split
from wellhead_storage.download.writing import PartWriter
from wellhead_storage.files import disk_errors, require_space
from wellhead_storage.manifest import MANIFEST_NAME, Manifest, ManifestFile, parse_manifest
from wellhead_storage.paths import FOLDER, safe_target
from wellhead_storage.stores.interface import StoredObject

PARTIAL = Path(FOLDER) / "partial"
UNPACKED = Path(FOLDER) / "unpacked"
_JOURNAL = Path(FOLDER) / "partial.jsonl"
_LAST = "config.json"
_BLOCK = 512  # of `st_blocks`, whatever the file system


class Staging:
    """The unpublished files of one destination.

    Args:
        destination: the model folder; created if it is missing.

    Attributes:
        received: bytes fetched so far.
        resumed: bytes that an interrupted run had fetched.
        fetched: files fetched or being fetched.
        kept: files of an earlier run that stay as they are.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self._partial = destination / PARTIAL
        self._names: list[str] = []
        self._counting = threading.Lock()
        self._journal = Journal(destination / _JOURNAL)
        self._published: dict[str, ManifestFile] = {}
        self.received = 0
        self.resumed = 0
        self.fetched = 0
        self.kept: set[str] = set()

    @property
    def names(self) -> set[str]:
        """What is staged, or in its place already."""
        return {*self._names, *self.kept}

    @property
    def unpacked(self) -> Path:
        """A folder on the destination's volume for files that come another way than object by object."""
        return self.destination / UNPACKED

    def open(self) -> None:
        """Create the destination, and see what a predecessor left."""
        with disk_errors(self.destination):
            self._partial.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self.unpacked, ignore_errors=True)
            self._journal.rewrite()
            manifest = read_local_manifest(self.destination)
        self._published = {file.name: file for file in manifest.files} if manifest else {}

    def expect(self, items: Iterable[StoredObject]) -> list[Part]:
        """Create the files, each with its final size, before parts arrive in any order.

        Returns:
            The parts that are not on the disk yet.

        Raises:
            InsufficientSpace: they cannot fit; nothing is created then.
        """
        missing: list[Part] = []
        fresh: list[StoredObject] = []
        with disk_errors(self.destination):
            for item in items:
                if self._in_place(item):
                    self.kept.add(item.name)
                    continue
                self._names.append(item.name)
                self.fetched += 1
                if self._journal.matches(item) and self._whole_size(item):
                    known = self._journal.files[item.name]
                    parts = [part for part in split([item]) if part.start not in known.done]
                    self.resumed += item.size - sum(part.length or 0 for part in parts)
                    missing += parts or ([] if known.verified else [Part(item, item.size, 0)])
                else:
                    missing += split([item])
                    fresh.append(item)
            require_space(self.destination, min(self.lacking(missing), sum(part.length or 0 for part in missing)))
            for item in fresh:
                self.start_over(item)
        return missing

    def lacking(self, parts: Iterable[Part]) -> int:
        """Bytes of room that the files of these parts still need, beyond what the volume has reserved for them."""
        paths = {part.item: safe_target(self._partial, part.item.name) for part in parts}
        blocks = {item: path.stat().st_blocks * _BLOCK if path.is_file() else 0 for item, path in paths.items()}
        return sum(max(0, item.size - reserved) for item, reserved in blocks.items())

    def start_over(self, item: StoredObject) -> list[Part]:
        """Begin a file afresh, and return all its parts."""
        path = safe_target(self._partial, item.name)
        with disk_errors(self.destination):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._journal.add_pin(item)  # first: no part may count as done in a file that is emptied
            with path.open("wb") as file:
                allocate(file.fileno(), item.size)
        return split([item])

    def _whole_size(self, item: StoredObject) -> bool:
        path = safe_target(self._partial, item.name)
        return item.ranged and path.is_file() and path.stat().st_size == item.size

    def _in_place(self, item: StoredObject) -> bool:
        """Published by an earlier run, of this edition, and untouched since."""
        known = self._published.get(item.name)
        return known is not None and is_edition(known, item) and self.untouched(known)

    def untouched(self, file: ManifestFile) -> bool:
        """Whether a published file is as it was: a cheap check, without reading it."""
        path = safe_target(self.destination, file.name)
        if path.is_symlink() or not path.is_file():
            return False
        found = path.stat()
        return (found.st_size, found.st_mtime_ns) == (file.size, file.modified_ns)

    def add(self, name: str, data: bytes) -> None:
        """Stage a small file that was made here."""
        with disk_errors(self.destination):
            path = safe_target(self._partial, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self._names.append(name)
            self.kept.discard(name)

    def adopt(self, name: str, source: Path) -> None:
        """Stage a file of this volume by moving it, unless it is in its place."""
        if source == safe_target(self.destination, name):
            with self._counting:
                self.kept.add(name)
            return
        with disk_errors(self.destination):
            path = safe_target(self._partial, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            source.replace(path)
        with self._counting:
            self._names.append(name)
            self.fetched += 1

    def drop(self, name: str) -> None:
        """A staged file is not to be published after all."""
        self._names.remove(name)
        with disk_errors(self.destination):
            safe_target(self._partial, name).unlink()

    def path(self, name: str) -> Path:
        """Where a file is now: staged, or left in its place."""
        return safe_target(self.destination if name in self.kept else self._partial, name)

    def read(self, name: str) -> bytes:
        """The bytes of a file."""
        return self.path(name).read_bytes()

    def writer(self, part: Part, window: int | None) -> PartWriter:
        """A writer at the start of a part."""
        return PartWriter(safe_target(self._partial, part.item.name), part.start, window)

    def count(self, written: int) -> None:
        """Bytes have arrived."""
        with self._counting:
            self.received += written

    def finish_part(self, part: Part) -> None:
        """The part is on the disk."""
        with disk_errors(self.destination):
            self._journal.add_done(part)

    def finish_file(self, item: StoredObject) -> None:
        """The file is whole, and what the store says it is."""
        with disk_errors(self.destination):
            self._journal.add_verified(item)

    def publish(self) -> None:
        """Rename every staged file to its place; `config.json` becomes visible last."""
        with disk_errors(self.destination):
            if self._names:
                self._withdraw(_LAST)
            for name in sorted(self._names, key=lambda name: name == _LAST):
                source, target = safe_target(self._partial, name), safe_target(self.destination, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                source.chmod(0o644)
                source.replace(target)
        self._forget()

    def _withdraw(self, name: str) -> None:
        """Take a file out of its place until its turn to be published comes."""
        if name in self.kept:
            self.kept.remove(name)
            self._names.append(name)
            safe_target(self.destination, name).replace(safe_target(self._partial, name))
        else:
            safe_target(self.destination, name).unlink(missing_ok=True)

    def abandon(self, *, resumable: bool) -> None:
        """Remove what is unpublished, unless a next run can go on from it; and our own folder, if it is empty."""
        shutil.rmtree(self.unpacked, ignore_errors=True)
        if resumable and any(progress.done for progress in self._journal.files.values()):
            return
        self._forget()

    def _forget(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        shutil.rmtree(self.unpacked, ignore_errors=True)
        (self.destination / _JOURNAL).unlink(missing_ok=True)
        try:
            self._partial.parent.rmdir()
        except OSError:
            return

    def manifest_files(self, items: Iterable[StoredObject]) -> tuple[ManifestFile, ...]:
        """What the published files are, for the manifest."""
        found = []
        for item in items:
            status = safe_target(self.destination, item.name).stat()
            found.append(record_of(item).model_copy(update={"size": status.st_size, "modified_ns": status.st_mtime_ns}))
        return tuple(found)


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
