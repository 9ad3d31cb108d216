"""Is the checkpoint whole? Every fault has its own sentence, which names the object, and exit code 13."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.checkpoint import shard_names, tiny_checkpoint
from wellhead_storage.checkpoint import (
    TensorFacts,
    check_listing,
    check_size,
    check_tensors,
    parse_index,
)
from wellhead_storage.errors import IncompleteCheckpoint
from wellhead_storage.inventory import INDEX
from wellhead_storage.safetensors_header import Header, Tensor, header_length, parse_header
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.uri import parse

FOLDER = parse("s3://models/llama?endpoint=http://minio:9000")
THREE = shard_names(3)


def listing(*names: str, size: int = 100) -> list[StoredObject]:
    return [StoredObject(name, size) for name in names]


def header(**tensors: tuple[str, int]) -> Header:
    found, position = {}, 0
    for name, (dtype, size) in tensors.items():
        found[name] = Tensor(dtype, position, size)
        position += size
    return Header(length=92, tensors=found, raw=bytes(100))


def sentence(check: Callable[[], object]) -> str:
    with pytest.raises(IncompleteCheckpoint) as caught:
        check()
    assert caught.value.exit_code == 13
    assert caught.value.hint, "the way out is said as well"
    return caught.value.problem


# The index -------------------------------------------------------------------------------------------------------


def test_the_weight_map_of_an_index() -> None:
    raw = json.dumps({"metadata": {"total_size": 1}, "weight_map": {"a": "x.safetensors"}}).encode()
    assert parse_index(raw, "s3://models/llama/index") == {"a": "x.safetensors"}


NO_INDEX = {
    "empty": b"",
    "not JSON": b"<html>",
    "not UTF-8": b"\xff\xff",
    "a list": b"[]",
    "text": b'"weight_map"',
    "null": b"null",
    "no weight_map": b"{}",
    "an empty weight_map": b'{"weight_map": {}}',
    "a weight_map that is a list": b'{"weight_map": ["a"]}',
    "a shard that is no name": b'{"weight_map": {"a": 7}}',
    "nested beyond reason": b"[" * 100_000,
}


@pytest.mark.parametrize("raw", NO_INDEX.values(), ids=NO_INDEX)
def test_what_is_no_index(raw: bytes) -> None:
    location = FOLDER.child(INDEX)
    assert sentence(lambda: parse_index(raw, location)) == f"{location} is not a safetensors index."


@given(st.binary())
def test_any_bytes_are_an_index_or_refused(raw: bytes) -> None:
    try:
        found = parse_index(raw, "x")
    except IncompleteCheckpoint:
        return
    assert found


# The listing -----------------------------------------------------------------------------------------------------


def test_a_whole_listing() -> None:
    objects = listing("config.json", INDEX, *THREE)
    index = {"a": THREE[0], "b": THREE[1], "c": THREE[2]}
    check_listing(FOLDER, objects, listing(*THREE), index)
    check_listing(FOLDER, objects, listing(*THREE), None)
    check_listing(FOLDER, listing("model.safetensors"), listing("model.safetensors"), None)


def test_a_shard_that_the_index_names_is_missing() -> None:
    index = {"a": THREE[0], "b": THREE[1], "c": THREE[1]}
    found = sentence(lambda: check_listing(FOLDER, listing(THREE[0]), listing(THREE[0]), index))
    assert found == f"s3://models/llama/{THREE[1]} is missing: {INDEX} names it."


def test_several_shards_are_missing() -> None:
    found = sentence(lambda: check_listing(FOLDER, [], [], dict(zip("abc", THREE, strict=True))))
    assert found == f"s3://models/llama/{THREE[0]} is missing (and 2 more): {INDEX} names it."


@pytest.mark.parametrize("gone", range(3))
def test_a_numbered_shard_is_missing_without_any_index(gone: int) -> None:
    rest = [name for number, name in enumerate(THREE) if number != gone]
    found = sentence(lambda: check_listing(FOLDER, listing(*rest), listing(*rest), None))
    assert found == f"s3://models/llama/{THREE[gone]} is missing: 2 of 3 shards are there."


def test_shards_of_two_names_are_counted_apart() -> None:
    names = [*shard_names(2), *(name.replace("model", "adapter") for name in THREE[:2])]
    found = sentence(lambda: check_listing(FOLDER, listing(*names), listing(*names), None))
    assert "adapter-00003-of-00003.safetensors is missing" in found


def test_an_empty_shard() -> None:
    shards = [StoredObject(THREE[0], 5), StoredObject(THREE[1], 0), StoredObject(THREE[2], 5)]
    found = sentence(lambda: check_listing(FOLDER, shards, shards, None))
    assert found == f"s3://models/llama/{THREE[1]} is empty."


@given(st.integers(1, 12), st.data())
def test_exactly_the_complete_sets_pass(count: int, data: st.DataObject) -> None:
    names = [f"m-{number:05}-of-{count:05}.safetensors" for number in range(1, count + 1)]
    present = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    try:
        check_listing(FOLDER, listing(*present), listing(*present), None)
    except IncompleteCheckpoint as error:
        first = next(name for name in names if name not in present)
        assert FOLDER.child(first) in error.problem
    else:
        assert sorted(present) == names


# Sizes -----------------------------------------------------------------------------------------------------------


def test_sizes() -> None:
    whole = header(a=("F32", 4000))
    check_size(FOLDER, StoredObject(THREE[0], 4100), whole)
    short = sentence(lambda: check_size(FOLDER, StoredObject(THREE[0], 4099), whole))
    assert short == f"s3://models/llama/{THREE[0]} is truncated: 4,099 bytes, its header needs 4,100."
    long = sentence(lambda: check_size(FOLDER, StoredObject(THREE[0], 5200), whole))
    assert long == f"s3://models/llama/{THREE[0]} has 1,100 bytes more than its header describes."


# Tensors ---------------------------------------------------------------------------------------------------------


def test_facts_about_a_whole_checkpoint() -> None:
    headers = {"1": header(a=("F32", 8), b=("BF16", 90)), "2": header(c=("BF16", 4))}
    facts = check_tensors(FOLDER, headers, {"a": "1", "b": "1", "c": "2"})
    assert facts == TensorFacts(tensors=3, largest=90, dtypes={"BF16": 2, "F32": 1})
    assert list(facts.dtypes) == ["BF16", "F32"]
    assert check_tensors(FOLDER, headers, None) == facts
    assert check_tensors(FOLDER, {}, None) == TensorFacts(0, 0, {})


def test_tensors_that_no_index_names_are_no_fault() -> None:
    assert check_tensors(FOLDER, {"1": header(a=("F32", 8), extra=("F32", 8))}, {"a": "1"}).tensors == 2


def test_a_tensor_in_two_shards() -> None:
    headers = {"model.safetensors": header(a=("F32", 8)), "old.safetensors": header(a=("F32", 8))}
    found = sentence(lambda: check_tensors(FOLDER, headers, None))
    assert found == "Tensor 'a' stands in both model.safetensors and old.safetensors of s3://models/llama."


WRONG_INDEX: dict[str, Mapping[str, str]] = {
    "a tensor that is nowhere": {"a": "1", "b": "2", "gone": "2"},
    "a tensor in another shard": {"a": "1", "gone": "2", "b": "2"},
}


@pytest.mark.parametrize("index", WRONG_INDEX.values(), ids=WRONG_INDEX)
def test_a_tensor_that_the_index_promises(index: Mapping[str, str]) -> None:
    headers = {"1": header(a=("F32", 8)), "2": header(b=("F32", 8))}
    found = sentence(lambda: check_tensors(FOLDER, headers, index))
    assert found == f"s3://models/llama/2 lacks the tensor 'gone' that {INDEX} promises."


def test_a_tensor_that_moved_to_another_shard() -> None:
    headers = {"1": header(a=("F32", 8)), "2": header(b=("F32", 8))}
    found = sentence(lambda: check_tensors(FOLDER, headers, {"a": "2", "b": "2"}))
    assert found == f"s3://models/llama/2 lacks the tensor 'a' that {INDEX} promises."


# A real checkpoint, whole and damaged ----------------------------------------------------------------------------


def verify(folder: Path) -> TensorFacts:
    """Everything above, on files."""
    shards = sorted(folder.glob("*.safetensors"))
    index = parse_index((folder / INDEX).read_bytes(), FOLDER.child(INDEX))
    objects = [StoredObject(path.name, path.stat().st_size) for path in folder.iterdir()]
    items = [StoredObject(path.name, path.stat().st_size) for path in shards]
    check_listing(FOLDER, objects, items, index)
    headers = {}
    for path, item in zip(shards, items, strict=True):
        content = path.read_bytes()
        headers[path.name] = parse_header(content[: 8 + header_length(content, item.size)])
        check_size(FOLDER, item, headers[path.name])
    return check_tensors(FOLDER, headers, index)


def test_a_whole_checkpoint(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path, shards=3, tensors_per_shard=4, tensor_bytes=512)
    assert verify(folder) == TensorFacts(tensors=12, largest=512, dtypes={"BF16": 12}, parameters=12 * 256)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (Path.unlink, "is missing"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (truncate, "is truncated"),
        (extend, "1 bytes more"),
        (lambda path: path.write_bytes(path.with_name(THREE[0]).read_bytes()), "stands in both"),
    ],
    ids=["missing", "empty", "truncated", "extended", "copied"],
)
def test_every_damage_is_noticed(tmp_path: Path, damage: Callable[[Path], object], words: str) -> None:
    folder = tiny_checkpoint(tmp_path, shards=3)
    damage(folder / THREE[1])
    found = sentence(lambda: verify(folder))
    assert words in found
    assert THREE[1] in found
