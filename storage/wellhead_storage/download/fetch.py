"""Fetch a set of objects into the staging area, with progress in the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from wellhead_storage.download.parts import split
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.workers import Workers
from wellhead_storage.files import in_gib
from wellhead_storage.logs import log
from wellhead_storage.stores.interface import Store, StoredObject

_REPORT_EVERY = 5.0  # seconds


def fetch(
    store: Store,
    items: Iterable[StoredObject],
    staging: Staging,
    workers: Workers,
    *,
    beside: Sequence[Callable[[], None]] = (),
) -> None:
    """Fetch every item; return when all are whole.

    Args:
        store: where they are.
        items: what to fetch.
        staging: where they go.
        workers: the pool; its size bounds connections and, at 1 MiB a chunk, memory.
        beside: other jobs to run in the same wave.
    """
    wanted = list(items)
    staging.expect(wanted)
    total, already, begin = sum(item.size for item in wanted), staging.received, time.monotonic()

    def report() -> None:
        got, seconds = staging.received - already, time.monotonic() - begin
        speed = got / seconds if seconds else 0.0
        left = f", {(total - got) / speed:.0f} s left" if speed else ""
        log.info("fetched %s of %s, %s/s%s", in_gib(got), in_gib(total), in_gib(int(speed)), left)

    jobs: list[Callable[[], None]] = [
        *beside,
        *(partial(staging.receive, store, part, workers.check) for part in split(wanted)),
    ]
    workers.run(jobs, every=_REPORT_EVERY, tick=report)
