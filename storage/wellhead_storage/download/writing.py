"""Writing one part into its place in a file, without filling the page cache where memory is short."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from wellhead_storage.cgroups import memory_limit

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MIB = 1024 * 1024


def release_window(needed: int, writers: int, limit: int | None = None) -> int | None:
    """After how many bytes a writer gives its pages back, or None where they may stay.

    The engine reads a downloaded model back at once, so pages stay wherever half of the container's memory can hold
    the model: from page cache it loads almost three times as fast (baseline-measurements.md). Under a tight limit
    they are written back behind the writer; otherwise a cgroup full of dirty pages stalls, or is killed on version 1.

    Args:
        needed: bytes to be written.
        writers: parts written at a time.
        limit: memory in bytes; by default what the cgroup says.
    """
    limit = memory_limit() if limit is None else limit
    if limit is None or needed <= limit // 2:
        return None
    return min(8 * _MIB, max(_MIB, limit // (8 * writers)))


class PartWriter:
    """An open file and a position in it.

    Args:
        path: an existing file.
        position: offset of the first byte.
        window: bytes after which pages are released (`release_window`).
    """

    def __init__(self, path: Path, position: int, window: int | None) -> None:
        self.position = position
        self._window = window
        self._released = self._flushed = position
        self._descriptor = os.open(path, os.O_WRONLY)

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._window and error is None:
                os.fdatasync(self._descriptor)
                self._drop(self._released, self.position)
        finally:
            os.close(self._descriptor)

    def start_over(self, position: int) -> None:
        """Go back to a position that was written already."""
        self.position = self._released = self._flushed = position

    def write(self, chunk: Buffer) -> None:
        """Append a chunk at the position."""
        view = memoryview(chunk)
        while view:
            written = os.pwrite(self._descriptor, view, self.position)
            self.position += written
            view = view[written:]
        if self._window and self.position - self._flushed >= self._window:
            # Dropping dirty pages only starts their way to the disk; those of the last turn are there by now.
            self._drop(self._released, self.position)
            self._released, self._flushed = self._flushed, self.position

    def truncate(self) -> None:
        """The file ends at the position."""
        os.ftruncate(self._descriptor, self.position)

    def _drop(self, start: int, end: int) -> None:
        os.posix_fadvise(self._descriptor, start, end - start, os.POSIX_FADV_DONTNEED)
