"""Is a downloaded file what the store says it is?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wellhead_storage.stores.interface import Algorithm, Checksum

if TYPE_CHECKING:
    from typing_extensions import Buffer

_BLOCK = 256 * 1024  # every worker has one
_CRC_DIGITS: dict[Algorithm, int] = {"crc32": 8, "crc32c": 8, "crc64nvme": 16}


class Digest(Protocol):
    """A running checksum, as hashlib's."""

    def update(self, data: Buffer, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """The value so far, lower-case hexadecimal."""


def start_digest(algorithm: Algorithm, size: int) -> Digest:
    """A fresh digest; `size` is needed for Git's, whose header holds it."""
    if algorithm in _CRC_DIGITS:
        return _Crc(algorithm)
    if algorithm == "git-sha1":
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    return hashlib.new(algorithm, usedforsecurity=False)


def matches(path: Path, checksum: Checksum, check: Callable[[], None]) -> bool:
    """Whether the file has this checksum; `check` is called between blocks and may raise."""
    digest = start_digest(checksum.algorithm, path.stat().st_size)
    block = memoryview(bytearray(_BLOCK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            check()
            digest.update(block[:count])
    return digest.hexdigest() == checksum.value


class _Crc:
    """A cyclic redundancy check, with the processor's own instructions."""

    def __init__(self, algorithm: Algorithm) -> None:
        from awscrt import checksums

        self._function = getattr(checksums, algorithm)
        self._digits, self._value = _CRC_DIGITS[algorithm], 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._function(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:0{self._digits}x}"
