"""A directory as the destination of a mirror: a mounted volume."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wellhead_storage.download.lock import locked
from wellhead_storage.download.writing import PartWriter, release_window
from wellhead_storage.files import disk_errors, require_space
from wellhead_storage.paths import FOLDER, safe_target
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from typing_extensions import Buffer

_UNFINISHED = f"{FOLDER}/mirroring"
_READABLE = 0o644  # the engine's container runs as another user
_MORE_ROOM = "Give the volume more room, or name a destination that has it."


class Directory:
    """A directory as `Target`; created with the first file.

    Args:
        uri: its `file://` URI.
    """

    def __init__(self, uri: StorageUri) -> None:
        self.uri = uri
        self._root = Path(uri.key)
        self._unfinished = self._root / _UNFINISHED
        self._window: int | None = None
        self._changed: set[Path] = set()

    def objects(self) -> dict[str, StoredObject]:
        """See `Target.objects`; the ETag is made of time and size."""
        found: dict[str, StoredObject] = {}
        with disk_errors(self._root):
            for folder, _, names in os.walk(self._root):
                for path in (Path(folder, name) for name in names):
                    name = path.relative_to(self._root).as_posix()
                    if path.is_file() and not name.startswith(f"{_UNFINISHED}/"):
                        found[name] = StoredObject(name, path.stat().st_size, _etag(path))
        return found

    def read(self, name: str) -> bytes | None:
        """See `Target.read`."""
        with disk_errors(self._root):
            try:
                return safe_target(self._root, name).read_bytes()
            except FileNotFoundError:
                return None

    def put(self, name: str, data: Buffer) -> str | None:
        """See `Target.put`."""
        return self.put_pieces(name, iter([data]), 0)

    def put_pieces(self, name: str, pieces: Iterator[Buffer], piece_bytes: int) -> str | None:
        """See `Target.put_pieces`: under another name first, then renamed."""
        final = safe_target(self._root, name)
        unfinished = self._unfinished / hashlib.sha256(name.encode()).hexdigest()
        with disk_errors(self._root, way_out=_MORE_ROOM):
            self._unfinished.mkdir(parents=True, exist_ok=True)
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                unfinished.write_bytes(b"")
                with PartWriter(unfinished, 0, self._window) as writer:
                    while (piece := next(pieces, None)) is not None:
                        writer.write(piece)
                        del piece  # the next one may need its memory
                unfinished.chmod(_READABLE)
                _to_disk(unfinished)
                etag = _etag(unfinished)
                unfinished.replace(final)
                self._changed.add(final.parent)
            except BaseException:
                with suppress(OSError):
                    unfinished.unlink(missing_ok=True)
                raise
        return etag

    def delete(self, names: Iterable[str]) -> None:
        """See `Target.delete`; folders that become empty go, too."""
        with disk_errors(self._root):
            for name in names:
                path = safe_target(self._root, name)
                path.unlink(missing_ok=True)
                self._changed.add(path.parent)
                _prune(path.parent, self._root)

    def require_space(self, needed: int) -> None:
        """See `Target.require_space`."""
        with disk_errors(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
        require_space(self._root, needed, _MORE_ROOM)
        self._window = release_window(needed, writers=8)

    def settle(self) -> None:
        """See `Target.settle`: files go to the disk before they get their names, the names of all of them here."""
        with disk_errors(self._root, way_out=_MORE_ROOM):
            above = {parent for folder in self._changed for parent in folder.parents}
            for folder in self._changed | {each for each in above if each.is_relative_to(self._root.parent)}:
                with suppress(FileNotFoundError, PermissionError):  # pruned since, or not ours to look into
                    _to_disk(folder)
        self._changed.clear()

    @contextmanager
    def held(self) -> Iterator[None]:
        """See `Target.held`; what a killed run left unfinished goes."""
        with locked(self._root):
            try:
                shutil.rmtree(self._unfinished, ignore_errors=True)
                yield
            finally:
                shutil.rmtree(self._unfinished, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """A file's content, or a folder's names; some network file systems have no call for the latter."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def _etag(path: Path) -> str:
    facts = path.stat()
    return f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'


def _prune(folder: Path, top: Path) -> None:
    """Remove a folder and those above it, below `top`, as far as they are empty."""
    with suppress(OSError):
        while folder != top and folder.is_relative_to(top):
            folder.rmdir()
            folder = folder.parent
