"""Reading one object in several ranges at a time, within one budget of memory."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.unit.memory_store import MemoryStore
from wellhead_storage.download.workers import Stopped
from wellhead_storage.errors import IntegrityError, StoreUnavailable
from wellhead_storage.mirror.budget import Budget
from wellhead_storage.mirror.pieces import Reader, piece_bytes
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import StoredObject

if TYPE_CHECKING:
    from typing_extensions import Buffer

MIB = 1 << 20
DATA = bytes(range(251)) * (12 * MIB // 251)
GIB = 1 << 30


class Counted:
    """A reader over a store in memory, and what it counted."""

    def __init__(self, store: MemoryStore, pool: ThreadPoolExecutor, total: int = 64 * MIB) -> None:
        self.budget, self.bytes = Budget(total), 0
        self.stop = threading.Event()
        self.reader = Reader(store, self.budget, pool, Settings(retry_timeout=0.3), self.check)

    def check(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def count(self, arrived: int) -> None:
        self.bytes += arrived

    def pieces(self, item: StoredObject) -> Iterator[Buffer]:
        return self.reader.pieces(item, self.count)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, 5 * MIB), (50 * GIB - 1, 6 * MIB), (48 * GIB, 5 * MIB), (100 * GIB, 11 * MIB), (5 << 40, 525 * MIB)],
)
def test_parts_grow_so_that_ten_thousand_suffice(size: int, expected: int) -> None:
    found = piece_bytes(StoredObject("a", size))
    assert found == expected
    assert -(-size // found) <= 10_000


def test_pieces_come_in_order_and_their_memory_comes_back(pool: ThreadPoolExecutor) -> None:
    store = MemoryStore({"a": DATA})
    counted = Counted(store, pool)
    pieces = [bytes(piece) for piece in counted.pieces(store.objects()[0])]
    assert [len(piece) for piece in pieces] == [5 * MIB, 5 * MIB, len(DATA) - 10 * MIB]
    assert b"".join(pieces) == DATA
    assert counted.bytes == len(DATA)
    assert counted.budget.out == 0
    assert sorted(store.reads) == [("a", 0, 5 * MIB), ("a", 5 * MIB, 5 * MIB), ("a", 10 * MIB, len(DATA) - 10 * MIB)]


def test_an_empty_object_gives_no_piece(pool: ThreadPoolExecutor) -> None:
    store = MemoryStore({"a": b""})
    assert list(Counted(store, pool).pieces(store.objects()[0])) == []


def test_reading_ahead_ends_where_the_memory_does(pool: ThreadPoolExecutor) -> None:
    store = MemoryStore({"a": DATA})
    counted = Counted(store, pool, total=10 * MIB)
    pieces = counted.pieces(store.objects()[0])
    first = next(pieces)
    assert counted.budget.out == 10 * MIB
    del first
    assert len(list(pieces)) == 2


@pytest.mark.timeout(20)
def test_a_piece_larger_than_the_budget_travels_alone(pool: ThreadPoolExecutor) -> None:
    store = MemoryStore({"a": DATA})
    counted = Counted(store, pool, total=1 * MIB)
    received = b""
    for piece in counted.pieces(store.objects()[0]):
        assert counted.budget.out == len(piece)  # type: ignore[arg-type]
        received += bytes(piece)
        del piece
    assert received == DATA


@pytest.mark.timeout(20)
def test_many_objects_share_a_small_budget_without_waiting_for_each_other(pool: ThreadPoolExecutor) -> None:
    store = MemoryStore({str(number): DATA for number in range(6)})
    counted = Counted(store, pool, total=10 * MIB)

    def whole(item: StoredObject) -> bool:
        return b"".join(map(bytes, counted.pieces(item))) == DATA  # map holds no piece while it waits

    with ThreadPoolExecutor(6) as objects:
        assert all(objects.map(whole, store.objects()))
    assert counted.budget.out == 0


def test_an_object_that_cannot_be_read_in_ranges_is_read_once(pool: ThreadPoolExecutor) -> None:
    store = MemoryStore({"a": DATA})
    counted = Counted(store, pool, total=20 * MIB)
    item = store.objects()[0]
    unranged = StoredObject("a", item.size, item.etag, ranged=False)
    pieces = [bytes(piece) for piece in counted.pieces(unranged)]
    assert ([len(piece) for piece in pieces], b"".join(pieces)) == ([5 * MIB, 5 * MIB, len(DATA) - 10 * MIB], DATA)
    assert len(store.reads) == 1
    assert counted.budget.out == 0


def test_a_broken_stream_is_gone_on_with_where_it_ended(pool: ThreadPoolExecutor) -> None:
    class Breaking(MemoryStore):
        broke = False

        def stream(self, item: StoredObject, start: int = 0, length: int | None = None) -> Iterator[bytes]:
            for chunk in super().stream(item, start, length):
                yield chunk
                if not self.broke and start == 0:
                    self.broke = True
                    raise StoreUnavailable("The store hung up.")

    store = Breaking({"a": DATA[: 6 * MIB]})
    counted = Counted(store, pool)
    assert b"".join(bytes(piece) for piece in counted.pieces(store.objects()[0])) == DATA[: 6 * MIB]
    assert ("a", 1000, 5 * MIB - 1000) in store.reads
    assert counted.bytes == 6 * MIB


@pytest.mark.parametrize("error", [IntegrityError("replaced"), StoreUnavailable("down")])
def test_a_failure_gives_all_memory_back(error: Exception, pool: ThreadPoolExecutor) -> None:
    store = MemoryStore({"a": DATA}, broken={"a": error})  # type: ignore[dict-item]
    counted = Counted(store, pool)
    gc.disable()
    try:
        with pytest.raises(type(error)):
            list(counted.pieces(store.objects()[0]))
        pool.shutdown(wait=True)
        assert counted.budget.out == 0, "without any help of the garbage collector"
    finally:
        gc.enable()


def test_whoever_waits_for_memory_can_be_stopped(pool: ThreadPoolExecutor) -> None:
    counted = Counted(MemoryStore({}), pool, total=MIB)
    held = counted.budget.take(MIB, counted.check)
    waiting = pool.submit(counted.budget.take, 1, counted.check)
    counted.stop.set()
    with pytest.raises(Stopped):
        waiting.result(timeout=5)
    assert counted.budget.out == len(held)


def test_first_come_first_served(pool: ThreadPoolExecutor) -> None:
    """A large piece is not overtaken for ever by small ones."""
    budget = Budget(10)
    held = budget.take(8, lambda: None)
    large = pool.submit(budget.take, 10, lambda: None)
    while not budget._queue:
        pass
    assert budget.try_take(1) is None
    del held
    assert len(large.result(timeout=5)) == 10
