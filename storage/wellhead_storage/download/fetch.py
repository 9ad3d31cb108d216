"""Fetch a set of objects into the staging area: parts of all files side by side, resumed, retried, verified."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from wellhead_storage.download.parts import Part
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.download.verify import matches
from wellhead_storage.download.workers import Workers
from wellhead_storage.download.writing import PartWriter, release_window
from wellhead_storage.errors import IntegrityError, StoreUnavailable
from wellhead_storage.files import disk_errors, in_gib, require_space
from wellhead_storage.logs import log
from wellhead_storage.retrying import attempts
from wellhead_storage.stores.brought import BroughtFolder
from wellhead_storage.stores.interface import Store, StoredObject


def fetch(
    store: Store,
    items: Iterable[StoredObject],
    staging: Staging,
    transfer: Transfer,
    *,
    large: bool = False,
    beside: Sequence[Callable[[], None]] = (),
) -> None:
    """Fetch every item; return when all are whole and verified.

    Args:
        store: where they are.
        items: what to fetch.
        staging: where they go.
        transfer: pools and settings of the call.
        large: these are weights: paced, with progress, and within the budget of connections.
        beside: other jobs to run in the same wave.

    Raises:
        InsufficientSpace: before the first byte, or as soon as the rest no longer fits.
        StoreUnavailable: no progress for `WELLHEAD_RETRY_TIMEOUT`.
        IntegrityError: twice not what the store says it is, or replaced in between.
    """
    workers = transfer.large if large else transfer.small
    wanted = list(items)
    if isinstance(store, BroughtFolder):
        for item in wanted:
            staging.adopt(item.name, store.file(item))
        workers.run(beside)
        return
    resumed = staging.resumed
    missing = staging.expect(wanted)
    needed = sum(part.length or 0 for part in missing)
    if staging.resumed > resumed:
        log.info("resuming: %s are here already", in_gib(staging.resumed - resumed))
    _Fetch(store, staging, transfer, workers, missing).run(beside, needed, show=large)


class _Fetch:
    """One call of `fetch`."""

    def __init__(
        self, store: Store, staging: Staging, transfer: Transfer, workers: Workers, missing: list[Part]
    ) -> None:
        self._store, self._staging, self._transfer, self._workers = store, staging, transfer, workers
        self._missing = missing
        self._remaining = Counter(part.item.name for part in missing)
        self._counting = threading.Lock()
        self._window = release_window(sum(part.length or 0 for part in missing), transfer.settings.connections)

    def run(self, beside: Sequence[Callable[[], None]], needed: int, *, show: bool) -> None:
        jobs: list[Callable[[], None]] = [*beside, *(partial(self._job, part) for part in self._missing)]
        if not show:
            self._workers.run(jobs)
            return
        before = self._staging.received
        total = needed + self._staging.resumed
        meter = self._transfer.meter(str(self._staging.destination), total, self._staging.resumed)

        def tick() -> None:
            arrived = self._staging.received - before
            meter.show(self._staging.resumed + arrived)
            require_space(self._staging.destination, min(needed - arrived, self._staging.lacking(self._missing)))

        try:
            self._workers.run(jobs, every=meter.every, tick=tick)
        finally:
            meter.close()

    def _job(self, part: Part) -> None:
        """Fetch one part; whoever brings the last one of a file verifies it. Runs on a worker's thread."""
        if part.length != 0 or not part.start:  # nothing but the check is left of a file that was whole already
            self._receive(part)
            self._staging.finish_part(part)
        with self._counting:
            self._remaining[part.item.name] -= 1
            last = not self._remaining[part.item.name]
        if last:
            self._finish(part.item)

    def _receive(self, part: Part) -> None:
        with disk_errors(self._staging.destination), self._staging.writer(part, self._window) as writer:
            self._persist(part, writer)
            if not part.item.sized:
                writer.truncate()

    def _persist(self, part: Part, writer: PartWriter) -> None:
        """Go on from where a stream broke off; only failures without any progress are counted against us."""
        whole = False
        while not whole:
            before = writer.position
            try:
                for attempt in attempts(
                    self._transfer.settings,
                    lambda error: isinstance(error, StoreUnavailable) and writer.position <= before,  # noqa: B023
                ):
                    with attempt:
                        self._stream(part, writer)
                        whole = True
            except StoreUnavailable:
                if writer.position <= before:
                    raise

    def _stream(self, part: Part, writer: PartWriter) -> None:
        if not part.item.ranged:
            self._staging.count(part.start - writer.position)
            writer.start_over(part.start)
        length = None if part.end is None else part.end - writer.position
        with self._slot():
            try:
                for chunk in self._store.stream(part.item, writer.position, length):
                    self._workers.check()
                    writer.write(chunk)
                    self._staging.count(len(memoryview(chunk)))
            except StoreUnavailable:
                self._transfer.pace.slow_down()
                raise
        self._transfer.pace.speed_up()

    def _slot(self) -> AbstractContextManager[None]:
        large = self._workers is self._transfer.large
        return self._transfer.pace.slot(self._workers.check) if large else nullcontext()

    def _finish(self, item: StoredObject) -> None:
        if not self._right(item):
            log.warning("%s is not what the store says it is: fetching it again", self._store.uri.child(item.name))
            self._staging.count(-item.size)
            for part in self._staging.start_over(item):
                self._receive(part)
                self._staging.finish_part(part)
            if not self._right(item):
                raise IntegrityError(
                    f"{self._store.uri.child(item.name)} came back twice with another checksum than the store's.",
                    "Upload it again, or check the proxy in front of the store.",
                )
        self._staging.finish_file(item)

    def _right(self, item: StoredObject) -> bool:
        if self._transfer.settings.verify == "size":
            return True
        checksum = self._store.checksum(item)
        if checksum is None or matches(self._staging.path(item.name), checksum, self._workers.check):
            return True
        return not self._store.checksum_is_of_content(item, checksum)
