"""Files in the making: written under `.wellhead/partial`, renamed to their names when all of them are whole.

DEST is a mount point and cannot be renamed itself, so publication is one rename per file: weights first,
`config.json` last (without it no engine takes the folder for a model) and the plan after that. What an interrupted
run left is taken up again (`journal.py`), and what an earlier run published and is still the same edition stays.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from wellhead_storage.download.allocating import allocate
from wellhead_storage.download.journal import Journal
from wellhead_storage.download.parts import Part, split
from wellhead_storage.download.published import Published
from wellhead_storage.download.writing import PartWriter
from wellhead_storage.files import disk_errors, require_space
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
        published: what an earlier run left in place.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self._partial = destination / PARTIAL
        self._names: list[str] = []
        self._counting = threading.Lock()
        self._journal = Journal(destination / _JOURNAL)
        self._source = ""
        self._spoiled: set[str] = set()
        self.published = Published(destination)
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
            self.published.open()

    def begin(self, source: str, items: Iterable[StoredObject]) -> None:
        """Say what is wanted, before anything of it is expected.

        Unfinished files of other objects, editions and sources are removed: their room is reserved, and on a volume
        that outlives its pods nobody else would ever free it.

        Args:
            source: public form of the URI that the objects are of.
            items: its listing, as far as it is wanted.
        """
        self._source = source
        with disk_errors(self.destination):
            self._journal.begin(source, items)
            for folder, _, names in os.walk(self._partial, topdown=False):
                for path in (Path(folder, name) for name in names):
                    if path.relative_to(self._partial).as_posix() not in self._journal.files:
                        path.unlink()
                with suppress(OSError):  # only if nothing else is in it
                    Path(folder).rmdir()
            self._partial.mkdir(parents=True, exist_ok=True)

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
                if self.published.holds(item, self._source):
                    self.kept.add(item.name)
                    if self.published.doubts_name(item.name):
                        missing.append(Part(item, item.size, 0))
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
            unfinished = {part.item for part in missing if part.length != 0}
            require_space(self.destination, min(self.lacking(unfinished), sum(part.length or 0 for part in missing)))
        for item in fresh:
            with disk_errors(self.destination, partial(self.lacking, unfinished)):
                self._allocate(item)
        return missing

    def lacking(self, items: Iterable[StoredObject]) -> int:
        """Bytes of room that these files still need, beyond what the volume has reserved for them."""
        lacking = 0
        for item in items:
            path = safe_target(self._partial, item.name)
            reserved = path.stat().st_blocks * _BLOCK if path.is_file() else 0
            lacking += max(0, item.size - reserved)
        return lacking

    def start_over(self, item: StoredObject) -> list[Part]:
        """Begin a file afresh, and return all its parts; one that was kept in its place gives its room up first."""
        with disk_errors(self.destination, lambda: item.size):
            with self._counting:
                lost = item.name in self.kept
                if lost:
                    self.kept.remove(item.name)
                    self._names.append(item.name)
                    self.fetched += 1
            if lost:
                safe_target(self.destination, item.name).unlink(missing_ok=True)
            self._allocate(item)
        return split([item])

    def _allocate(self, item: StoredObject) -> None:
        path = safe_target(self._partial, item.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._journal.add_pin(item)  # first: no part may count as done in a file that is emptied
        with path.open("wb") as file:
            allocate(file.fileno(), item.size)

    def spoil(self, item: StoredObject) -> None:
        """Nothing can go on from what is here of this object."""
        with self._counting:
            self._spoiled.add(item.name)

    def _whole_size(self, item: StoredObject) -> bool:
        path = safe_target(self._partial, item.name)
        return item.ranged and path.is_file() and path.stat().st_size == item.size

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
        with self._counting:  # jobs that run on until their next check may spoil one more
            spoiled = set(self._spoiled)
        for name in spoiled:
            with suppress(OSError):
                safe_target(self._partial, name).unlink()
        if resumable and self._journal.begun() - spoiled:
            return
        self._forget()

    def _forget(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        shutil.rmtree(self.unpacked, ignore_errors=True)
        self._journal.remove()
        try:
            self._partial.parent.rmdir()
        except OSError:
            return
