"""Counting what comes for a mirror."""

from __future__ import annotations

from collections.abc import Callable

from wellhead_storage.errors import StoreUnavailable
from wellhead_storage.mirror.arrived import Arrived


def test_objects_add_up() -> None:
    arrived = Arrived()
    for name in ("a", "b"):
        with arrived.attempt(name) as count:
            count(3)
            count(4)
    assert arrived.bytes == 14


def fail(arrived: Arrived) -> Callable[[int], None]:
    """One attempt; returns its counter."""
    try:
        with arrived.attempt("a") as count:
            count(5)
            raise StoreUnavailable("down")
    except StoreUnavailable:
        return count


def test_a_failed_attempt_counts_for_nothing_even_what_comes_late() -> None:
    arrived = Arrived()
    late = fail(arrived)
    late(1)
    assert arrived.bytes == 0
    with arrived.attempt("a") as count:
        count(5)
        late(1)
    assert arrived.bytes == 5


def test_an_object_that_is_copied_again_counts_once() -> None:
    arrived = Arrived()
    for size in (5, 7):
        with arrived.attempt("a") as count:
            count(size)
    assert arrived.bytes == 7
