"""Only what may pass is tried again, and not for longer than asked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest

from wellhead_storage.errors import AccessDenied, StoreUnavailable, WellheadError
from wellhead_storage.retrying import persist
from wellhead_storage.settings import Settings


def failing(times: int, error: Callable[[], WellheadError] = lambda: StoreUnavailable("busy")) -> Callable[[], int]:
    """A call that works after so many failures, and says how many calls there were."""
    calls = 0

    def call() -> int:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise error()
        return calls

    return call


def test_what_passes_is_tried_again_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "wellhead"):
        assert persist(failing(2), Settings(retry_timeout=20)) == 3
    assert len(caplog.messages) == 2
    assert all(text.startswith("trying again in ") and text.endswith(": busy") for text in caplog.messages)


def test_what_lasts_is_not(caplog: pytest.LogCaptureFixture) -> None:
    call = failing(1, lambda: AccessDenied("no"))
    with pytest.raises(AccessDenied):
        persist(call, Settings(retry_timeout=20))
    assert call() == 2, "it was called once"
    assert not caplog.messages


def test_what_lasts_is_believed_by_whoever_asks_for_the_first_time_only() -> None:
    call = failing(1, lambda: StoreUnavailable("no such host", lasting=True))
    with pytest.raises(StoreUnavailable):
        persist(call, Settings(retry_timeout=20), first=True)
    assert call() == 2, "it was called once"
    assert persist(failing(1), Settings(retry_timeout=20), first=True) == 2
    gone = failing(1, lambda: StoreUnavailable("its pod restarts", lasting=True))
    assert persist(gone, Settings(retry_timeout=20)) == 2


def test_one_attempt_where_no_time_is_given() -> None:
    call = failing(1)
    with pytest.raises(StoreUnavailable):
        persist(call, Settings(retry_timeout=0))
    assert call() == 2


def test_it_gives_up_in_time() -> None:
    begin = time.monotonic()
    with pytest.raises(StoreUnavailable, match="busy"):
        persist(failing(1000), Settings(retry_timeout=1))
    assert time.monotonic() - begin < 5


def test_nothing_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """stamina's own hook prints there where structlog is installed."""
    persist(failing(1), Settings(retry_timeout=20))
    assert capsys.readouterr().out == ""
