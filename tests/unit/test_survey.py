"""One look at a model folder: few round trips, every fault found before anything large is fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkpoint import shard_names, tiny_checkpoint
from tests.unit.memory_store import MemoryStore, of_folder
from wellhead_storage.checkpoint import TensorFacts
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.errors import IncompleteCheckpoint, IntegrityError, ObjectNotFound
from wellhead_storage.inventory import INDEX
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME
from wellhead_storage.safetensors_header import LENGTH_BYTES, header_length, parse_header
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.survey import Survey, list_objects, survey

SHARDS = shard_names(3)


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    made = Staging(tmp_path / "models")
    made.open()
    return made


@pytest.fixture
def transfer() -> Iterator[Transfer]:
    made = Transfer(Settings(retry_timeout=0))
    yield made
    made.abandon()


@pytest.fixture
def content(tmp_path: Path) -> dict[str, bytes]:
    return of_folder(tiny_checkpoint(tmp_path / "source", shards=3, tensors_per_shard=2, tensor_bytes=4096))


def look(content: dict[str, bytes], staging: Staging, transfer: Transfer) -> tuple[Survey, MemoryStore]:
    store = MemoryStore(content)
    return survey(store, list_objects(store, staging.destination), staging, transfer), store


def test_a_whole_checkpoint(content: dict[str, bytes], staging: Staging, transfer: Transfer) -> None:
    found, _ = look(content, staging, transfer)
    assert found.inventory.layout == "safetensors"
    assert [item.name for item in found.inventory.weights] == SHARDS
    assert found.facts == TensorFacts(tensors=6, largest=4096, dtypes={"BF16": 6}, parameters=6 * 2048)
    assert found.config == json.loads(content["config.json"])
    for name, header in found.headers.items():
        length = LENGTH_BYTES + header_length(content[name], len(content[name]))
        assert header == parse_header(content[name][:length])


def test_only_headers_of_the_weights_are_read(content: dict[str, bytes], staging: Staging, transfer: Transfer) -> None:
    found, store = look(content, staging, transfer)
    assert store.bytes_read(".safetensors") == sum(len(header.raw) for header in found.headers.values())
    assert len(store.reads) == 2 * len(SHARDS) + len(found.inventory.metadata), "two reads a shard, one a small file"


def test_the_metadata_is_staged_and_not_published(
    content: dict[str, bytes], staging: Staging, transfer: Transfer
) -> None:
    look(content, staging, transfer)
    assert staging.read("config.json") == content["config.json"]
    assert not (staging.destination / "config.json").exists()


def test_one_file_without_an_index(tmp_path: Path, staging: Staging, transfer: Transfer) -> None:
    content = of_folder(tiny_checkpoint(tmp_path / "one", shards=1))
    found, _ = look(content, staging, transfer)
    assert list(found.headers) == ["model.safetensors"]


def test_other_layouts_are_not_read_into(content: dict[str, bytes], staging: Staging, transfer: Transfer) -> None:
    pytorch = {name: data for name, data in content.items() if not name.startswith("model")} | {"model.bin": b"x" * 99}
    found, store = look(pytorch, staging, transfer)
    assert (found.inventory.layout, found.headers, found.facts.tensors) == ("pytorch", {}, 0)
    assert store.bytes_read(".bin") == 0


@pytest.mark.parametrize(("weights", "obstacles"), [("model.safetensors", ("a reason",)), ("model.bin", ())])
def test_the_store_is_asked_beside_that_where_there_is_something_to_stream(
    weights: str, obstacles: tuple[str, ...], tmp_path: Path, staging: Staging, transfer: Transfer
) -> None:
    content = of_folder(tiny_checkpoint(tmp_path / "one", shards=1))
    store = MemoryStore({"config.json": content["config.json"], weights: content["model.safetensors"]})
    objects = list_objects(store, staging.destination)
    assert survey(store, objects, staging, transfer, lambda: ["a reason"]).obstacles == obstacles


def test_no_config(content: dict[str, bytes], staging: Staging, transfer: Transfer) -> None:
    """params.json of Mistral's own models, for example; vLLM decides."""
    del content["config.json"]
    found, _ = look(content, staging, transfer)
    assert found.config is None


@pytest.mark.parametrize("config", [b"{not json", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_config_is_vllms_business(
    content: dict[str, bytes], staging: Staging, transfer: Transfer, config: bytes
) -> None:
    found, _ = look(content | {"config.json": config}, staging, transfer)
    assert found.config is None


# Faults ----------------------------------------------------------------------------------------------------------


FAULTS: list[tuple[str, bytes | None, str]] = [
    (SHARDS[1], None, "is missing: model.safetensors.index.json names it"),
    (SHARDS[1], b"", "is empty"),
    (SHARDS[1], b"<html>", "is damaged: it is shorter than"),
    (SHARDS[1], b"<!DOCTYPE html><html>Not found</html>", "is damaged: it does not begin with"),
    (SHARDS[1], (5).to_bytes(8, "little") + b"{nope", "is damaged: its safetensors header is not valid JSON"),
    (SHARDS[1], (999).to_bytes(8, "little") + b"{}", "is damaged: it is truncated"),
    (INDEX, b"{}", "is not a safetensors index"),
]


@pytest.mark.parametrize(("name", "data", "words"), FAULTS, ids=[words for _, _, words in FAULTS])
def test_faults(
    content: dict[str, bytes], staging: Staging, transfer: Transfer, name: str, data: bytes | None, words: str
) -> None:
    del content[name]
    if data is not None:
        content[name] = data
    with pytest.raises(IncompleteCheckpoint) as caught:
        look(content, staging, transfer)
    assert f"s3://models/llama/{name} {words}" in caught.value.problem
    assert caught.value.exit_code == 13


@pytest.mark.parametrize("cut", [1, 4096])
def test_a_truncated_shard(content: dict[str, bytes], staging: Staging, transfer: Transfer, cut: int) -> None:
    content[SHARDS[2]] = content[SHARDS[2]][:-cut]
    with pytest.raises(IncompleteCheckpoint, match=rf"{SHARDS[2]} is truncated: [\d,]+ bytes, its header needs"):
        look(content, staging, transfer)


def test_an_index_of_another_checkpoint(content: dict[str, bytes], staging: Staging, transfer: Transfer) -> None:
    index = json.loads(content[INDEX])
    index["weight_map"]["model.norm.weight"] = SHARDS[0]
    content[INDEX] = json.dumps(index).encode()
    with pytest.raises(IncompleteCheckpoint, match=r"lacks the tensor 'model\.norm\.weight'"):
        look(content, staging, transfer)


def test_all_shards_are_missing(content: dict[str, bytes], staging: Staging, transfer: Transfer) -> None:
    """Not taken for a model without weights."""
    for name in SHARDS:
        del content[name]
    with pytest.raises(IncompleteCheckpoint, match=rf"{SHARDS[0]} is missing \(and 2 more\)"):
        look(content, staging, transfer)


# The listing -----------------------------------------------------------------------------------------------------


def test_an_empty_folder(staging: Staging) -> None:
    with pytest.raises(ObjectNotFound, match="s3://models/llama holds no objects"):
        list_objects(MemoryStore({}), staging.destination)


def test_a_mirror_that_is_not_finished(content: dict[str, bytes], staging: Staging) -> None:
    content[PROGRESS_NAME] = b"{}"
    with pytest.raises(IncompleteCheckpoint, match="s3://models/llama is a mirror that is not finished"):
        list_objects(MemoryStore(content), staging.destination)
    content[MANIFEST_NAME] = b"{}"
    assert len(list_objects(MemoryStore(content), staging.destination)) == len(content)


def test_markers_are_no_objects(staging: Staging) -> None:
    found = list_objects(MemoryStore({"sub": b"", "sub/a.json": b"x"}), staging.destination)
    assert [item.name for item in found] == ["sub/a.json"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../x", "a//b", "a\nb", "x" * 300])
def test_hostile_keys_end_the_listing(staging: Staging, name: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        list_objects(MemoryStore({"config.json": b"{}", name: b"x"}), staging.destination)
    assert caught.value.exit_code == 17


def test_two_objects_of_one_name(staging: Staging) -> None:
    class Doubled(MemoryStore):
        def objects(self) -> list[StoredObject]:
            return 2 * super().objects()

    with pytest.raises(IntegrityError, match=r"Two objects would become the file 'config\.json'"):
        list_objects(Doubled({"config.json": b"{}"}), staging.destination)


def test_a_file_that_is_also_a_folder(staging: Staging) -> None:
    with pytest.raises(IntegrityError, match="'a' is also the folder of 'a/b'"):
        list_objects(MemoryStore({"a": b"x", "a/b": b"y"}), staging.destination)
