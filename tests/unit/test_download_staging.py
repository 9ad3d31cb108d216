"""Files in the making are invisible until all of them are whole; `config.json` appears last."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.memory_store import MemoryStore
from wellhead_storage.download.fetch import fetch
from wellhead_storage.download.parts import PART_BYTES, split
from wellhead_storage.download.staging import PARTIAL, Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.errors import (
    InsufficientSpace,
    IntegrityError,
    InvalidConfiguration,
    StoreUnavailable,
)
from wellhead_storage.manifest import MANIFEST_NAME, Manifest
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Checksum, StoredObject

SOURCE = "s3://models/llama"
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
    made.begin(SOURCE, [])
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
        with staging.writer(part, None) as writer:
            for chunk in store.stream(part.item, part.start, part.length):
                writer.write(chunk)
        staging.finish_part(part)
    staging.publish()
    assert (staging.destination / "x").read_bytes() == data


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


def test_what_a_predecessor_made_itself_is_made_again(staging: Staging) -> None:
    staging.add("old.json", b"x")
    (staging.destination / "kept.txt").write_text("not ours")
    again = Staging(staging.destination)
    again.open()
    again.publish()
    assert visible(again) == {"kept.txt": b"not ours"}


@pytest.mark.parametrize("resumable", [True, False])
def test_giving_up_leaves_no_trace_where_nothing_had_come(staging: Staging, resumable: bool) -> None:
    staging.add("a.json", b"x")
    staging.abandon(resumable=resumable)
    assert list(staging.destination.iterdir()) == []
    staging.abandon(resumable=resumable)


def test_giving_up_leaves_what_is_not_its_own(staging: Staging) -> None:
    (staging.destination / ".wellhead" / "plan.json").write_text("{}")
    staging.abandon(resumable=False)
    assert [path.name for path in (staging.destination / ".wellhead").iterdir()] == ["plan.json"]


# Going on --------------------------------------------------------------------------------------------------------

BIG = StoredObject("big.bin", 2 * PART_BYTES + 5, etag='"v1"')


def half_done(staging: Staging) -> None:
    first, _, last = staging.expect([BIG])
    for part in (first, last):
        staging.finish_part(part)


def reopened(staging: Staging, *wanted: StoredObject, source: str = SOURCE) -> Staging:
    again = Staging(staging.destination)
    again.open()
    again.begin(source, wanted)
    return again


def test_only_missing_parts_are_expected_after_a_crash(staging: Staging) -> None:
    half_done(staging)
    again = reopened(staging, BIG)
    assert [(part.start, part.length) for part in again.expect([BIG])] == [(PART_BYTES, PART_BYTES)]
    assert again.resumed == PART_BYTES + 5


@pytest.mark.parametrize(
    "changed",
    [
        replace(BIG, etag='"v2"'),
        replace(BIG, size=BIG.size + 1),
        replace(BIG, version="7"),
        replace(BIG, checksum=Checksum("md5", "0" * 32)),
        replace(BIG, etag=None),
    ],
)
def test_another_edition_starts_over(staging: Staging, changed: StoredObject) -> None:
    half_done(staging)
    assert len(reopened(staging, changed).expect([changed])) == 3


def test_an_object_without_any_mark_starts_over(staging: Staging) -> None:
    unmarked = replace(BIG, etag=None)
    for part in staging.expect([unmarked])[:1]:
        staging.finish_part(part)
    assert len(reopened(staging, unmarked).expect([unmarked])) == 3


def test_a_file_that_was_cut_meanwhile_starts_over(staging: Staging) -> None:
    half_done(staging)
    os.truncate(staging.path(BIG.name), 5)
    assert len(reopened(staging, BIG).expect([BIG])) == 3


def test_the_same_name_and_marks_of_another_source_start_over(staging: Staging) -> None:
    half_done(staging)
    assert len(reopened(staging, BIG, source="s3://models/other").expect([BIG])) == 3


def test_a_checksum_counts_whatever_the_source(staging: Staging) -> None:
    checked = replace(BIG, checksum=Checksum("sha256", "0" * 64))
    for part in staging.expect([checked])[:1]:
        staging.finish_part(part)
    assert len(reopened(staging, checked, source="hf://owner/model@c0ffee").expect([checked])) == 2


@pytest.mark.parametrize("wanted", [[], [StoredObject("other.bin", 1, '"v"')], [replace(BIG, etag='"v2"')]])
def test_unfinished_files_that_nobody_wants_give_their_room_back(staging: Staging, wanted: list[StoredObject]) -> None:
    small = StoredObject("folder/small.bin", 5, etag='"v1"')
    for part in staging.expect([small]):
        staging.finish_part(part)
    half_done(staging)
    again = reopened(staging, small, *wanted)
    assert [path for path in again.path("x").parent.rglob("*") if path.is_file()] == [again.path(small.name)]
    reopened(staging)
    assert list(again.path("x").parent.iterdir()) == []


def test_a_file_may_take_the_place_of_an_unfinished_folder(staging: Staging) -> None:
    staging.expect([StoredObject("a/b", 5, '"v"')])
    again = reopened(staging, StoredObject("a", 5, '"v"'))
    assert len(again.expect([StoredObject("a", 5, '"v"')])) == 1


def test_what_came_wrong_goes_alone(staging: Staging) -> None:
    half_done(staging)
    other = StoredObject("other.bin", 5, etag='"v1"')
    for part in staging.expect([other]):
        staging.finish_part(part)
    staging.spoil(other)
    staging.abandon(resumable=True)
    assert not staging.path(other.name).exists()
    again = reopened(staging, BIG, other)
    assert [(part.item, part.start) for part in again.expect([BIG, other])] == [(BIG, PART_BYTES), (other, 0)]


def test_a_whole_file_that_was_not_checked_is_checked(staging: Staging) -> None:
    for part in staging.expect([BIG]):
        staging.finish_part(part)
    assert [(part.start, part.length) for part in reopened(staging, BIG).expect([BIG])] == [(BIG.size, 0)]
    staging.finish_file(BIG)
    assert reopened(staging, BIG).expect([BIG]) == []


def test_what_is_in_place_is_not_expected_again(staging: Staging, transfer: Transfer) -> None:
    store = MemoryStore(CONTENT)
    fetch(store, store.objects(), staging, transfer)
    staging.publish()
    publish_manifest(staging, store.objects())
    again = reopened(staging)
    assert again.expect(store.objects()) == []
    assert again.kept == again.names == set(CONTENT)
    again.publish()
    assert visible(again) == CONTENT
    assert again.read("config.json") == b"{}"


@pytest.mark.parametrize("harm", ["touched", "shorter", "gone", "a link", "another edition"])
def test_what_was_changed_in_place_is_fetched_again(staging: Staging, transfer: Transfer, harm: str) -> None:
    store = MemoryStore(CONTENT)
    fetch(store, store.objects(), staging, transfer)
    staging.publish()
    publish_manifest(staging, store.objects())
    path = staging.destination / "model.safetensors"
    if harm == "touched":
        os.utime(path, ns=(1, 1))
    elif harm == "shorter":
        status = path.stat()
        os.truncate(path, 3)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif harm == "gone":
        path.unlink()
    elif harm == "a link":
        path.rename(staging.destination / "elsewhere")
        path.symlink_to("elsewhere")
    else:
        store.content["model.safetensors"] = bytes(len(CONTENT["model.safetensors"]))
    again = reopened(staging)
    assert {part.item.name for part in again.expect(store.objects())} == {"model.safetensors"}


def test_equal_marks_of_another_source_are_no_edition(staging: Staging, transfer: Transfer) -> None:
    store = MemoryStore(CONTENT)
    fetch(store, store.objects(), staging, transfer)
    staging.publish()
    publish_manifest(staging, store.objects())
    again = reopened(staging, source="http://elsewhere/llama")
    assert {part.item.name for part in again.expect(store.objects())} == set(CONTENT)
    with_sums = [replace(item, checksum=Checksum("sha256", "0" * 64)) for item in store.objects()]
    publish_manifest(staging, with_sums)
    assert reopened(staging, source="http://elsewhere/llama").expect(with_sums) == []


def publish_manifest(staging: Staging, items: list[StoredObject]) -> None:
    files = staging.published.describe(items, staging.kept)
    manifest = Manifest(kind="download", source=SOURCE, files=files)
    (staging.destination / MANIFEST_NAME).parent.mkdir(exist_ok=True)
    (staging.destination / MANIFEST_NAME).write_text(manifest.model_dump_json())


def test_files_of_this_volume_are_moved(staging: Staging) -> None:
    staging.unpacked.mkdir()
    (staging.unpacked / "a.bin").write_bytes(b"data")
    staging.adopt("sub/a.bin", staging.unpacked / "a.bin")
    staging.adopt("b.bin", _written(staging.unpacked / "b.bin"))
    staging.drop("b.bin")
    staging.publish()
    assert visible(staging) == {"sub/a.bin": b"data"}
    assert not staging.unpacked.exists()


def _written(path: Path) -> Path:
    path.write_bytes(b"x")
    return path


# Failures --------------------------------------------------------------------------------------------------------


def test_a_failing_object_ends_the_fetch(staging: Staging, transfer: Transfer) -> None:
    error = StoreUnavailable("Gone.")
    store = MemoryStore(CONTENT, broken={"model.safetensors": error})
    with pytest.raises(StoreUnavailable) as caught:
        fetch(store, store.objects(), staging, transfer)
    assert caught.value is error
    assert visible(staging) == {}


def test_short_writes_are_completed(staging: Staging, transfer: Transfer, monkeypatch: pytest.MonkeyPatch) -> None:
    store, original = MemoryStore(CONTENT), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, position: original(file, data[:7], position))
    fetch(store, store.objects(), staging, transfer)
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
