"""The safetensors header: what is whole is understood, everything else is refused with a reason."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.checkpoint import safetensors_bytes
from wellhead_storage.safetensors_header import (
    LARGEST_HEADER,
    LENGTH_BYTES,
    Header,
    MalformedHeader,
    Tensor,
    header_length,
    parse_header,
)

BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
    "C64": 64,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "F8_E8M0": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
}


def raw(entries: object) -> bytes:
    """Length and JSON, as they stand in a file."""
    body = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(body)) + body


def tensor(dtype: str = "F32", shape: Any = (1,), begin: Any = 0, end: Any = 4) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_a_file_as_safetensors_writes_it() -> None:
    whole = safetensors_bytes(
        {"a": ("F32", [2, 3], bytes(24)), "empty": ("F16", [0, 4], b""), "scalar": ("I64", [], bytes(8))},
        {"format": "pt"},
    )
    length = header_length(whole[:8], len(whole))
    header = parse_header(whole[: LENGTH_BYTES + length])
    assert header.tensors == {
        "a": Tensor("F32", 0, 24, 6),
        "empty": Tensor("F16", 24, 0, 0),
        "scalar": Tensor("I64", 24, 8, 1),
    }
    assert header.file_size == len(whole)
    assert header.raw == whole[: LENGTH_BYTES + length], "header-only files are these very bytes"


def test_agrees_with_the_reference_library(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors", reason="comes with the engine")
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_bytes({"b": ("BF16", [4, 2], bytes(16)), "a": ("U8", [3], bytes(3))}))
    content = path.read_bytes()
    ours = parse_header(content[: LENGTH_BYTES + header_length(content, len(content))])
    theirs = dict(safetensors.deserialize(content))
    assert set(ours.tensors) == set(theirs)
    assert {name: found.size for name, found in ours.tensors.items()} == {
        name: len(found["data"]) for name, found in theirs.items()
    }


@pytest.mark.parametrize(("dtype", "bits"), BITS.items())
def test_every_dtype_has_its_size(dtype: str, bits: int) -> None:
    shape = [4, 6]
    size = 24 * bits // 8
    assert parse_header(raw({"a": tensor(dtype, shape, 0, size)})).tensors["a"] == Tensor(
        dtype, 0, size, math.prod(shape)
    )
    for wrong in (size - 1, size + 1):
        with pytest.raises(MalformedHeader, match="contradicts"):
            parse_header(raw({"a": tensor(dtype, shape, 0, wrong)}))


def test_a_dtype_of_tomorrow_is_taken_at_its_word() -> None:
    assert parse_header(raw({"a": tensor("F3_E1M1", [8], 0, 3)})).tensors["a"].size == 3


def test_no_tensors_at_all() -> None:
    header = parse_header(raw({"__metadata__": {"format": "pt"}}))
    assert header.tensors == {}
    assert header.file_size == len(header.raw)


LENGTHS = {
    "nothing": (b"", 0, "shorter than"),
    "seven bytes": (bytes(7), 7, "shorter than"),
    "a length of 0": (struct.pack("<Q", 0), 100, "does not begin"),
    "a length of 1": (struct.pack("<Q", 1), 100, "does not begin"),
    "more than the reference reader takes": (struct.pack("<Q", LARGEST_HEADER + 1), 10**12, "does not begin"),
    "a zip file (PyTorch)": (b"PK\x03\x04\x00\x00\x08\x08", 10**9, "does not begin"),
    "an HTML page": (b"<!DOCTYP", 10**4, "does not begin"),
    "a Git LFS pointer": (b"version ", 130, "does not begin"),
    "a header that the file has no room for": (struct.pack("<Q", 93), 100, "truncated: 100 bytes"),
}


@pytest.mark.parametrize(("first", "size", "why"), LENGTHS.values(), ids=LENGTHS)
def test_lengths_that_cannot_be(first: bytes, size: int, why: str) -> None:
    with pytest.raises(MalformedHeader, match=why):
        header_length(first, size)


@pytest.mark.parametrize(("length", "size"), [(2, 10), (92, 100), (LARGEST_HEADER, LARGEST_HEADER + 8)])
def test_lengths_that_can_be(length: int, size: int) -> None:
    assert header_length(struct.pack("<Q", length), size) == length


WRONG: dict[str, tuple[object, str]] = {
    "not JSON": (b"{nonsense", "not valid JSON"),
    "not UTF-8": (b"\xff\xfe\xfd!", "not valid JSON"),
    "nested beyond reason": (b"[" * 100_000, "not valid JSON"),
    "a list": ([1, 2], "not valid JSON"),
    "null": (None, "not valid JSON"),
    "an entry that is no object": ({"a": 7}, "'a' wrongly"),
    "an entry that is a list": ({"a": ["dtype"]}, "'a' wrongly"),
    "an entry that is text": ({"a": "dtype"}, "'a' wrongly"),
    "no dtype": ({"a": {"shape": [1], "data_offsets": [0, 4]}}, "'a' wrongly"),
    "no shape": ({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, "'a' wrongly"),
    "no offsets": ({"a": {"dtype": "F32", "shape": [1]}}, "'a' wrongly"),
    "three offsets": ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, "'a' wrongly"),
    "offsets as text": ({"a": tensor(begin="0", end="4")}, "'a' wrongly"),
    "offsets as fractions": ({"a": tensor(begin=0.0, end=4.0)}, "'a' wrongly"),
    "offsets as booleans": ({"a": tensor("U8", [1], False, True)}, "'a' wrongly"),
    "offsets backwards": ({"a": tensor(begin=4, end=0)}, "'a' wrongly"),
    "negative offsets": ({"a": tensor(begin=-4, end=0)}, "'a' wrongly"),
    "a dtype that is no text": ({"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, "'a' wrongly"),
    "a shape that is a number": ({"a": tensor(shape=1)}, "'a' wrongly"),
    "a shape with text": ({"a": tensor(shape=["1"])}, "'a' wrongly"),
    "a shape with null": ({"a": tensor(shape=[None])}, "'a' wrongly"),
    "a negative dimension": ({"a": tensor(shape=[-1, -1])}, "'a' wrongly"),
    "a huge dimension beside a fraction": ({"a": tensor(shape=[10**400, 1.5])}, "'a' wrongly"),
    "more elements than bytes": ({"a": tensor(shape=[10**9])}, "contradicts"),
    "a gap at the beginning": ({"a": tensor(begin=4, end=8)}, "gap or an overlap before tensor 'a'"),
    "a gap": ({"a": tensor(), "b": tensor(begin=8, end=12)}, "gap or an overlap before tensor 'b'"),
    "an overlap": ({"a": tensor(), "b": tensor(begin=2, end=6)}, "gap or an overlap before tensor 'b'"),
    "twins": ({"a": tensor(), "b": tensor()}, "gap or an overlap before tensor 'b'"),
}


@pytest.mark.parametrize(("entries", "why"), WRONG.values(), ids=WRONG)
def test_headers_that_are_wrong(entries: object, why: str) -> None:
    with pytest.raises(MalformedHeader, match=why):
        parse_header(raw(entries))


def test_a_header_that_is_cut_off() -> None:
    whole = raw({"a": tensor()})
    for cut in (whole[:-1], whole[:8], whole[:9]):
        with pytest.raises(MalformedHeader, match="cut off"):
            parse_header(cut)


# Hypothesis ------------------------------------------------------------------------------------------------------

SIZES = st.lists(st.tuples(st.sampled_from(sorted(BITS)), st.lists(st.integers(0, 4), max_size=3)), max_size=6)


@given(SIZES, st.randoms(use_true_random=False))
def test_round_trip(shapes: list[tuple[str, list[int]]], random: Any) -> None:
    """The order of the entries is free; the data is contiguous."""
    entries: dict[str, object] = {}
    expected: dict[str, Tensor] = {}
    position = 0
    for number, (dtype, shape) in enumerate(shapes):
        elements = 1
        for dimension in shape:
            elements *= dimension
        bits = elements * BITS[dtype]
        if bits % 8:
            continue
        entries[f"t{number}"] = tensor(dtype, shape, position, position + bits // 8)
        expected[f"t{number}"] = Tensor(dtype, position, bits // 8, math.prod(shape))
        position += bits // 8
    shuffled = list(entries.items())
    random.shuffle(shuffled)
    header = parse_header(raw(dict(shuffled)))
    assert header.tensors == expected
    assert header.file_size == len(header.raw) + position


@given(st.binary(max_size=40), st.integers(0, 200))
def test_any_bytes_give_a_length_or_a_reason(first: bytes, size: int) -> None:
    try:
        length = header_length(first, size)
    except MalformedHeader as error:
        assert str(error).startswith("it ")
    else:
        assert 2 <= length <= size - LENGTH_BYTES


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ENTRY = st.fixed_dictionaries(
    {}, optional={"dtype": st.sampled_from(["F32", "F4"]) | JSON, "shape": JSON, "data_offsets": JSON}
)


@given(st.one_of(st.binary(), st.binary().map(raw), st.dictionaries(st.text(max_size=3), ENTRY | JSON).map(raw)))
@example(raw({"a": tensor(shape=[1e308, 10**400])}))
@example(raw({"a": tensor(shape={"1": 2}, begin=0, end=0)}))
def test_any_bytes_give_a_header_or_a_reason(data: bytes) -> None:
    try:
        header: Header = parse_header(data)
    except MalformedHeader as error:
        assert str(error)
    else:
        assert header.file_size == len(data) + sum(found.size for found in header.tensors.values())
