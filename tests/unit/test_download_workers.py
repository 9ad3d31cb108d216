"""Many small jobs on threads; the first failure ends all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from wellhead_storage.download.workers import Stopped, Workers
from wellhead_storage.errors import AccessDenied, Interrupted


@pytest.fixture
def workers() -> Iterator[Workers]:
    pool = Workers(4)
    yield pool
    pool.abandon()


def test_results_come_in_the_order_of_the_jobs(workers: Workers) -> None:
    def job(number: int) -> Callable[[], int]:
        def run() -> int:
            time.sleep(0.01 * (5 - number))
            return number

        return run

    assert workers.run(job(number) for number in range(5)) == [0, 1, 2, 3, 4]
    assert workers.run([]) == []


def test_several_waves(workers: Workers) -> None:
    assert workers.run([lambda: 1]) + workers.run([lambda: 2]) == [1, 2]
    workers.close()


def test_jobs_run_at_the_same_time_and_never_more_than_asked() -> None:
    pool, together, most = Workers(3), threading.Barrier(3, timeout=10), 0
    running, lock = 0, threading.Lock()

    def job() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait()
        with lock:
            running -= 1

    pool.run([job] * 6)
    pool.close()
    assert most == 3


def test_the_first_failure_is_raised_and_stops_the_others(workers: Workers) -> None:
    error, started, stopped = AccessDenied("No."), threading.Event(), threading.Event()

    def long() -> None:
        started.set()
        try:
            while True:
                workers.check()
                time.sleep(0.005)
        except Stopped:
            stopped.set()
            raise

    def failing() -> None:
        assert started.wait(10)
        raise error

    with pytest.raises(AccessDenied) as caught:
        workers.run([long, failing])
    assert caught.value is error
    assert stopped.wait(10)


def test_what_waits_behind_a_failure_never_starts() -> None:
    pool = Workers(1)
    begun: list[float] = []

    def failing() -> None:
        raise AccessDenied("No.")

    def slow() -> None:
        begun.append(time.monotonic())
        time.sleep(0.02)

    with pytest.raises(AccessDenied):
        pool.run([failing, *[slow] * 50])
    pool.close()
    assert len(begun) < 25


def test_progress_is_reported_on_the_callers_thread_while_jobs_run(workers: Workers) -> None:
    ticked = threading.Event()
    threads: list[threading.Thread] = []

    def tick() -> None:
        threads.append(threading.current_thread())
        ticked.set()

    assert workers.run([lambda: ticked.wait(10)], every=0.01, tick=tick) == [True]
    assert set(threads) == {threading.current_thread()}


def test_a_signal_in_the_waiting_thread_stops_the_jobs(workers: Workers) -> None:
    """`Interrupted` is raised wherever the main thread is; here, in its progress report."""
    stopped = threading.Event()

    def long() -> None:
        try:
            while True:
                workers.check()
                time.sleep(0.005)
        except Stopped:
            stopped.set()

    def tick() -> None:
        raise Interrupted("Stopped.")

    with pytest.raises(Interrupted):
        workers.run([long], every=0.01, tick=tick)
    assert stopped.wait(10)


def test_check_is_silent_until_there_is_no_point(workers: Workers) -> None:
    workers.check()
    workers.abandon()
    with pytest.raises(Stopped):
        workers.check()
