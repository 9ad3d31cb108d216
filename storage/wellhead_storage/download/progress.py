"""Telling how far a transfer is: a live bar for each folder on a terminal, else a log line every few seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from wellhead_storage.files import in_gib
from wellhead_storage.logs import log
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress

_BAR_EVERY, _LINE_EVERY = 0.25, 5.0  # seconds


class Meter(Protocol):
    """One transfer's progress.

    Attributes:
        every: seconds between calls of `show`.
    """

    every: float

    def show(self, done: int, total: int | None = None) -> None:
        """`done` bytes are there now, of `total` where that has changed."""

    def close(self) -> None:
        """The transfer ended, well or not."""


MakeMeter = Callable[[str, int, int], Meter]
"""(what is transferred, bytes in all or 0 where nobody knows, bytes that were there before) → a meter that is shown."""


def meters(settings: Settings) -> MakeMeter:
    """The kind of meter that fits where stderr goes."""
    if settings.log_format == "text" and sys.stderr.isatty():
        return _Bars()
    return Lines


class Lines:
    """A log line every few seconds, with the figures as fields of their own in JSON."""

    every = _LINE_EVERY

    def __init__(self, label: str, total: int, already: int) -> None:
        self._label, self._total, self._already = label, total, already
        self._begin = time.monotonic()

    def show(self, done: int, total: int | None = None) -> None:
        """Write the line."""
        self._total = self._total if total is None else total
        seconds = time.monotonic() - self._begin
        speed = (done - self._already) / seconds if seconds else 0.0
        left = max(0.0, (self._total - done) / speed) if speed and self._total else None
        log.info(
            "fetched %s of %s for %s, %s/s%s",
            in_gib(done),
            in_gib(self._total) if self._total else "?",
            self._label,
            in_gib(int(speed)),
            "" if left is None else f", {left:.0f} s left",
            extra={
                "folder": self._label,
                "bytes_done": done,
                "bytes_total": self._total or None,
                "bytes_per_second": round(speed),
                "seconds_left": None if left is None else round(left),
            },
        )

    def close(self) -> None:
        """Nothing to take back."""


class _Bars:
    """rich's live display, shared by all folders of a call; it is there as long as one of them is being filled."""

    def __init__(self) -> None:
        self._display: Progress | None = None
        self._open = 0
        self._lock = threading.Lock()

    def __call__(self, label: str, total: int, already: int) -> Meter:
        with self._lock:
            if self._display is None:
                self._display = _bars()
                self._display.start()
            self._open += 1
            task = self._display.add_task(label, total=total or None, completed=already)
            display = self._display

        def close() -> None:
            with self._lock:
                self._open -= 1
                if not self._open:
                    display.stop()
                    self._display = None

        return _Bar(lambda done, total: display.update(task, completed=done, total=total), close)


class _Bar:
    every = _BAR_EVERY

    def __init__(self, update: Callable[[int, int | None], None], close: Callable[[], None]) -> None:
        self._update, self._close = update, close

    def show(self, done: int, total: int | None = None) -> None:
        self._update(done, total)

    def close(self) -> None:
        self._close()


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
