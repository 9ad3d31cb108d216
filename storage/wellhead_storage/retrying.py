"""Trying again: one policy for every request that a store may refuse for a while.

stamina does it, exponentially and with jitter. obstore has retried a request by itself before that,
within a second or so (`stores/client.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from wellhead_storage.errors import StoreUnavailable
from wellhead_storage.logs import log
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    from stamina import Attempt
    from stamina.instrumentation import RetryDetails

T = TypeVar("T")

_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0  # seconds


def persist(call: Callable[[], T], settings: Settings, *, first: bool = False, tries: int | None = None) -> T:
    """Call until it succeeds, for `WELLHEAD_RETRY_TIMEOUT` seconds at most.

    Args:
        call: what to try.
        settings: for how long.
        first: nobody has answered there yet, so failures that last are believed at once.
        tries: how often at most; None for no limit but the time.

    Raises:
        StoreUnavailable: the last failure; every other error ends it at once.
    """

    def worth_it(error: Exception) -> bool:
        return isinstance(error, StoreUnavailable) and not (first and error.lasting)

    for attempt in attempts(settings, worth_it, tries=tries):
        with attempt:
            return call()
    raise AssertionError("stamina either returns or raises")


def attempts(
    settings: Settings,
    worth_it: Callable[[Exception], bool | float],
    *,
    timed: bool = True,
    tries: int | None = None,
) -> Iterable[Attempt]:
    """Give stamina's attempts under our policy, for loops that need more than `persist`.

    Args:
        settings: for how long.
        worth_it: whether to try again after an error, or the seconds to wait before that.
        timed: False where `worth_it` looks at the time itself.
        tries: how often at most; None for no limit but the time.
    """
    import stamina
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([_tell])
    return stamina.retry_context(
        on=worth_it,
        attempts=tries if settings.retry_timeout else 1,
        timeout=settings.retry_timeout or None if timed else None,
        wait_initial=_FIRST_WAIT,
        wait_max=_LONGEST_WAIT,
        wait_jitter=_FIRST_WAIT,
    )


def _tell(details: RetryDetails) -> None:
    # The log line is ours: stamina's own would show arguments, and print to stdout where structlog is installed.
    log.info("trying again in %.1f s: %s", details.wait_for, getattr(details.caused_by, "problem", details.caused_by))
