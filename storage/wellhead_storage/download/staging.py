"""Files in the making: written under `.wellhead/partial`, renamed to their names when all of them are whole.

DEST is a mount point and cannot be renamed itself, so publication is one rename per file: weights first,
`config.json` last (without it no engine takes the folder for a model) and the plan after that.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from wellhead_storage.download.parts import Part
from wellhead_storage.files import disk_errors
from wellhead_storage.paths import safe_target
from wellhead_storage.stores.interface import Store, StoredObject

PARTIAL = Path(".wellhead") / "partial"
_LAST = "config.json"


class Staging:
    """The unpublished files of one destination.

    Args:
        destination: the model folder; created if it is missing.

    Attributes:
        received: bytes fetched so far.
        fetched: files fetched or being fetched.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self._partial = destination / PARTIAL
        self._names: list[str] = []
        self._opening = threading.Lock()
        self.received = 0
        self.fetched = 0

    @property
    def names(self) -> set[str]:
        """What is staged."""
        return set(self._names)

    def reset(self) -> None:
        """Create the destination and forget what a killed predecessor left."""
        with disk_errors(self.destination):
            self.destination.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(parents=True)

    def expect(self, items: Iterable[StoredObject]) -> None:
        """Create the empty files, each with its final size, before parts arrive in any order."""
        with disk_errors(self.destination):
            for item in items:
                path = safe_target(self._partial, item.name)
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    file.truncate(item.size)
                self._names.append(item.name)
                self.fetched += 1

    def add(self, name: str, data: bytes) -> None:
        """Stage a small file that was made here."""
        with disk_errors(self.destination):
            path = safe_target(self._partial, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            self._names.append(name)

    def read(self, name: str) -> bytes:
        """The bytes of a staged file."""
        return safe_target(self._partial, name).read_bytes()

    def receive(self, store: Store, part: Part, check: Callable[[], None]) -> None:
        """Fetch one part into its file; runs on a worker's thread."""
        with disk_errors(self.destination):
            descriptor = os.open(safe_target(self._partial, part.item.name), os.O_WRONLY)
            try:
                position = part.start
                for chunk in store.stream(part.item, part.start, part.length):
                    check()
                    view = memoryview(chunk)
                    while view:
                        written = os.pwrite(descriptor, view, position)
                        position += written
                        view = view[written:]
                        with self._opening:
                            self.received += written
            finally:
                os.close(descriptor)

    def publish(self) -> None:
        """Rename every staged file to its place; `config.json` becomes visible last."""
        with disk_errors(self.destination):
            (self.destination / _LAST).unlink(missing_ok=True)
            for name in sorted(self._names, key=lambda name: name == _LAST):
                source, target = safe_target(self._partial, name), safe_target(self.destination, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                source.chmod(0o644)
                source.replace(target)
            shutil.rmtree(self._partial, ignore_errors=True)

    def discard(self) -> None:
        """Remove everything unpublished; and our own folder, if nothing else is in it."""
        shutil.rmtree(self._partial, ignore_errors=True)
        try:
            self._partial.parent.rmdir()
        except OSError:
            return
