"""The members of an archive, one after the other: name, kind, size, and how to read it."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from wellhead_storage.archives.kinds import Kind


@dataclass(frozen=True, slots=True)
class Member:
    """One entry.

    Attributes:
        name: as written in the archive.
        kind: what it is; only files and folders are unpacked.
        size: bytes that it says it has.
        open: its content.
        encrypted: it cannot be read without a password.
    """

    name: str
    kind: str
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]
    encrypted: bool = False


def members(archive: Path, kind: Kind) -> Iterator[Member]:
    """Every member, in the archive's order; each has to be read before the next one is asked for."""
    if kind == "tar":
        yield from _tar(archive)
    else:
        yield from _zip(archive)


def _tar(archive: Path) -> Iterator[Member]:
    # The streaming form reads once from start to end, and keeps no list of the members it has passed.
    with tarfile.open(archive, "r|*") as opened:
        for entry in opened:
            yield Member(entry.name, _tar_kind(entry), entry.size, partial(_tar_content, opened, entry))
            opened.members = []  # type: ignore[attr-defined]


def _tar_content(opened: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = opened.extractfile(entry)
    if content is None:
        raise tarfile.ReadError(f"{entry.name} has no content")
    return content


def _tar_kind(entry: tarfile.TarInfo) -> str:
    if entry.isdir():
        return "folder"
    if entry.issym():
        return "symbolic link"
    if entry.islnk():
        return "hard link"
    if entry.issparse():
        return "sparse file"
    return "file" if entry.isreg() else "device or pipe"


def _zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            yield Member(
                entry.filename,
                _zip_kind(entry),
                entry.file_size,
                partial(opened.open, entry),
                encrypted=bool(entry.flag_bits & 0x1),
            )


def _zip_kind(entry: zipfile.ZipInfo) -> str:
    mode = entry.external_attr >> 16
    if entry.is_dir():
        return "folder"
    if stat.S_ISLNK(mode):
        return "symbolic link"
    return "file" if not stat.S_IFMT(mode) or stat.S_ISREG(mode) else "device or pipe"
