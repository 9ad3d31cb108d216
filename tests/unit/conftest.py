"""What every unit test may rely on: hypothesis without clocks, and nothing left behind in the process."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "wellhead",
    max_examples=60,
    deadline=None,  # the machine may be busy
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("wellhead")


@pytest.fixture
def wellhead_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Every line of the logger `wellhead`, debug included; `logs.configure` may be called meanwhile."""
    log = logging.getLogger("wellhead")
    before = log.handlers, log.propagate, log.level
    log.addHandler(caplog.handler)
    log.setLevel(logging.DEBUG)
    caplog.set_level(logging.DEBUG)
    try:
        yield caplog
    finally:
        log.handlers, log.propagate = before[0], before[1]
        log.setLevel(before[2])


@pytest.fixture
def signals_restored() -> Iterator[None]:
    """For code that installs signal handlers in this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
