"""Run many small blocking jobs on threads; stop all of them at the first failure or signal.

Threads and not asyncio: obstore releases the GIL, `os.pwrite` has no asynchronous form, and asyncio's import and
event-loop hop per chunk would cost more than they give.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

# Python sees a signal that arrives in the instant before a wait only when that wait ends, so none lasts longer.
_LONGEST_WAIT = 0.5  # seconds


class Stopped(Exception):
    """Raised inside a job once another one failed."""


class Workers:
    """A pool that lives for one `wellhead init`.

    Args:
        threads: most jobs at a time; threads start as they are needed.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="wellhead")
        self._stop = threading.Event()

    def check(self) -> None:
        """Called by long jobs between chunks; raises `Stopped` when there is no point in going on."""
        if self._stop.is_set():
            raise Stopped

    def run(
        self,
        jobs: Iterable[Callable[[], T]],
        *,
        every: float | None = None,
        tick: Callable[[], None] | None = None,
    ) -> list[T]:
        """Run all jobs and return their results in order.

        Args:
            jobs: what to call.
            every: seconds between calls of `tick` while waiting.
            tick: progress report, called on the caller's thread.

        Raises:
            Exception: whatever the first failing job raised; the others are told to stop.
            Stopped: the pool was abandoned by somebody else.
        """
        futures = [self._submit(job) for job in jobs]
        pending: set[Future[T]] = set(futures)
        longest = _LONGEST_WAIT if every is None else min(every, _LONGEST_WAIT)
        ticked = time.monotonic()
        try:
            while pending:
                done, pending = wait(pending, timeout=longest, return_when=FIRST_EXCEPTION)
                for future in done:
                    if not isinstance(future.exception(), Stopped):  # for a failure that is still to come
                        future.result()
                if pending:
                    self.check()  # jobs that are cancelled unstarted never count as done
                if pending and tick and every is not None and time.monotonic() - ticked >= every:
                    ticked = time.monotonic()
                    tick()
        except BaseException:
            self.abandon()
            raise
        return [future.result() for future in futures]

    def _submit(self, job: Callable[[], T]) -> Future[T]:
        try:
            return self._pool.submit(job)
        except RuntimeError:  # the pool was shut down
            self.check()
            raise

    def abandon(self) -> None:
        """Give up: nothing new starts, running jobs end at their next check."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """All jobs are done; let the threads go."""
        self._pool.shutdown(wait=True)
