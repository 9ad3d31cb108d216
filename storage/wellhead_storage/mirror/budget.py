"""One budget of memory for all bytes on their way."""

from __future__ import annotations

import mmap
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress

_LONGEST_WAIT = 0.5  # seconds between looks at whether to give up


class Piece(mmap.mmap):
    """Bytes on their way; the budget has them back when nobody holds the piece any more.

    The uploading client takes pieces without copying them and lets go of each when its request has succeeded, which
    nothing else would tell us. Pages of their own go back to the system at once; what `bytearray` frees stays with
    the allocator of some thread (153 MiB resident instead of 91, measured).
    """

    give_back: Callable[[], object]

    def drop(self) -> None:
        """Free it at once: nobody will use it, but the frames of an exception may hold it for long."""
        with suppress(BufferError):  # somebody reads it even now, and will be the last to hold it
            self.close()
            self.give_back()


class Budget:
    """Hands out pieces, first come first served.

    Args:
        total: bytes out at a time; a single larger piece is handed out when no other is out.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._out = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()  # on a re-entrant lock: pieces may be freed anywhere, even in here

    @property
    def out(self) -> int:
        """Bytes handed out now."""
        return self._out

    def take(self, size: int, check: Callable[[], None]) -> Piece:
        """Wait for `size` bytes; `check` is called now and then, and may raise to give up."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or not self._fits(size):
                    self._changed.wait(_LONGEST_WAIT)
                    check()
                return self._hand_out(size)
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def try_take(self, size: int) -> Piece | None:
        """The same without waiting, or None."""
        with self._changed:
            return self._hand_out(size) if not self._queue and self._fits(size) else None

    def _fits(self, size: int) -> bool:
        return self._out + size <= self._total or not self._out

    def _hand_out(self, size: int) -> Piece:
        piece = Piece(-1, size)
        self._out += size
        piece.give_back = finalizer = weakref.finalize(piece, self._give_back, size)
        finalizer.atexit = False
        return piece

    def _give_back(self, size: int) -> None:
        with self._changed:
            self._out -= size
            self._changed.notify_all()
