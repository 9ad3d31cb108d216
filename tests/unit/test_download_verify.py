"""Each kind of checksum, against values computed otherwise."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import get_args

import pytest

from wellhead_storage.download.verify import matches
from wellhead_storage.stores.interface import Algorithm, Checksum

DATA = b"weights" * 50_000  # more than one block


def bitwise(data: bytes, polynomial: int, bits: int) -> str:
    """The definition of a CRC with reflected bits, bit by bit."""
    remainder = (1 << bits) - 1
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (polynomial if remainder & 1 else 0)
    return f"{remainder ^ ((1 << bits) - 1):0{bits // 4}x}"


CASTAGNOLI, NVME = (0x82F63B78, 32), (0x9A6C9329AC4BC9B5, 64)


VALUES: dict[Algorithm, str] = {
    "md5": hashlib.md5(DATA).hexdigest(),
    "sha256": hashlib.sha256(DATA).hexdigest(),
    "sha1": hashlib.sha1(DATA).hexdigest(),
    "crc32": f"{zlib.crc32(DATA):08x}",
    "crc32c": bitwise(DATA, *CASTAGNOLI),
    "crc64nvme": bitwise(DATA, *NVME),
    "git-sha1": hashlib.sha1(b"blob 350000\0" + DATA).hexdigest(),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(DATA)
    return path


def test_every_kind_is_here() -> None:
    assert VALUES.keys() == set(get_args(Algorithm))


@pytest.mark.parametrize("algorithm", VALUES)
def test_right_and_wrong(file: Path, algorithm: Algorithm) -> None:
    right = Checksum(algorithm, VALUES[algorithm])
    assert matches(file, right, lambda: None)
    with file.open("r+b") as open_file:
        open_file.seek(300_000)
        open_file.write(b"!")
    assert not matches(file, right, lambda: None)


@pytest.mark.parametrize(
    ("algorithm", "check"), [("crc32", "cbf43926"), ("crc32c", "e3069283"), ("crc64nvme", "ae8b14860a799888")]
)
def test_the_check_values_of_the_standards(tmp_path: Path, algorithm: Algorithm, check: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"123456789")
    assert matches(path, Checksum(algorithm, check), lambda: None)


def test_it_can_be_stopped(file: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        matches(file, Checksum("md5", ""), stop)
