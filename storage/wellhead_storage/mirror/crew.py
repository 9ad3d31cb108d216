"""The threads of one mirror, and their orderly end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from wellhead_storage.download.workers import Workers
from wellhead_storage.settings import Settings

T = TypeVar("T")

# Few objects at a time end sooner than many, and what has ended need not be copied again after an interruption.
_OBJECTS = 8


class Crew:
    """Threads for objects, which wait most of the time, and threads that read ranges for them.

    Args:
        settings: `connections` bounds what is read at a time.

    Attributes:
        ranges: for reads.
        check: raises when there is no point in going on.
    """

    def __init__(self, settings: Settings) -> None:
        self._workers = Workers(min(_OBJECTS, settings.connections))
        self.ranges = ThreadPoolExecutor(settings.connections, thread_name_prefix="wellhead-range")
        self.check = self._workers.check
        self._busy = 0
        self._idle = threading.Condition()

    def run(
        self,
        jobs: Iterable[Callable[[], T]],
        *,
        every: float | None = None,
        tick: Callable[[], None] | None = None,
    ) -> list[T]:
        """See `Workers.run`."""
        return self._workers.run((partial(self._counted, job) for job in jobs), every=every, tick=tick)

    def _counted(self, job: Callable[[], T]) -> T:
        with self._idle:
            self._busy += 1
        try:
            self.check()
            return job()
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    def abandon(self, seconds: float) -> None:
        """Give up, and wait until running uploads have been aborted, but not for ever."""
        self._workers.abandon()
        self.ranges.shutdown(wait=False, cancel_futures=True)
        with self._idle:
            self._idle.wait_for(lambda: not self._busy, timeout=seconds)

    def close(self) -> None:
        """All is done; let the threads go."""
        self._workers.close()
        self.ranges.shutdown(wait=True)
