"""Fetch every shard in the order in which the loader asks: file after file, from its first byte to its last."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from wellhead_storage.control_page import ArrivingPart, ControlPage
from wellhead_storage.download.pace import Pace
from wellhead_storage.download.patience import Patience
from wellhead_storage.download.persistence import keep_on
from wellhead_storage.download.progress import Lines
from wellhead_storage.download.workers import Workers
from wellhead_storage.errors import InsufficientSpace, StoreUnavailable
from wellhead_storage.files import in_gib
from wellhead_storage.logs import log
from wellhead_storage.plan import PlannedFile
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Store, StoredObject

if TYPE_CHECKING:
    from typing_extensions import Buffer


def fetch(store: Store, files: Mapping[str, PlannedFile], page: ControlPage, settings: Settings) -> None:
    """Fetch all parts of a control page, and say there how far each is.

    Each part goes on from where its stream broke off, with the same ETag; nothing is fetched twice.

    Args:
        store: the folder.
        files: by name; their ETags pin the edition that the plan was made from.
        page: where the shards' memory is.
        settings: connections and time-outs.

    Raises:
        WellheadError: what ended the first part that could not be had.
        InsufficientSpace: the system refuses the memory.
    """
    workers, pace = Workers(settings.connections), Pace(settings.connections)
    meter = Lines(store.uri.location, page.total, 0)
    began = time.monotonic()

    def receive(number: int, part: ArrivingPart) -> None:
        item = _pinned(files[part.file.name])
        arrived = 0

        def stream(patience: Patience) -> None:
            nonlocal arrived
            with pace.slot(workers.check) as waited:
                patience.waited(waited)
                try:
                    for chunk in store.stream(item, part.start + arrived, part.length - arrived):
                        workers.check()
                        _write(part.file.descriptor, chunk, part.start + arrived)
                        arrived += len(memoryview(chunk))
                        page.advance(number, arrived)
                except StoreUnavailable:
                    pace.slow_down()
                    raise
            pace.speed_up()

        keep_on(stream, lambda: arrived, settings, pace.clock)

    jobs = [partial(receive, number, part) for number, part in enumerate(page.parts)]
    workers.run(jobs, every=meter.every, tick=lambda: meter.show(page.total_arrived))
    seconds = time.monotonic() - began
    speed = int(page.total / seconds) if seconds else 0
    log.info(
        "all weights are in memory: %s in %.1f s, %s/s",
        in_gib(page.total),
        seconds,
        in_gib(speed),
        extra={"bytes_total": page.total, "seconds": round(seconds, 3), "bytes_per_second": speed},
    )


def _pinned(file: PlannedFile) -> StoredObject:
    return StoredObject(file.name, file.size, file.etag)


def _write(descriptor: int, chunk: Buffer, offset: int) -> None:
    """`pwrite` takes pages of shared memory without a page fault for each, unlike a mapping."""
    view = memoryview(chunk)
    try:
        while view:
            written = os.pwrite(descriptor, view, offset)
            offset, view = offset + written, view[written:]
    except OSError as error:
        raise InsufficientSpace(
            f"The weights do not fit into shared memory: {error.strerror}.",
            "Raise resources.limits.memory, or set wellhead.dev/loader: runai_streamer.",
        ) from error
