"""Shards in shared memory as `wellhead serve` makes it, brought by the test itself instead of a fetcher."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wellhead_storage.control_page import ArrivingFile, ControlPage, hold
from wellhead_storage.inventory import natural_order

if TYPE_CHECKING:
    from collections.abc import Iterator


class Arriving:
    """The memory of a folder's shards, with nothing in it but their headers.

    Attributes:
        page: the control page, to write in.
        path: where its readers find it.
    """

    def __init__(self, folder: Path, part_bytes: int, patience: float, *, read_once: bool) -> None:
        shards = sorted(folder.glob("*.safetensors"), key=lambda path: natural_order(path.name))
        self._content = {path.name: path.read_bytes() for path in shards}
        files = [self._file(name, content) for name, content in self._content.items()]
        self._descriptor = os.memfd_create("page")
        ControlPage.write(self._descriptor, str(folder), files, patience, part_bytes, read_once=read_once)
        self.page = ControlPage(self._descriptor, write=True)
        self.path = Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")
        self._held: int | None = hold(self._descriptor)

    def bring(self, number: int, count: int | None = None) -> None:
        """Let so many bytes of a part arrive, or all of it."""
        part = self.page.parts[number]
        count = part.length if count is None else count
        content = self._content[part.file.name]
        os.pwrite(part.file.descriptor, content[part.start : part.start + count], part.start)
        self.page.advance(number, count)

    def bring_all(self) -> None:
        """Let everything arrive."""
        for number in range(len(self.page.parts)):
            self.bring(number)
        self.page.complete()

    def in_memory(self) -> list[int]:
        """Bytes of each shard that memory is used for."""
        return [os.fstat(file.descriptor).st_blocks * 512 for file in self.page.files]

    def die(self) -> None:
        """What the kernel does when the fetcher is gone."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def give_up(self) -> None:
        """What the starter does when the engine is ready."""
        self.page.give_up()
        for file in self.page.files:
            os.close(file.descriptor)

    def close(self) -> None:
        if not self.page.given_up:
            self.give_up()
        self.die()
        self.page.close()
        os.close(self._descriptor)

    @staticmethod
    def _file(name: str, content: bytes) -> ArrivingFile:
        memory = os.memfd_create(name)
        os.ftruncate(memory, len(content))
        begin = 8 + int.from_bytes(content[:8], "little")
        os.pwrite(memory, content[:begin], 0)
        return ArrivingFile(name, len(content), begin, memory)


@contextmanager
def arriving(
    folder: Path, *, part_bytes: int = 1000, patience: float = 5.0, read_once: bool = False
) -> Iterator[Arriving]:
    """Make the memory of a folder's shards; it is given up when the block ends."""
    memory = Arriving(folder, part_bytes, patience, read_once=read_once)
    try:
        yield memory
    finally:
        memory.close()
