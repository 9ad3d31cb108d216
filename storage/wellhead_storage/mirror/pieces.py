"""One object of the source as pieces in order, several of which are being read at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

from wellhead_storage.mirror.budget import Budget, Piece
from wellhead_storage.retrying import persist
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Store, StoredObject

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MIB = 1024 * 1024
_SMALLEST = 5 * _MIB  # of S3's parts but the last
_MOST = 10_000  # parts of one upload in S3; Azure allows 50,000 blocks
_UNSIZED = 16 * _MIB  # where the length is unknown: objects up to 156 GiB


def piece_bytes(item: StoredObject) -> int:
    """Bytes of every piece of an object but the last: whole MiB, as few as the limits of uploads allow."""
    if not item.sized:
        return _UNSIZED
    return max(_SMALLEST, -(-item.size // (_MOST * _MIB)) * _MIB)


class Reader:
    """Reads objects of one store.

    Args:
        store: the source.
        budget: of memory, shared by everybody.
        pool: threads for ranges.
        settings: how long to try.
        check: raises when there is no point in going on.
    """

    def __init__(
        self,
        store: Store,
        budget: Budget,
        pool: Executor,
        settings: Settings,
        check: Callable[[], None],
    ) -> None:
        self._store, self._budget, self._pool, self._settings = store, budget, pool, settings
        self._check = check

    def pieces(self, item: StoredObject, count: Callable[[int], None]) -> Iterator[Buffer]:
        """The object in pieces of `piece_bytes(item)`; an empty one gives none.

        Pieces are taken from the budget in the order in which they are needed, so that the oldest one always has its
        memory and nobody waits for ever.

        Args:
            item: the object.
            count: told of bytes as they arrive, from several threads.
        """
        if item.ranged and item.sized:
            yield from self._ranges(item, count)
        else:
            yield from self._from_start_to_end(item, count)

    def _ranges(self, item: StoredObject, count: Callable[[int], None]) -> Iterator[Piece]:
        size = piece_bytes(item)
        starts = deque(range(0, item.size, size))
        ahead: deque[Future[Piece]] = deque()
        try:
            while starts or ahead:
                self._check()
                while starts:
                    length = min(size, item.size - starts[0])
                    piece = self._budget.try_take(length) if ahead else self._budget.take(length, self._check)
                    if piece is None:
                        break
                    ahead.append(self._pool.submit(self._fill, item, starts.popleft(), piece, count))
                    del piece  # nobody but its reader may hold it on to its end
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
            ahead.clear()

    def _fill(self, item: StoredObject, start: int, piece: Piece, count: Callable[[int], None]) -> Piece:
        """Read one range; after a broken stream it goes on where that ended."""
        position = 0

        def go_on() -> None:
            nonlocal position
            for chunk in self._store.stream(item, start + position, len(piece) - position):
                self._check()
                view = memoryview(chunk)
                with memoryview(piece) as target:
                    target[position : position + len(view)] = view
                position += len(view)
                count(len(view))

        try:
            persist(go_on, self._settings)
        except BaseException:
            piece.drop()
            raise
        return piece

    def _from_start_to_end(self, item: StoredObject, count: Callable[[int], None]) -> Iterator[Buffer]:
        size = piece_bytes(item)
        piece, filled = self._budget.take(size, self._check), 0
        for chunk in self._store.stream(item):
            self._check()
            view = memoryview(chunk)
            count(len(view))
            while view:
                part = view[: size - filled]
                with memoryview(piece) as target:
                    target[filled : filled + len(part)] = part
                filled, view = filled + len(part), view[len(part) :]
                if filled == size:
                    full: list[Buffer] = [piece]
                    del piece
                    yield full.pop()
                    piece, filled = self._budget.take(size, self._check), 0
        if filled:
            rest = [memoryview(piece)[:filled]]
            del piece
            yield rest.pop()
