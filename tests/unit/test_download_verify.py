"""Each kind of checksum, against values computed otherwise."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import get_args

import pytest

from wellhead_storage.download.verify import matches
from wellhead_storage.stores.interface import Algorithm, Checksum

DATA = b"weights" * 50_000  # more than one block


def bitwise_crc32c(data: bytes) -> str:
    """The definition, Castagnoli's polynomial bit by bit."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = (remainder >> 1) ^ (0x82F63B78 if remainder & 1 else 0)
    return f"{remainder ^ 0xFFFFFFFF:08x}"


VALUES: dict[Algorithm, str] = {
    "md5": hashlib.md5(DATA).hexdigest(),
    "sha256": hashlib.sha256(DATA).hexdigest(),
    "crc32c": bitwise_crc32c(DATA),
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


def test_crc32c_by_its_definition(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"123456789")
    assert bitwise_crc32c(b"123456789") == "e3069283", "the check value of the standard"
    assert matches(path, Checksum("crc32c", "e3069283"), lambda: None)


def test_it_can_be_stopped(file: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        matches(file, Checksum("md5", ""), stop)
