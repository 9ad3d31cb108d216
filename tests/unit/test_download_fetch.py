"""One call of `fetch`: who is asked how often and how many at a time, and what is believed of what is there."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.unit.memory_store import MemoryStore
from wellhead_storage.download import published
from wellhead_storage.download import transfer as transfers
from wellhead_storage.download.fetch import fetch
from wellhead_storage.download.pace import Pace
from wellhead_storage.download.parts import Part, split
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.download.writing import PartWriter
from wellhead_storage.errors import IntegrityError, ObjectNotFound, StoreUnavailable
from wellhead_storage.manifest import MANIFEST_NAME, Manifest
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Checksum, StoredObject

SOURCE = "s3://models/llama"
Answer = Callable[[StoredObject], None]


class Store(MemoryStore):
    """A store in memory that knows checksums, and asks `before` ahead of every answer."""

    def __init__(self, content: Mapping[str, bytes], before: Answer = lambda _: None, *, sums: bool = True) -> None:
        super().__init__(content)
        self.before, self.sums = before, sums

    def stream(self, item: StoredObject, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        self.before(item)
        yield from super().stream(item, start, length)

    def checksum(self, item: StoredObject) -> Checksum | None:
        return Checksum("sha256", hashlib.sha256(self.content[item.name]).hexdigest()) if self.sums else None


def opened(folder: Path, store: MemoryStore) -> Staging:
    staging = Staging(folder)
    staging.open()
    staging.begin(SOURCE, store.objects())
    return staging


@pytest.fixture
def new_transfer() -> Iterator[Callable[..., Transfer]]:
    made: list[Transfer] = []

    def make(**settings: object) -> Transfer:
        made.append(Transfer(Settings.model_validate(settings)))
        return made[-1]

    yield make
    for each in made:
        each.abandon()


@pytest.fixture
def transfer(new_transfer: Callable[..., Transfer]) -> Transfer:
    return new_transfer()


def publish(staging: Staging, store: MemoryStore) -> Manifest:
    items = store.objects()
    staging.publish()
    files = staging.published.describe(items, staging.kept)
    manifest = Manifest(kind="download", source=SOURCE, files=files)
    path = staging.destination / MANIFEST_NAME
    path.parent.mkdir(exist_ok=True)
    path.write_text(manifest.model_dump_json())
    return manifest


def failing(times: int, error: Exception) -> Answer:
    """The first so many answers are this error."""
    left = iter(range(times))

    def before(_: StoredObject) -> None:
        if next(left, None) is not None:
            raise error

    return before


# Asking again ----------------------------------------------------------------------------------------------------


def test_waiting_for_a_place_is_no_failure(
    tmp_path: Path, new_transfer: Callable[..., Transfer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that waits longer than `WELLHEAD_RETRY_TIMEOUT` may still be refused once."""
    store = Store({"model.safetensors": b"weights"}, failing(1, StoreUnavailable("busy")))
    staging, transfer = opened(tmp_path, store), new_transfer(retry_timeout=60)
    now, waiting = [0.0], threading.Event()
    transfer.pace = Pace(1, lambda: now[0])

    def check() -> None:
        if not waiting.is_set():
            now[0] += 3600
            waiting.set()

    monkeypatch.setattr(transfer.large, "check", check)
    fetching = threading.Thread(target=fetch, args=(store, store.objects(), staging, transfer), kwargs={"large": True})
    with transfer.pace.slot(lambda: None):
        fetching.start()
        assert waiting.wait(30)
    fetching.join(30)
    staging.publish()
    assert (tmp_path / "model.safetensors").read_bytes() == b"weights"


def test_failures_in_a_row_end_the_call_in_time(tmp_path: Path, new_transfer: Callable[..., Transfer]) -> None:
    now = [0.0]

    def busy(_: StoredObject) -> None:
        now[0] += 25
        raise StoreUnavailable("busy")

    store = Store({"model.safetensors": b"weights"}, busy)
    transfer = new_transfer(retry_timeout=60)
    transfer.pace = Pace(1, lambda: now[0])
    with pytest.raises(StoreUnavailable):
        fetch(store, store.objects(), opened(tmp_path, store), transfer, large=True)
    assert now == [75.0]


def test_a_wrong_range_is_asked_for_once_more(tmp_path: Path, transfer: Transfer) -> None:
    """As a cache may give it once."""
    store = Store({"a.bin": b"a"}, failing(1, IntegrityError("another range", passing=True)))
    staging = opened(tmp_path, store)
    fetch(store, store.objects(), staging, transfer, large=True)
    assert staging.read("a.bin") == b"a"


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (IntegrityError("another range", passing=True), 2),
        (IntegrityError("replaced"), 1),
        (ObjectNotFound("gone"), 1),
    ],
    ids=str,
)
def test_one_bad_object_costs_no_other_its_bytes(
    tmp_path: Path, new_transfer: Callable[..., Transfer], error: Exception, tries: int
) -> None:
    asked: list[str] = []

    def before(item: StoredObject) -> None:
        if item.name == "z-bad.bin":
            asked.append(item.name)
            raise error

    content = {f"good-{number}.bin": bytes([number]) * 1000 for number in range(5)}
    store = Store({**content, "z-bad.bin": b"bad"}, before)
    staging = opened(tmp_path, store)
    with pytest.raises(type(error)):
        fetch(store, store.objects(), staging, new_transfer(connections=1), large=True)
    staging.abandon(resumable=True)
    assert len(asked) == tries
    store.before = lambda _: None
    store.reads.clear()
    again = opened(tmp_path, store)
    fetch(store, store.objects(), again, new_transfer(), large=True)
    assert store.reads == [("z-bad.bin", 0, 3)]
    again.publish()
    assert (tmp_path / "z-bad.bin").read_bytes() == b"bad"


def test_a_busy_store_gets_fewer_requests_at_a_time_and_more_again_later(
    tmp_path: Path, new_transfer: Callable[..., Transfer]
) -> None:
    """Sixteen at first; half as many right after a burst of refusals; all sixteen again after some good rounds."""
    items, transfer = 240, new_transfer(connections=16)
    lock, together = threading.Condition(), threading.Barrier(16)
    refused, flying, history = 0, 0, list[int]()

    def before(_: StoredObject) -> None:
        nonlocal refused, flying
        with lock:
            flying += 1
            burst = refused < 16
            refused += burst
            history.append(flying)
        try:
            if burst:
                together.wait(30)
                raise StoreUnavailable("SlowDown")
            with lock:  # as long as others may come, so that as many meet as are let in
                lock.notify_all()
                lock.wait_for(lambda: flying >= transfer.pace.limit, timeout=0.1)
                history.append(flying)
        finally:
            with lock:
                flying -= 1

    store = Store({f"{number:03}.bin": b"x" for number in range(items)}, before)
    fetch(store, store.objects(), opened(tmp_path, store), transfer, large=True)
    assert max(history[:16]) == 16
    assert 6 <= max(history[16:32]) <= 10
    assert max(history[-100:]) == 16


# After a crash of the machine ------------------------------------------------------------------------------------

CONTENT = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 20, "empty.txt": b""}


def crashed(monkeypatch: pytest.MonkeyPatch, boot: str = "another boot") -> None:
    monkeypatch.setattr(published, "boot_id", lambda: boot)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files that were synced."""
    names: list[str] = []
    monkeypatch.setattr(published, "_sync", lambda path: names.append(path.name))
    return names


def first_run(folder: Path, store: Store, transfer: Transfer) -> Manifest:
    staging = opened(folder, store)
    fetch(store, store.objects(), staging, transfer)
    return publish(staging, store)


def test_in_the_same_boot_nothing_is_read_again(tmp_path: Path, transfer: Transfer, synced: list[str]) -> None:
    store = Store(CONTENT)
    before = first_run(tmp_path, store, transfer)
    again = opened(tmp_path, store)
    assert again.expect(store.objects()) == []
    assert publish(again, store) == before
    assert not synced, "it would cost as long as writing the model to the disk"


@pytest.mark.parametrize("verify", ["full", "size"])
def test_after_another_boot_files_are_verified_once(
    tmp_path: Path,
    new_transfer: Callable[..., Transfer],
    monkeypatch: pytest.MonkeyPatch,
    synced: list[str],
    verify: str,
) -> None:
    store = Store(CONTENT)
    first_run(tmp_path, store, new_transfer(verify=verify))
    crashed(monkeypatch)
    store.reads.clear()
    again = opened(tmp_path, store)
    fetch(store, store.objects(), again, new_transfer(verify=verify))
    assert store.reads == []
    manifest = publish(again, store)
    assert sorted(synced) == ["config.json", "model.safetensors"]
    assert {file.boot for file in manifest.files if file.size} == {None}
    crashed(monkeypatch, "a third boot")
    assert opened(tmp_path, store).expect(store.objects()) == [], "they are on the disk for good"


@pytest.mark.parametrize("sums", [True, False], ids=["zeros", "no checksum"])
def test_what_a_crash_may_have_lost_is_fetched_again(
    tmp_path: Path, new_transfer: Callable[..., Transfer], monkeypatch: pytest.MonkeyPatch, sums: bool
) -> None:
    """A size and a time that reached the disk while the bytes did not; or nothing to tell by."""
    store = Store(CONTENT, sums=sums)
    first_run(tmp_path, store, new_transfer())
    path = tmp_path / "model.safetensors"
    if sums:
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    crashed(monkeypatch)
    store.reads.clear()
    again = opened(tmp_path, store)
    fetch(store, store.objects(), again, new_transfer())
    fetched = {name for name, _, length in store.reads if length}
    assert fetched == ({"model.safetensors"} if sums else {"model.safetensors", "config.json"})
    publish(again, store)
    assert {name: (tmp_path / name).read_bytes() for name in CONTENT} == CONTENT
    assert again.fetched == len(fetched)
    crashed(monkeypatch, "a third boot")
    assert opened(tmp_path, store).expect(store.objects()) == [], "and synced, so that it was the last time"


# Progress and memory ---------------------------------------------------------------------------------------------


class Meter:
    """Remembers what it was shown."""

    every = 0.01

    def __init__(self, label: str, total: int, already: int) -> None:
        self.already, self.total, self.shown = already, total, list[tuple[int, int]]()
        self.often = threading.Event()

    def show(self, done: int, total: int | None = None) -> None:
        self.total = self.total if total is None else total
        self.shown.append((done, self.total))
        if len(self.shown) > 5:
            self.often.set()

    def close(self) -> None:
        """Nothing to take back."""


def metered(transfer: Transfer) -> list[Meter]:
    made: list[Meter] = []

    def make(label: str, total: int, already: int) -> Meter:
        made.append(Meter(label, total, already))
        return made[-1]

    transfer.meter = make
    return made


def test_a_resumed_file_that_is_wrong_makes_the_whole_larger_and_nothing_negative(
    tmp_path: Path, new_transfer: Callable[..., Transfer]
) -> None:
    store = Store({"model.safetensors": b"x" * 5000})
    [item] = store.objects()
    first = opened(tmp_path, store)
    for part in first.expect([item]):
        first.finish_part(part)  # of zeros
    transfer = new_transfer()
    meters = metered(transfer)
    again = opened(tmp_path, store)
    fetch(store, [item], again, transfer, large=True)
    [meter] = meters
    assert (meter.already, again.resumed, again.received) == (5000, 5000, 5000)
    assert all(meter.already <= done <= total for done, total in meter.shown)
    assert meter.shown[-1] == (10000, 10000)


def test_the_end_is_told(tmp_path: Path, transfer: Transfer, caplog: pytest.LogCaptureFixture) -> None:
    store = Store({"a.bin": b"x" * 3000, "b.bin": b"y" * 3000})
    with caplog.at_level(logging.INFO, "wellhead"):
        fetch(store, store.objects(), opened(tmp_path, store), transfer, large=True)
    [line] = [record for record in caplog.records if record.getMessage().startswith("fetched ")]
    assert (vars(line)["bytes_done"], vars(line)["bytes_total"]) == (6000, 6000)


@pytest.mark.parametrize("reserved", [True, False])
def test_room_is_looked_at_per_file_and_no_more_where_it_is_reserved(
    tmp_path: Path, transfer: Transfer, monkeypatch: pytest.MonkeyPatch, reserved: bool
) -> None:
    """And not for every part of it, four times a second."""
    looks: list[str] = []
    meters = metered(transfer)

    def wait(_: StoredObject) -> None:
        meters[0].often.wait(30)

    store = Store({"a.bin": bytes(9000)}, wait)

    def lacking(_: Staging, items: Iterable[StoredObject]) -> int:
        items = list(items)
        looks.extend(item.name for item in items)
        return 0 if reserved else len(items)

    monkeypatch.setattr("wellhead_storage.download.staging.split", partial(split, part_bytes=1000))
    staging = opened(tmp_path, store)
    monkeypatch.setattr(Staging, "lacking", lacking)
    fetch(store, store.objects(), staging, transfer, large=True)
    ticks = len(meters[0].shown) - 1
    assert ticks > 5
    assert len(looks) <= (2 if reserved else 1 + ticks), "once to begin with, and then once or at every tick"


def test_all_folders_of_a_call_share_one_memory(
    tmp_path: Path, new_transfer: Callable[..., Transfer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of two models may fit into half of it, and both together not."""
    monkeypatch.setattr(
        transfers, "release_window", lambda needed, writers: None if needed <= 5000 else needed // writers
    )
    transfer = new_transfer(connections=2)
    windows: list[int | None] = []
    original = Staging.writer

    def writer(self: Staging, part: Part, window: int | None) -> PartWriter:
        windows.append(window)
        return original(self, part, window)

    monkeypatch.setattr(Staging, "writer", writer)
    for name in ("one", "two"):
        store = Store({"model.safetensors": b"x" * 4000})
        fetch(store, store.objects(), opened(tmp_path / name, store), transfer, large=True)
    assert windows == [None, 4000]
