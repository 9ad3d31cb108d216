"""How many transfers may run at a time: fewer after refusals, slowly more again. No I/O."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ONCE = 1.0  # seconds: a burst of refusals is one event, since all transfers feel it together


class Pace:
    """Additive increase, multiplicative decrease over the number of transfers, as TCP does with its window.

    Args:
        most: transfers at a time when all is well.
        clock: seconds, monotonic.

    Attributes:
        clock: the same.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._limit = float(most)
        self._active = 0
        self.clock = clock
        self._slowed = float("-inf")
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """Transfers that may run at a time now."""
        return int(self._limit)

    @contextmanager
    def slot(self, check: Callable[[], None]) -> Iterator[float]:
        """Wait for a place, and say for how many seconds; `check` is called now and then, and may raise to give up."""
        begin = self.clock()
        with self._changed:
            while self._active >= self.limit:
                self._changed.wait(timeout=0.5)
                check()
            self._active += 1
        try:
            yield self.clock() - begin
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify()

    def slow_down(self) -> None:
        """The store refused or broke off: half as many."""
        with self._changed:
            if self.clock() - self._slowed >= _ONCE:
                self._slowed = self.clock()
                self._limit = max(1.0, self._limit / 2)

    def speed_up(self) -> None:
        """A transfer went through: a little more, so that one whole round adds one."""
        with self._changed:
            self._limit = min(float(self._most), self._limit + 1 / self._limit)
            self._changed.notify()
