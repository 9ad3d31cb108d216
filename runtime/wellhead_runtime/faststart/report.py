"""Where the time of a start went: one table in the log when the engine is ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from wellhead_runtime.faststart.phases import PhaseClock
from wellhead_storage.logs import log

_BYTES = ("first byte", "last byte")


class StartReport:
    """Follows the engine's output until it is ready, and then says what took how long.

    Args:
        initializer: seconds that preparing the model took, 0 where that is not known.
        arrival: `time.monotonic()` of the weights' first byte and of their last, where they arrive meanwhile.
        as_json: one record with numbers instead of a table.
    """

    def __init__(
        self, initializer: float, arrival: Callable[[], tuple[float, float]] | None = None, *, as_json: bool
    ) -> None:
        self._initializer = initializer
        self._arrival = arrival
        self._as_json = as_json
        self._lock = threading.Lock()  # both of the engine's streams are read, each by a thread of its own
        self._clock: PhaseClock | None = None

    def begin(self) -> None:
        """The engine is started now."""
        self._clock = PhaseClock(time.monotonic())

    def line(self, text: str) -> None:
        """Take a line of the engine's output; costs nothing once it is ready."""
        clock = self._clock
        if clock is None or clock.ready:
            return
        with self._lock:
            clock.line(text)
            if clock.ready and self._clock:
                self._clock = None
                self._say(clock)

    def _say(self, clock: PhaseClock) -> None:
        phases, total = clock.durations, sum(clock.durations.values())
        before = {"initializer": self._initializer} if self._initializer else {}
        moments = zip(_BYTES, self._arrival() if self._arrival else (0.0, 0.0), strict=True)
        came = {name: max(0.0, moment - clock.started) for name, moment in moments if moment}
        if self._as_json:
            bytes_came = {name.replace(" ", "_"): seconds for name, seconds in came.items()}
            start = _rounded(before | {"engine": total} | bytes_came)
            log.info("the engine is ready", extra={"start": start | {"phases": _rounded(phases)}})
            return
        rows = {name: f"{seconds:7.1f} s, before" for name, seconds in before.items()}
        rows |= {name: f"{seconds:7.1f} s" for name, seconds in phases.items()}
        rows |= {f"{name} of the weights": f"{seconds:7.1f} s after its start" for name, seconds in came.items()}
        width = max(map(len, rows))
        table = "".join(f"\n  {name:<{width}} {text}" for name, text in rows.items())
        log.info("the engine is ready after %.1f s%s", total, table)


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}
