"""What all transfers of one call share: one budget of connections and memory, however many folders are prepared."""

from __future__ import annotations

import threading

from wellhead_storage.download.pace import Pace
from wellhead_storage.download.progress import MakeMeter, meters
from wellhead_storage.download.workers import Workers
from wellhead_storage.download.writing import release_window
from wellhead_storage.settings import Settings

# Enough for one wave over a checkpoint of 120 shards; threads start only as jobs need them.
_SMALL_THREADS = 128


class Transfer:
    """The pools of one call.

    Args:
        settings: `connections` bounds the large transfers, and at 1 MiB a chunk their memory.

    Attributes:
        small: for metadata and headers, which come in one wave: their number is bounded by these threads alone.
        large: for weights.
        pace: how many of the large ones may run at a time.
        meter: makes progress meters.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.small = Workers(_SMALL_THREADS)
        self.large = Workers(settings.connections)
        self.pace = Pace(settings.connections)
        self.meter: MakeMeter = meters(settings)
        self._expected = 0
        self._expecting = threading.Lock()

    def expect(self, count: int) -> None:
        """So many more bytes are to be written, of whichever folder."""
        with self._expecting:
            self._expected += count

    @property
    def window(self) -> int | None:
        """`release_window` for all folders together, as far as they are known: one memory has to hold them."""
        return release_window(self._expected, self.settings.connections)

    def abandon(self) -> None:
        """Something failed: nothing new starts, and what runs ends at its next check."""
        self.small.abandon()
        self.large.abandon()

    def close(self) -> None:
        """All is done; let the threads go."""
        self.small.close()
        self.large.close()
