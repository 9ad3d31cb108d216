"""The engine's side: find the shards' memory, and wait for bytes that have not arrived. Knows nothing of vLLM."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wellhead_storage.control_page import ArrivingFile, ControlPage, ForeignPage, State, is_held
from wellhead_storage.safetensors_header import LENGTH_BYTES, Header, parse_header

VARIABLE = "WELLHEAD_ARRIVALS"
"""Names the control page for the engine's processes: `/proc/<pid>/fd/<descriptor>` of `wellhead serve`."""

_SECOND_LOAD = (
    "The weights' shared memory was given back once they were loaded, so they cannot be loaded a second time. "
    "Restart the pod, or set wellhead.dev/loader: runai_streamer, which can."
)
_POLL = 0.002  # seconds; a hundredth of what a tensor takes on a fast link
_LOOK_AFTER = 0.2  # seconds between looks at the fetcher's life


class ArrivalError(Exception):
    """Bytes that the loader waits for will not come; the text is a sentence for the user."""


class Arrivals:
    """The shards of one model folder.

    Args:
        path: of the control page.
        sleep: for tests.
        clock: seconds, monotonic.

    Attributes:
        waited: seconds spent waiting so far.

    Raises:
        ArrivalError: there is no such page.
    """

    def __init__(
        self, path: Path, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path, self._sleep, self._clock = path, sleep, clock
        self.waited = 0.0
        try:
            self._descriptor = os.open(path, os.O_RDONLY)
            self._page = ControlPage(self._descriptor)
        except (OSError, ValueError, ForeignPage) as error:
            raise ArrivalError(f"The shared memory of the weights cannot be opened: {error}.") from error

    def owns(self, folder: str) -> bool:
        """Whether the shards of a folder arrive here, and not those of another model."""
        return os.path.realpath(folder) == os.path.realpath(self._page.folder)

    @contextmanager
    def shard(self, name: str) -> Iterator[Path]:
        """Open the memory of a shard: a file as long as the shard, whose header is there.

        Raises:
            ArrivalError: it has been given up, or the plan knows no such shard.
        """
        found = self._page.file(name)
        if found is None:
            raise ArrivalError(f"{name} is not among the weights of the load plan for {self._page.folder}.")
        with self._opened(name, found, os.O_RDONLY) as descriptor:
            if not os.fstat(descriptor).st_size:
                raise ArrivalError(_SECOND_LOAD)
            yield Path(f"/proc/self/fd/{descriptor}")

    @property
    def read_once(self) -> bool:
        """Whether a shard's memory may be given back once it is loaded."""
        return self._page.read_once

    def give_back(self, name: str, mapped: Collection[int]) -> bool:
        """Free a shard's memory, unless bytes of it are still to come, or a tensor of it lives.

        From then on the shard is empty, and who asks for it gets the sentence for a second load.

        Args:
            name: of a shard that this process has read.
            mapped: inodes of the memory that is mapped here.
        """
        found = self._page.file(name)
        if found is None or not self._page.covers(name, found.begin, found.size):
            return False
        with suppress(OSError, ArrivalError), self._opened(name, found, os.O_RDWR) as descriptor:
            about = os.fstat(descriptor)
            if about.st_ino in mapped or about.st_size != found.size:
                return False
            os.ftruncate(descriptor, 0)
            return True
        return False

    def header(self, name: str) -> Header:
        """A shard's header, which was there from the start.

        Raises:
            ArrivalError: as for `shard`.
        """
        with self.shard(name) as path, path.open("rb") as file:
            length = file.read(LENGTH_BYTES)
            return parse_header(length + file.read(int.from_bytes(length, "little")))

    def wait(self, name: str, begin: int, end: int) -> None:
        """Return once the bytes [begin, end) of a shard are there.

        Raises:
            ArrivalError: the fetcher failed or is gone, the memory is given up, or nothing at all has arrived for the
                page's patience.
        """
        if self._page.covers(name, begin, end):
            return
        began = looked = progressed = self._clock()
        seen = self._page.total_arrived
        while not self._page.covers(name, begin, end):
            self._sleep(_POLL)
            now = self._clock()
            if now - looked < _LOOK_AFTER:
                continue
            looked = now
            self._refuse_second_load()
            self._look_after_the_fetcher()
            if (arrived := self._page.total_arrived) != seen:
                seen, progressed = arrived, now
            elif now - progressed > self._page.patience:
                raise ArrivalError(
                    f"The weights have stopped arriving: nothing for {now - progressed:.0f} s, with "
                    f"{seen:,} of {self._page.total:,} bytes there."
                )
        self.waited += self._clock() - began

    @contextmanager
    def _opened(self, name: str, file: ArrivingFile, flags: int) -> Iterator[int]:
        try:
            descriptor = os.open(self._path.parent / str(file.descriptor), flags)
        except OSError as error:
            self._refuse_second_load()
            raise ArrivalError(f"The shared memory of {name} cannot be opened: {error.strerror}.") from error
        try:
            # Only now is it sure: memory is marked as given up before its descriptor is closed, and taken by another.
            self._refuse_second_load()
            yield descriptor
        finally:
            os.close(descriptor)

    def _refuse_second_load(self) -> None:
        if self._page.given_up:
            raise ArrivalError(_SECOND_LOAD)

    def _look_after_the_fetcher(self) -> None:
        held = is_held(self._descriptor)
        state = self._page.state  # read after the lock: a fetcher says how it ends before it does
        if state is State.FAILED:
            raise ArrivalError(self._page.failure[0])
        if state is State.RUNNING and not held:
            raise ArrivalError("The process that fetches the weights is gone; it was killed, most likely for memory.")
