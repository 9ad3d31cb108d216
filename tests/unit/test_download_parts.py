"""Which ranges are asked for: every byte exactly once, file after file."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.expect import a
from wellhead_storage.download.parts import PART_BYTES, Part, split
from wellhead_storage.stores.interface import StoredObject

SIZES = st.lists(st.integers(0, 300), max_size=8)


def objects(sizes: list[int]) -> list[StoredObject]:
    return [StoredObject(f"file-{number}", size) for number, size in enumerate(sizes)]


@given(SIZES, st.integers(1, 70))
def test_parts_cover_every_byte_exactly_once(sizes: list[int], part_bytes: int) -> None:
    items = objects(sizes)
    touched = {item.name: [0] * item.size for item in items}
    for part in split(items, part_bytes):
        for position in range(part.start, a(int, part.end)):
            touched[part.item.name][position] += 1
    assert all(count == 1 for counts in touched.values() for count in counts)


@given(SIZES, st.integers(1, 70))
def test_parts_are_no_larger_than_asked_and_never_needlessly_empty(sizes: list[int], part_bytes: int) -> None:
    for part in split(objects(sizes), part_bytes):
        assert a(int, part.length) <= part_bytes
        assert a(int, part.end) <= part.item.size
        assert part.length or part.item.size == 0


@given(SIZES, st.integers(1, 70))
def test_every_file_has_a_part_in_the_order_given(sizes: list[int], part_bytes: int) -> None:
    """File after file: the first shard is whole while the last one is still coming."""
    items = objects(sizes)
    parts = split(items, part_bytes)
    assert list(dict.fromkeys(part.item for part in parts)) == items
    assert parts == sorted(parts, key=lambda part: (items.index(part.item), part.start))


def test_an_empty_object_gives_one_empty_part() -> None:
    item = StoredObject("__init__.py", 0)
    assert split([item]) == [Part(item, 0, 0)]


def test_exact_multiples_have_no_empty_tail() -> None:
    item = StoredObject("x", 2 * PART_BYTES)
    assert split([item]) == [Part(item, 0, PART_BYTES), Part(item, PART_BYTES, PART_BYTES)]


def test_a_large_model_in_default_parts() -> None:
    shards = [StoredObject(f"model-{number:05}", 5 * 2**30 - 1) for number in range(30)]
    parts = split(shards)
    assert len(parts) == 30 * 80
    assert sum(a(int, part.length) for part in parts) == sum(item.size for item in shards)
