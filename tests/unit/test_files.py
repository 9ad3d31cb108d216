"""Files are whole or absent, and what the disk refuses becomes a sentence."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from wellhead_storage.errors import InsufficientSpace, InvalidConfiguration
from wellhead_storage.files import disk_errors, free_bytes, in_gib, publish_bytes, require_space

GIB, MIB = 2**30, 2**20


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def three_gib_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10 * GIB, 7 * GIB, 3 * GIB))


# Publishing ------------------------------------------------------------------------------------------------------


def test_a_published_file_is_readable_by_other_users(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    before = os.umask(0o077)
    try:
        publish_bytes(path, b"data")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"data"
    assert path.stat().st_mode & 0o777 == 0o644


def test_another_mode(tmp_path: Path) -> None:
    publish_bytes(tmp_path / "file", b"data", 0o600)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    publish_bytes(path, b"old")
    with path.open("rb") as reader:
        publish_bytes(path, b"new")
        assert reader.read() == b"old", "the name moved to another file; this one is untouched"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("step", ["write_bytes", "chmod", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    publish_bytes(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(InsufficientSpace):
        publish_bytes(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


# Space -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_gib_left")
def test_what_cannot_fit_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    require_space(tmp_path, 0)
    require_space(tmp_path, 3 * GIB)
    with pytest.raises(InsufficientSpace) as caught:
        require_space(tmp_path, 5 * GIB)
    assert caught.value.problem == f"The model needs 5.0 GiB and {tmp_path} has 3.0 GiB left."
    assert "wellhead.dev/mode: stream" in caught.value.hint
    with pytest.raises(InsufficientSpace) as caught:
        require_space(tmp_path, 5 * GIB, "Clean up.")
    assert caught.value.hint == "Clean up."
    assert caught.value.exit_code == 15
    with pytest.raises(InsufficientSpace):
        require_space(tmp_path, 3 * GIB + 1)


def test_free_bytes_are_those_of_the_volume(tmp_path: Path) -> None:
    assert 0 < free_bytes(tmp_path) <= shutil.disk_usage(tmp_path).total


# Errors of the disk ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_gib_left")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_volume(tmp_path: Path, number: int) -> None:
    with pytest.raises(InsufficientSpace) as caught, disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.problem == f"The volume of {tmp_path} is full (3.0 GiB left)."


@pytest.mark.usefixtures("three_gib_left")
def test_a_full_volume_says_what_is_missing_where_that_is_known(tmp_path: Path) -> None:
    with pytest.raises(InsufficientSpace) as caught, disk_errors(tmp_path, lambda: 5 * GIB):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    sentence = f"The volume of {tmp_path} is full: 5.0 GiB are still needed, and 3.0 GiB are left."
    assert caught.value.problem == sentence


def test_a_full_volume_whose_folder_is_not_there_yet() -> None:
    with pytest.raises(InsufficientSpace, match=r"/no/such is full \(0\.0 KiB left\)"), disk_errors(Path("/no/such")):
        raise OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST])
def test_a_folder_that_cannot_be_written(tmp_path: Path, number: int) -> None:
    with pytest.raises(InvalidConfiguration) as caught, disk_errors(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path / "x"))
    expected = f"{tmp_path}/x cannot be written as user {os.getuid()}: {os.strerror(number)}."
    assert caught.value.problem == expected
    assert caught.value.exit_code == 19


def test_the_folder_is_named_where_the_system_names_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=str(tmp_path)), disk_errors(tmp_path):
        raise OSError(errno.EROFS, "Read-only file system")


def test_a_file_in_the_way_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(InvalidConfiguration, match=f"{tmp_path}/models"):
        publish_bytes(tmp_path / "models" / ".wellhead" / "plan.json", b"{}")


@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), ValueError("x"), FileNotFoundError(2, "gone")])
def test_everything_else_passes_unchanged(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, disk_errors(tmp_path):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0.0 KiB"),
        (717, "0.7 KiB"),
        (MIB - 1024, "1,023.0 KiB"),
        (MIB, "1.0 MiB"),
        (GIB - MIB, "1,023.0 MiB"),
        (GIB, "1.0 GiB"),
        (15 * GIB // 10, "1.5 GiB"),
        (1234 * GIB, "1,234.0 GiB"),
    ],
)
def test_sizes_for_people(count: int, text: str) -> None:
    assert in_gib(count) == text
