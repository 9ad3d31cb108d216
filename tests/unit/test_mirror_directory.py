"""A directory as a destination: whole files, and nothing promised that a power failure would take back."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from wellhead_storage.errors import InsufficientSpace
from wellhead_storage.mirror.directory import Directory
from wellhead_storage.uri import parse


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "volume" / "model"


@pytest.fixture
def target(root: Path) -> Directory:
    made = Directory(parse(str(root)))
    made.require_space(0)
    return made


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What went to the disk, in order, under the names of that moment."""
    paths: list[Path] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return paths


def test_a_file_is_on_the_disk_before_it_has_its_name(target: Directory, root: Path, synced: list[Path]) -> None:
    target.put("a/model.safetensors", b"data")
    [unfinished] = synced
    assert unfinished.parent == root / ".wellhead" / "mirroring"
    assert (root / "a" / "model.safetensors").read_bytes() == b"data"


def test_names_are_on_the_disk_once_it_has_settled(target: Directory, root: Path, synced: list[Path]) -> None:
    target.put("a/b/one", b"1")
    target.put("two", b"2")
    target.delete(["gone/three"])
    synced.clear()
    target.settle()
    assert set(synced) == {root.parent, root, root / "a", root / "a" / "b"}
    synced.clear()
    target.settle()
    assert synced == [], "nothing has happened since"


def test_a_volume_that_cannot_settle_folders_is_taken_as_it_is(
    target: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> None:
        def fsync(_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "fsync", fsync)

    refuse(errno.EINVAL)
    target.put("one", b"1")
    target.settle()
    refuse(errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        target.put("one", b"1")


def test_a_full_volume_cannot_be_streamed_instead(target: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10, 7, 3))
    with pytest.raises(InsufficientSpace) as caught:
        target.require_space(4)
    assert caught.value.hint == "Give the volume more room, or name a destination that has it."

    def run_out() -> Iterator[bytes]:
        yield b"1"
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(InsufficientSpace) as caught:
        target.put_pieces("one", run_out(), 1)
    assert caught.value.hint == "Give the volume more room, or name a destination that has it."
