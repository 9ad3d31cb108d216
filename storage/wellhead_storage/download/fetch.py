"""Fetch a set of objects into the staging area: parts of all files side by side, resumed, retried, verified."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from wellhead_storage.download.parts import Part
from wellhead_storage.download.patience import Patience
from wellhead_storage.download.persistence import keep_on
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.download.verify import matches
from wellhead_storage.download.workers import Workers
from wellhead_storage.download.writing import PartWriter
from wellhead_storage.errors import IntegrityError, ObjectNotFound, StoreUnavailable
from wellhead_storage.files import disk_errors, in_gib, require_space
from wellhead_storage.logs import log
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
    if staging.resumed > resumed:
        log.info("resuming: %s are here already", in_gib(staging.resumed - resumed))
    _Fetch(store, staging, transfer, workers, missing).run(beside, show=large)


class _Fetch:
    """One call of `fetch`."""

    def __init__(
        self, store: Store, staging: Staging, transfer: Transfer, workers: Workers, missing: list[Part]
    ) -> None:
        self._store, self._staging, self._transfer, self._workers = store, staging, transfer, workers
        self._missing = missing
        self._remaining = Counter(part.item.name for part in missing)
        self._counting = threading.Lock()
        self._needed = sum(part.length or 0 for part in missing)  # bytes; grows by what has to come again
        self._before = staging.received
        transfer.expect(self._needed)

    def run(self, beside: Sequence[Callable[[], None]], *, show: bool) -> None:
        jobs: list[Callable[[], None]] = [*beside, *(partial(self._job, part) for part in self._missing)]
        if not show or not self._missing:
            self._workers.run(jobs)
            return
        staging, resumed = self._staging, self._staging.resumed
        meter = self._transfer.meter(str(staging.destination), self._needed + resumed, resumed)
        room = _Room(staging, self._missing)

        def tick() -> None:
            meter.show(resumed + self._arrived, resumed + self._needed)
            room.look(self._left())

        try:
            self._workers.run(jobs, every=meter.every, tick=tick)
            done = resumed + self._arrived
            if done:
                meter.show(done, max(done, resumed + self._needed))
        finally:
            meter.close()

    @property
    def _arrived(self) -> int:
        return self._staging.received - self._before

    def _left(self) -> int:
        return max(0, self._needed - self._arrived)

    def _again(self, count: int) -> None:
        """So many bytes that have come, in this run or an earlier one, have to come again."""
        with self._counting:
            self._needed += count

    def _job(self, part: Part) -> None:
        """Fetch one part; whoever brings the last one of a file verifies it. Runs on a worker's thread."""
        try:
            if part.length != 0 or not part.start:  # nothing but the check is left of a file that was whole already
                self._receive(part)
                self._staging.finish_part(part)
            with self._counting:
                self._remaining[part.item.name] -= 1
                last = not self._remaining[part.item.name]
            if last:
                self._finish(part.item)
        except (IntegrityError, ObjectNotFound):
            self._staging.spoil(part.item)
            raise

    def _receive(self, part: Part) -> None:
        window = self._transfer.window
        with disk_errors(self._staging.destination, self._left), self._staging.writer(part, window) as writer:
            stream = partial(self._stream, part, writer)
            keep_on(stream, lambda: writer.position, self._transfer.settings, self._transfer.pace.clock)
            if not part.item.sized:
                writer.truncate()

    def _stream(self, part: Part, writer: PartWriter, patience: Patience) -> None:
        if not part.item.ranged:
            self._again(writer.position - part.start)
            writer.start_over(part.start)
        length = None if part.end is None else part.end - writer.position
        with self._slot() as waited:
            patience.waited(waited)
            try:
                for chunk in self._store.stream(part.item, writer.position, length):
                    self._workers.check()
                    writer.write(chunk)
                    self._staging.count(len(memoryview(chunk)))
            except StoreUnavailable:
                self._transfer.pace.slow_down()
                raise
        self._transfer.pace.speed_up()

    def _slot(self) -> AbstractContextManager[float]:
        large = self._workers is self._transfer.large
        return self._transfer.pace.slot(self._workers.check) if large else nullcontext(0.0)

    def _finish(self, item: StoredObject) -> None:
        doubtful = item.name in self._staging.kept
        right = self._right(item, anyway=doubtful)
        if right is False or (doubtful and not right):
            log.warning(
                "%s may have been lost when its machine went down: fetching it again"
                if doubtful
                else "%s is not what the store says it is: fetching it again",
                self._store.uri.child(item.name),
            )
            self._again(item.size)
            for part in self._staging.start_over(item):
                self._receive(part)
                self._staging.finish_part(part)
            if self._right(item) is False:
                raise IntegrityError(
                    f"{self._store.uri.child(item.name)} came back twice with another checksum than the store's.",
                    "Upload it again, or check the proxy in front of the store.",
                )
        if item.name not in self._staging.kept:
            self._staging.finish_file(item)

    def _right(self, item: StoredObject, *, anyway: bool = False) -> bool | None:
        """Whether a file has the store's checksum; None where nothing says so, or nobody asks (but `anyway`)."""
        if self._transfer.settings.verify == "size" and not anyway:
            return None
        checksum = self._store.checksum(item)
        if checksum is None:
            return None
        if matches(self._staging.path(item.name), checksum, self._workers.check):
            return True
        return False if self._store.checksum_is_of_content(item, checksum) else None


class _Room:
    """Looks whether the files still fit, where the volume could not reserve their room."""

    def __init__(self, staging: Staging, parts: Iterable[Part]) -> None:
        self._staging = staging
        self._items = {part.item for part in parts if part.length != 0}

    def look(self, left: int) -> None:
        """`left` bytes are still to come; what has its room is not looked at again."""
        lacking = {item: self._staging.lacking([item]) for item in self._items}
        self._items = {item for item, count in lacking.items() if count}
        require_space(self._staging.destination, min(left, sum(lacking.values())))
