"""When to give a part up: after so many seconds of failures in a row. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from wellhead_storage.errors import IntegrityError, StoreUnavailable


class Patience:
    """With one part.

    Waiting for a place among the transfers is not the store's fault, and does not count. Wrong bytes may come out of a
    cache, once; the second time the cache or the store is to blame.

    Args:
        seconds: of failures without progress.
        clock: seconds, monotonic.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds, self._clock = seconds, clock
        self._began = clock()
        self._wrong = 0

    def begin(self) -> None:
        """There was progress: nothing counts that was before."""
        self._began = self._clock()

    def waited(self, seconds: float) -> None:
        """So long the part waited for its place."""
        self._began += seconds

    def lasts(self, error: Exception, *, progress: bool) -> bool:
        """Whether to try the same again after this, which may have come after some bytes."""
        if isinstance(error, IntegrityError) and error.passing:
            self._wrong += 1
            return self._wrong == 1
        late = progress or self._clock() - self._began >= self._seconds
        return isinstance(error, StoreUnavailable) and not late
