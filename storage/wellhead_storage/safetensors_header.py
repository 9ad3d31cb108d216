"""The header of a safetensors file: 8 bytes length (little-endian), then JSON with dtype, shape and offsets.

Format: safetensors' own specification; limits as in its reference reader (header of at most 100 MB, tensors
contiguous from the end of the header to the end of the file).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

LENGTH_BYTES = 8
LARGEST_HEADER = 100_000_000

_BITS = {
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


class MalformedHeader(ValueError):
    """These bytes are no safetensors header; `str()` says why, without naming the file."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: `size` in bytes, `begin` counted from the end of the header, `elements` as its shape says."""

    dtype: str
    begin: int
    size: int
    elements: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header.

    Attributes:
        length: bytes of the JSON part.
        tensors: by name.
        raw: length and JSON part as they stand in the file (8 + length bytes).
    """

    length: int
    tensors: dict[str, Tensor]
    raw: bytes

    @property
    def file_size(self) -> int:
        """Bytes that the file must have."""
        data = max((tensor.begin + tensor.size for tensor in self.tensors.values()), default=0)
        return LENGTH_BYTES + self.length + data


def header_length(raw: bytes, file_size: int) -> int:
    """Length of the JSON part from the first 8 bytes.

    Raises:
        MalformedHeader: not a plausible length for a file of `file_size` bytes.
    """
    if len(raw) < LENGTH_BYTES:
        raise MalformedHeader("it is shorter than a safetensors header")
    length = int.from_bytes(raw[:LENGTH_BYTES], "little")
    if not 2 <= length <= LARGEST_HEADER:
        raise MalformedHeader("it does not begin with a safetensors header")
    if LENGTH_BYTES + length > file_size:
        raise MalformedHeader(f"it is truncated: {file_size:,} bytes, its header alone has {length:,}")
    return length


def parse_header(raw: bytes) -> Header:
    """Parse 8 + length bytes.

    Raises:
        MalformedHeader: not JSON, wrong types, tensors that overlap, leave gaps, or contradict their shape.
    """
    length = int.from_bytes(raw[:LENGTH_BYTES], "little")
    body = raw[LENGTH_BYTES:]
    if len(body) != length:
        raise MalformedHeader("its header is cut off")
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, dict):
        raise MalformedHeader("its safetensors header is not valid JSON")
    tensors = {name: _tensor(name, entry) for name, entry in entries.items() if name != "__metadata__"}
    _refuse_gaps(tensors)
    return Header(length, tensors, raw)


def _tensor(name: str, entry: object) -> Tensor:
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]  # type: ignore[index]
        whole = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (TypeError, KeyError, ValueError):
        whole = False
    if not whole or end < begin or not isinstance(dtype, str):
        raise MalformedHeader(f"its header describes tensor {name!r} wrongly")
    bits = _BITS.get(dtype)
    if bits is not None and math.prod(shape) * bits != (end - begin) * 8:
        raise MalformedHeader(f"its header gives tensor {name!r} {end - begin:,} bytes, which its shape contradicts")
    return Tensor(dtype, begin, end - begin, math.prod(shape))


def _refuse_gaps(tensors: dict[str, Tensor]) -> None:
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda pair: (pair[1].begin, pair[1].size)):
        if tensor.begin != position:
            raise MalformedHeader(f"its header leaves a gap or an overlap before tensor {name!r}")
        position += tensor.size
