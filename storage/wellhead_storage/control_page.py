"""The control page of an overlapped load: which bytes of which shard have arrived in shared memory.

One small shared mapping (a memfd) between three kinds of processes: the starter (`wellhead serve`), which makes it and
the shards' memory and drops both; the fetcher, which says how far it is; and the engine's processes, which read. Every
field has one writer, so that nothing needs a lock:

    0     starter, before others look: magic, version, bytes of the file table, number and bytes of the parts, patience,
          1 if the shards are read once
    64    starter: 1 once the shards' memory is given up
    80    fetcher: time.monotonic() of the first byte, and of the last; 0 before
    128   fetcher: state, exit code, length of the sentence, and the sentence of a failure
    4096  fetcher: one counter for each part, bytes of it that have arrived, from its start
    …     starter, before others look: the file table, as JSON

The fetcher also holds an `flock` on the page. The kernel drops it when the fetcher is gone, however it went; a process
id would say nothing sure (it may be that of a zombie, or of another process by now).
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum

PART_BYTES = 32 * 1024 * 1024
"""Of one request: half of what downloads use, since tensors in parts that come side by side all arrive late."""

_MAGIC, _VERSION = b"WELLHEAD", 3
_FIXED = struct.Struct("<8sIIIIQd")
_GIVEN_UP = 64
_TIMES_AT = 80
_TIME = struct.Struct("<d")
_STATE = struct.Struct("<III")
_STATE_AT, _COUNTERS_AT = 128, 4096
_SENTENCE_AT = _STATE_AT + _STATE.size
_LONGEST_SENTENCE = _COUNTERS_AT - _SENTENCE_AT


class State(IntEnum):
    """How the fetcher is doing."""

    RUNNING = 0
    COMPLETE = 1
    FAILED = 2


class ForeignPage(Exception):
    """It is no control page, or one of another version of Wellhead."""


@dataclass(frozen=True, slots=True)
class ArrivingFile:
    """One shard.

    Attributes:
        name: of the file.
        size: bytes, header included.
        begin: offset of the first byte that is fetched; what is before it was there from the start.
        descriptor: of its memory, in the starter's process.
    """

    name: str
    size: int
    begin: int
    descriptor: int

    def parts(self, part_bytes: int) -> int:
        """Requests that it takes."""
        return -(-(self.size - self.begin) // part_bytes)


@dataclass(frozen=True, slots=True)
class ArrivingPart:
    """The bytes [start, start + length) of a shard."""

    file: ArrivingFile
    start: int
    length: int


class ControlPage:
    """The mapping.

    Args:
        descriptor: of the page's memory; stays the caller's.
        write: False for readers.

    Attributes:
        folder: the model folder whose shards arrive.
        files: the file table, in the order of fetching.
        parts: of all files, in that order.
        patience: seconds without any progress after which a reader gives up.
        read_once: whether one reader takes every shard, once, and may give its memory back then.

    Raises:
        ForeignPage: it is of another version, or none.
    """

    def __init__(self, descriptor: int, *, write: bool = False) -> None:
        access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
        self._map = mmap.mmap(descriptor, 0, access=access)
        magic, version, table, count, once, part_bytes, self.patience = _FIXED.unpack_from(self._map)
        if magic != _MAGIC or version != _VERSION:
            raise ForeignPage(f"the control page has version {version}, and this is version {_VERSION}")
        end = _COUNTERS_AT + 8 * count
        found = json.loads(self._map[end : end + table])
        self.folder: str = found["folder"]
        self.read_once = bool(once)
        self.files = tuple(ArrivingFile(**entry) for entry in found["files"])
        self.parts = tuple(_parts(self.files, part_bytes))
        self._part_bytes = part_bytes
        self._places: dict[str, tuple[ArrivingFile, int]] = {}
        first = 0
        for file in self.files:
            self._places[file.name] = file, first
            first += file.parts(part_bytes)
        self._counters = memoryview(self._map)[_COUNTERS_AT:end].cast("Q")

    # The starter ------------------------------------------------------------------------------------------------

    @staticmethod
    def write(
        descriptor: int,
        folder: str,
        files: Sequence[ArrivingFile],
        patience: float,
        part_bytes: int = PART_BYTES,
        *,
        read_once: bool = False,
    ) -> None:
        """Lay out a page in an empty memory file."""
        table = json.dumps({"folder": folder, "files": [asdict(file) for file in files]}).encode()
        count = sum(file.parts(part_bytes) for file in files)
        os.ftruncate(descriptor, _COUNTERS_AT + 8 * count + len(table))
        os.pwrite(descriptor, table, _COUNTERS_AT + 8 * count)
        os.pwrite(descriptor, _FIXED.pack(_MAGIC, _VERSION, len(table), count, read_once, part_bytes, patience), 0)

    def give_up(self) -> None:
        """From now on nobody may open the shards' memory: it goes away."""
        self._map[_GIVEN_UP] = 1

    @property
    def given_up(self) -> bool:
        """Whether the shards' memory is gone, or about to go."""
        return self._map[_GIVEN_UP] != 0

    # The fetcher ------------------------------------------------------------------------------------------------

    def advance(self, part: int, arrived: int) -> None:
        """So many bytes of a part are there; called with growing numbers by one thread a part."""
        self._counters[part] = arrived
        if not self.first_byte:
            _TIME.pack_into(self._map, _TIMES_AT, time.monotonic())

    def complete(self) -> None:
        """Everything is there."""
        _TIME.pack_into(self._map, _TIMES_AT + _TIME.size, time.monotonic())
        _STATE.pack_into(self._map, _STATE_AT, State.COMPLETE, 0, 0)

    def fail(self, sentence: str, exit_code: int) -> None:
        """Nothing more will come, and this is why. The state is written last: it is what others look at."""
        raw = sentence.encode(errors="replace")[:_LONGEST_SENTENCE]
        self._map[_SENTENCE_AT : _SENTENCE_AT + len(raw)] = raw
        _STATE.pack_into(self._map, _STATE_AT, State.RUNNING, exit_code, len(raw))
        _STATE.pack_into(self._map, _STATE_AT, State.FAILED, exit_code, len(raw))

    # Everybody --------------------------------------------------------------------------------------------------

    def file(self, name: str) -> ArrivingFile | None:
        """A shard by its name."""
        return self._places[name][0] if name in self._places else None

    @property
    def state(self) -> State:
        """How the fetcher is doing, by its own word."""
        return State(_STATE.unpack_from(self._map, _STATE_AT)[0])

    @property
    def failure(self) -> tuple[str, int]:
        """Sentence and exit code, once the state is FAILED."""
        _, code, length = _STATE.unpack_from(self._map, _STATE_AT)
        return self._map[_SENTENCE_AT : _SENTENCE_AT + length].decode(errors="ignore"), code

    def arrived(self, part: int) -> int:
        """Bytes of a part that are there."""
        return self._counters[part]

    @property
    def total_arrived(self) -> int:
        """Bytes of all parts that are there."""
        return sum(self._counters)

    @property
    def first_byte(self) -> float:
        """`time.monotonic()` when the first byte had come, the same clock in every process; 0 before."""
        return float(_TIME.unpack_from(self._map, _TIMES_AT)[0])

    @property
    def last_byte(self) -> float:
        """When the last one had; 0 before."""
        return float(_TIME.unpack_from(self._map, _TIMES_AT + _TIME.size)[0])

    @property
    def total(self) -> int:
        """Bytes that are to be fetched."""
        return sum(part.length for part in self.parts)

    def covers(self, name: str, begin: int, end: int) -> bool:
        """Whether the bytes [begin, end) of a shard are there; the file table must have it."""
        file, first = self._places[name]
        begin = max(begin, file.begin)
        while begin < end:
            number = (begin - file.begin) // self._part_bytes
            start = file.begin + number * self._part_bytes
            until = min(end, start + self._part_bytes)
            if self._counters[first + number] < until - start:
                return False
            begin = until
        return True

    def close(self) -> None:
        """Let the mapping go."""
        self._counters.release()
        self._map.close()


def hold(descriptor: int) -> int:
    """A second opening of a page that is locked for its lifetime: pass it to the fetcher, and close it here."""
    own = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
    fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return own


def is_held(descriptor: int) -> bool:
    """Whether the fetcher lives, asked on an opening of one's own."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _parts(files: Sequence[ArrivingFile], part_bytes: int) -> list[ArrivingPart]:
    return [
        ArrivingPart(file, start, min(part_bytes, file.size - start))
        for file in files
        for start in range(file.begin, file.size, part_bytes)
    ]
