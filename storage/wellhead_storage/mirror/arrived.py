"""How many bytes have come, object by object, so that what is read twice counts once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Arrived:
    """The count of one mirror; used from many threads."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}
        self._lock = threading.Lock()

    @property
    def bytes(self) -> int:
        """All that came for objects that are whole, or on their way."""
        with self._lock:
            return sum(count.bytes for count in self._counts.values())

    @contextmanager
    def attempt(self, name: str) -> Iterator[Callable[[int], None]]:
        """Count for one attempt to read an object, instead of any earlier one; if it fails, nothing came.

        Readers may still call what is given here when the attempt is over.
        """
        with self._lock:
            count = self._counts[name] = _Count()
        try:
            yield count.add
        except BaseException:
            with self._lock:
                del self._counts[name]
            raise


class _Count:
    """Bytes of one attempt."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, arrived: int) -> None:
        with self._lock:
            self.bytes += arrived
