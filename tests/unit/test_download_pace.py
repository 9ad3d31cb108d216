"""A store that refuses is asked by half as many at a time, and by one more after every round that goes well."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from wellhead_storage.download.pace import Pace


class Clock:
    """Time that moves when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(16, clock)


def test_all_at_first(pace: Pace) -> None:
    assert pace.limit == 16


def test_half_as_many_after_a_refusal(pace: Pace, clock: Clock) -> None:
    pace.slow_down()
    assert pace.limit == 8
    clock.now += 1
    pace.slow_down()
    assert pace.limit == 4


def test_a_burst_of_refusals_is_one_event(pace: Pace) -> None:
    for _ in range(16):
        pace.slow_down()
    assert pace.limit == 8


def test_one_always_goes_on(pace: Pace, clock: Clock) -> None:
    for _ in range(20):
        clock.now += 1
        pace.slow_down()
    assert pace.limit == 1


def test_one_more_after_each_round_and_never_more_than_asked(pace: Pace, clock: Clock) -> None:
    for _ in range(3):
        clock.now += 1
        pace.slow_down()
    assert pace.limit == 2
    rounds = []
    for _ in range(20):
        for _ in range(pace.limit):
            pace.speed_up()
        rounds.append(pace.limit)
    assert all(0 <= later - earlier <= 1 for earlier, later in pairwise(rounds))
    assert rounds[-1] == 16


def test_transfers_beyond_the_limit_wait(pace: Pace) -> None:
    pace = Pace(2)
    inside, most = 0, 0
    count = threading.Lock()
    both = threading.Barrier(2, timeout=10)

    def transfer() -> None:
        nonlocal inside, most
        with pace.slot(lambda: None):
            with count:
                inside += 1
                most = max(most, inside)
            both.wait()
            with count:
                inside -= 1

    threads = [threading.Thread(target=transfer) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (most, inside) == (2, 0)


def test_whoever_waits_can_be_told_to_give_up() -> None:
    pace = Pace(1)

    def give_up() -> None:
        raise KeyboardInterrupt

    with pace.slot(lambda: None), pytest.raises(KeyboardInterrupt), pace.slot(give_up):
        raise AssertionError("there is no place for two")
    with pace.slot(give_up):
        pass
