"""Where the time of a start went: one table in the log when the engine is ready."""

from __future__ import annotations

import threading
import time

from wellhead_runtime.faststart.phases import PhaseClock
from wellhead_storage.logs import log

_INITIALIZER = "initializer"


class StartReport:
    """Follows the engine's output until it is ready, and then says what took how long.

    Args:
        initializer: seconds that preparing the model took, 0 where that is not known.
        as_json: one record with numbers instead of a table.
    """

    def __init__(self, initializer: float, *, as_json: bool) -> None:
        self._initializer = initializer
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
                self._say(clock.durations)

    def _say(self, phases: dict[str, float]) -> None:
        total = sum(phases.values())
        if self._as_json:
            rounded = {name: round(seconds, 2) for name, seconds in phases.items()}
            known = {_INITIALIZER: round(self._initializer, 2)} if self._initializer else {}
            log.info("the engine is ready", extra={"start": known | {"engine": round(total, 2), "phases": rounded}})
            return
        rows = ({_INITIALIZER: self._initializer} if self._initializer else {}) | phases
        width = max(map(len, rows))
        table = "".join(f"\n  {name:<{width}} {seconds:7.1f} s" for name, seconds in rows.items())
        log.info("the engine is ready after %.1f s%s", total, table)
