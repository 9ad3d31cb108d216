"""Files in the making are invisible until all of them are whole; `config.json` appears last."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.memory_store import MemoryStore
from wellhead_storage.download.fetch import fetch
from wellhead_storage.download.parts import Part, split
from wellhead_storage.download.staging import PARTIAL, Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.download.workers import Stopped
from wellhead_storage.errors import (
    InsufficientSpace,
    IntegrityError,
    InvalidConfiguration,
    StoreUnavailable,
)
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import StoredObject

CONTENT = {
    "config.json": b"{}",
    "model.safetensors": bytes(range(256)) * 20,
    "1_Pooling/config.json": b"pooling",
    "__init__.py": b"",
}


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    made = Staging(tmp_path / "deep" / "models")
    made.open()
    return made


@pytest.fixture
def transfer() -> Iterator[Transfer]:
    made = Transfer(Settings(retry_timeout=0))
    yield made
    made.abandon()


def visible(staging: Staging) -> dict[str, bytes]:
    """The model folder without our own folder."""
    files = {path.relative_to(staging.destination).as_posix(): path for path in staging.destination.rglob("*")}
    return {
        name: path.read_bytes() for name, path in files.items() if path.is_file() and not name.startswith(".wellhead")
    }


def test_fetch_and_publish(staging: Staging, transfer: Transfer) -> None:
    store = MemoryStore(CONTENT)
    fetch(store, store.objects(), staging, transfer)
    assert visible(staging) == {}, "nothing shows before everything is whole"
    assert staging.fetched == len(CONTENT)
    assert staging.received == sum(map(len, CONTENT.values()))
    staging.publish()
    assert visible(staging) == CONTENT
    assert not (staging.destination / PARTIAL).exists()


def test_published_files_are_readable_by_the_engines_user(staging: Staging, transfer: Transfer) -> None:
    before = os.umask(0o077)
    try:
        store = MemoryStore(CONTENT)
        fetch(store, store.objects(), staging, transfer)
        staging.publish()
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in staging.destination.rglob("*") if path.is_file()}
    assert modes == {0o644}


@given(st.binary(max_size=3000), st.integers(1, 999), st.randoms(use_true_random=False))
def test_parts_in_any_order_make_the_same_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, part_bytes: int, random: object
) -> None:
    staging = Staging(tmp_path_factory.mktemp("staging"))
    staging.open()
    store = MemoryStore({"x": data})
    items = store.objects()
    staging.expect(items)
    parts = split(items, part_bytes)
    random.shuffle(parts)  # type: ignore[attr-defined]
    for part in parts:
        staging.receive(store, part, lambda: None)
    staging.publish()
    assert (staging.destination / "x").read_bytes() == data
    assert staging.received == len(data)


def test_config_json_appears_last(staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it no engine takes the folder for a model."""
    for name in ("config.json", "z.json", "1_Pooling/config.json", "a.safetensors"):
        staging.add(name, b"x")
    order: list[str] = []
    original = Path.replace

    def watched(self: Path, target: Path) -> Path:
        order.append(target.relative_to(staging.destination).as_posix())
        return original(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    staging.publish()
    assert sorted(order[:-1]) == ["1_Pooling/config.json", "a.safetensors", "z.json"]
    assert order[-1] == "config.json"


def test_an_older_model_is_no_model_while_it_is_replaced(staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    (staging.destination / "config.json").write_text("old")
    staging.add("model.safetensors", b"new")
    staging.add("config.json", b"new")
    seen: list[bool] = []
    original = Path.replace

    def watched(self: Path, target: Path) -> Path:
        seen.append((staging.destination / "config.json").exists())
        return original(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    staging.publish()
    assert seen == [False, False]
    assert (staging.destination / "config.json").read_text() == "new"


def test_space_is_taken_before_parts_arrive(staging: Staging) -> None:
    staging.expect([StoredObject("a/b.safetensors", 12345)])
    assert (staging.destination / PARTIAL / "a/b.safetensors").stat().st_size == 12345


def test_small_files_of_our_own(staging: Staging) -> None:
    staging.add("a/b.json", b"data")
    assert staging.read("a/b.json") == b"data"
    assert staging.fetched == 0, "it did not come from the store"
    staging.publish()
    assert visible(staging) == {"a/b.json": b"data"}


def test_what_a_killed_predecessor_left_is_forgotten(staging: Staging) -> None:
    staging.add("old.json", b"x")
    (staging.destination / "kept.txt").write_text("not ours")
    again = Staging(staging.destination)
    again.open()
    again.publish()
    assert visible(again) == {"kept.txt": b"not ours"}


def test_discarding_leaves_no_trace(staging: Staging) -> None:
    staging.add("a.json", b"x")
    staging.discard()
    assert list(staging.destination.iterdir()) == []
    staging.discard()


def test_discarding_leaves_what_is_not_its_own(staging: Staging) -> None:
    (staging.destination / ".wellhead" / "plan.json").write_text("{}")
    staging.discard()
    assert [path.name for path in (staging.destination / ".wellhead").iterdir()] == ["plan.json"]


# Failures --------------------------------------------------------------------------------------------------------


def test_a_failing_object_ends_the_fetch(staging: Staging, transfer: Transfer) -> None:
    error = StoreUnavailable("Gone.")
    store = MemoryStore(CONTENT, broken={"model.safetensors": error})
    with pytest.raises(StoreUnavailable) as caught:
        fetch(store, store.objects(), staging, transfer)
    assert caught.value is error
    assert visible(staging) == {}


def test_a_part_stops_between_chunks_once_there_is_no_point(staging: Staging) -> None:
    store = MemoryStore(CONTENT)
    item = next(item for item in store.objects() if item.name == "model.safetensors")
    staging.expect([item])
    left = iter([True, True])

    def check() -> None:
        if not next(left, False):
            raise Stopped

    with pytest.raises(Stopped):
        staging.receive(store, Part(item, 0, item.size), check)
    assert staging.received == 2000


def test_short_writes_are_completed(staging: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    store, original = MemoryStore(CONTENT), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, position: original(file, data[:7], position))
    items = store.objects()
    staging.expect(items)
    for part in split(items, 1500):
        staging.receive(store, part, lambda: None)
    staging.publish()
    assert visible(staging) == CONTENT


def test_a_disk_that_becomes_full(staging: Staging, monkeypatch: pytest.MonkeyPatch, transfer: Transfer) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    store = MemoryStore(CONTENT)
    with pytest.raises(InsufficientSpace, match=str(staging.destination)):
        fetch(store, store.objects(), staging, transfer)


def test_a_destination_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidConfiguration, match=f"{tmp_path}/file"):
        Staging(tmp_path / "file" / "models").open()


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", ""])
def test_no_name_leaves_the_folder(staging: Staging, name: str) -> None:
    with pytest.raises(IntegrityError):
        staging.add(name, b"x")
    with pytest.raises(IntegrityError):
        staging.expect([StoredObject(name, 1)])
    with pytest.raises(IntegrityError):
        staging.read(name)


def test_other_jobs_run_in_the_same_wave(staging: Staging, transfer: Transfer) -> None:
    done: list[str] = []
    fetch(MemoryStore({}), [], staging, transfer, beside=[lambda: done.append("a"), lambda: done.append("b")])
    assert sorted(done) == ["a", "b"]
