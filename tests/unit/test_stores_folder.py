"""A folder of an object store, over obstore's own store in memory and over this machine's files."""

from __future__ import annotations

from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore, MemoryStore

from wellhead_storage.errors import IntegrityError, ObjectNotFound
from wellhead_storage.stores.folder import ObstoreFolder
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.stores.local import open_local
from wellhead_storage.uri import parse


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    for key in (
        "models/llama/config.json",
        "models/llama/sub/a.json",
        "models/llama-2/config.json",
        "models/llama.txt",
    ):
        obstore.put(made, key, key.encode())
    return made


def folder(store: MemoryStore | LocalStore, prefix: str) -> ObstoreFolder:
    return ObstoreFolder(parse(f"s3://bucket/{prefix}"), store, prefix)


def names(found: ObstoreFolder) -> list[str]:
    return sorted(item.name for item in found.objects())


def test_a_prefix_is_a_folder(store: MemoryStore) -> None:
    assert names(folder(store, "models/llama")) == ["config.json", "sub/a.json"]
    assert names(folder(store, "models/llam")) == []
    assert names(folder(store, "models/lla")) == []


def test_the_whole_bucket(store: MemoryStore) -> None:
    assert "models/llama.txt" in names(folder(store, ""))
    assert names(folder(MemoryStore(), "")) == []


def test_sizes_and_etags_come_with_the_listing(store: MemoryStore) -> None:
    (item, *_) = sorted(folder(store, "models/llama").objects(), key=lambda item: item.name)
    assert item.size == len(b"models/llama/config.json")
    assert item.etag


def test_more_than_one_page() -> None:
    store = MemoryStore()
    for number in range(1005):
        obstore.put(store, f"m/{number}", b"x")
    assert len(folder(store, "m").objects()) == 1005


def test_a_uri_that_names_one_object(store: MemoryStore) -> None:
    found = folder(store, "models/llama.txt")
    (item,) = found.objects()
    assert item.name == "llama.txt"
    assert found.read(item) == b"models/llama.txt"


def test_a_marker_is_no_model(store: MemoryStore) -> None:
    obstore.put(store, "models/empty", b"")
    assert names(folder(store, "models/empty")) == []


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, None, b"0123456789"), (3, None, b"3456789"), (3, 4, b"3456"), (0, 0, b""), (10, None, b"")],
)
def test_ranges(start: int, length: int | None, expected: bytes) -> None:
    store = MemoryStore()
    obstore.put(store, "m/x", b"0123456789")
    found = folder(store, "m")
    (item,) = found.objects()
    assert found.read(item, start, length) == expected


def test_an_object_that_was_replaced_since_it_was_listed(store: MemoryStore) -> None:
    found = folder(store, "models/llama")
    item = next(item for item in found.objects() if item.name == "config.json")
    obstore.put(store, "models/llama/config.json", b"x" * item.size)
    with pytest.raises(IntegrityError, match=r"s3://bucket/models/llama/config\.json was replaced"):
        found.read(item)


def test_an_object_that_vanished(store: MemoryStore) -> None:
    found = folder(store, "models/llama")
    item = next(item for item in found.objects() if item.name == "config.json")
    obstore.delete(store, "models/llama/config.json")
    with pytest.raises(ObjectNotFound, match=r"s3://bucket/models/llama/config\.json does not exist"):
        found.read(item)


def test_an_object_that_became_shorter_without_an_etag(store: MemoryStore) -> None:
    found = folder(store, "models/llama")
    with pytest.raises(IntegrityError, match=r"config\.json was replaced while it was being read"):
        found.read(StoredObject("config.json", 99, None))


# This machine's files --------------------------------------------------------------------------------------------


def test_a_local_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "sub" / "a.json").write_text("abc")
    found = open_local(parse(str(tmp_path)), tmp_path)
    assert names(found) == ["config.json", "sub/a.json"]
    item = next(item for item in found.objects() if item.name == "sub/a.json")
    assert found.read(item, 1, 1) == b"b"


def test_a_local_file(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("gguf")
    (tmp_path / "other.gguf").write_text("other")
    found = open_local(parse(str(tmp_path / "model.gguf")), tmp_path / "model.gguf")
    (item,) = found.objects()
    assert (item.name, found.read(item)) == ("model.gguf", b"gguf")


def test_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(ObjectNotFound, match=f"{tmp_path}/x does not exist in this container"):
        open_local(parse(str(tmp_path / "x")), tmp_path / "x")
