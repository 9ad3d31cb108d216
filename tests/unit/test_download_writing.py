"""Writing in place: every byte where it belongs, pages given back where memory is short, room reserved."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wellhead_storage.download import allocating
from wellhead_storage.download.allocating import allocate
from wellhead_storage.download.writing import PartWriter, release_window

MIB = 2**20
GIB = 2**30


@pytest.mark.parametrize(
    ("needed", "writers", "limit", "window"),
    [
        (1 * GIB, 16, 2 * GIB, None),
        (1 * GIB + 1, 16, 2 * GIB, 8 * MIB),
        (140 * GIB, 16, 256 * MIB, 2 * MIB),
        (140 * GIB, 64, 256 * MIB, 1 * MIB),
        (140 * GIB, 1, 64 * GIB, 8 * MIB),
        (0, 16, 1, None),
    ],
)
def test_pages_stay_where_half_of_the_memory_holds_the_model(
    needed: int, writers: int, limit: int, window: int | None
) -> None:
    assert release_window(needed, writers, limit) == window


def test_all_writers_together_leave_room() -> None:
    """Two windows of each may be dirty: that is a quarter of the limit."""
    window = release_window(140 * GIB, 16, 256 * MIB)
    assert window is not None
    assert 2 * 16 * window <= 256 * MIB // 4


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=20),
    start=st.integers(0, 30),
    window=st.none() | st.integers(1, 64),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_go_where_they_belong(tmp_path: Path, chunks: list[bytes], start: int, window: int | None) -> None:
    path = tmp_path / "file"
    data = b"".join(chunks)
    path.write_bytes(b"." * (start + len(data) + 7))
    with PartWriter(path, start, window) as writer:
        for chunk in chunks:
            writer.write(chunk)
        assert writer.position == start + len(data)
    assert path.read_bytes() == b"." * start + data + b"." * 7


def test_pages_are_given_back_behind_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two windows behind, since the kernel does not drop what is not on the disk yet; at the end all of it."""
    dropped: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _, start, length, __: dropped.append((start, length)))
    path = tmp_path / "file"
    path.touch()
    with PartWriter(path, 0, 10) as writer:
        for _ in range(4):
            writer.write(b"0123456789")
    assert dropped == [(0, 10), (0, 20), (10, 20), (20, 20), (30, 10)]


def test_a_part_can_start_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"........")
    with PartWriter(path, 2, 2) as writer:
        writer.write(b"xxxx")
        writer.start_over(2)
        writer.write(b"yy")
        writer.truncate()
    assert path.read_bytes() == b"..yy"


@pytest.mark.parametrize("size", [0, 1, 5 * MIB])
def test_room_is_reserved(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        allocate(file.fileno(), size)
    assert path.stat().st_size == size
    assert path.stat().st_blocks * 512 >= size, "this file system can"


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_where_none_can_be_reserved_the_file_only_gets_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "file"
    monkeypatch.setattr(allocating, "_fallocate", lambda: failing(number))
    with path.open("wb") as file:
        allocate(file.fileno(), 5 * MIB)
    assert path.stat().st_size == 5 * MIB
    assert path.stat().st_blocks * 512 < 5 * MIB


def test_a_system_without_the_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocating, "_fallocate", lambda: None)
    path = tmp_path / "file"
    with path.open("wb") as file:
        allocate(file.fileno(), 7)
    assert path.read_bytes() == bytes(7)


def test_a_full_volume_is_known_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocating, "_fallocate", lambda: failing(errno.ENOSPC))
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="No space left") as caught:
        allocate(file.fileno(), 7)
    assert caught.value.errno == errno.ENOSPC


def failing(number: int) -> object:
    """The call, refused."""

    def call(*_: int) -> int:
        import ctypes

        ctypes.set_errno(number)
        return -1

    return call
