"""Go on with a part from where its stream broke off, until it is whole or the store has had its chances."""

from __future__ import annotations

from collections.abc import Callable

from wellhead_storage.download.patience import Patience
from wellhead_storage.errors import StoreUnavailable
from wellhead_storage.retrying import attempts
from wellhead_storage.settings import Settings


def keep_on(
    stream: Callable[[Patience], None], position: Callable[[], int], settings: Settings, clock: Callable[[], float]
) -> None:
    """Call `stream` until it gets to its end; only failures in a row, without any progress, are counted against us.

    Args:
        stream: reads from `position()` to the end of the part.
        position: offset of the next byte.
        settings: how many seconds such failures may last.
        clock: seconds, monotonic.

    Raises:
        StoreUnavailable: they lasted longer.
        WellheadError: whatever else ended the stream; that is not tried again.
    """
    patience = Patience(settings.retry_timeout, clock)
    whole = False
    while not whole:
        before = position()
        patience.begin()
        try:
            for attempt in attempts(
                settings,
                lambda error: patience.lasts(error, progress=position() > before),  # noqa: B023
                timed=False,
            ):
                with attempt:
                    stream(patience)
                    whole = True
        except StoreUnavailable:
            if position() <= before:
                raise
