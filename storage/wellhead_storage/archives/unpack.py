"""Unpacking an archive from somewhere into a folder: nothing gets out of it, and nothing fills the disk.

tarfile and zipfile read the formats; what may be written where is decided here, for both alike. Links are refused
and not followed: a model needs none, and each is a way out. Owners, modes and times of the archive do not count.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from wellhead_storage.archives.kinds import kind_of
from wellhead_storage.archives.members import Member, members
from wellhead_storage.errors import IncompleteCheckpoint, InsufficientSpace, IntegrityError
from wellhead_storage.files import disk_errors, in_gib
from wellhead_storage.paths import safe_target

_MOST_MEMBERS = 100_000
_BLOCK = 1024 * 1024
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError)


def unpack(archive: Path, folder: Path, *, available: int, check: Callable[[], None] = lambda: None) -> list[str]:
    """Unpack every file below a folder.

    Args:
        archive: its name says what kind it is.
        folder: an empty folder.
        available: bytes that may be written.
        check: called between blocks; may raise.

    Returns:
        The names of the files.

    Raises:
        IntegrityError: a member that may not be unpacked, or a name that is there twice.
        InsufficientSpace: more than `available`, as said or in fact.
        IncompleteCheckpoint: truncated, damaged, or of another format.
    """
    unpacking = _Unpacking(archive.name, folder, available, check)
    try:
        for member in members(archive, kind_of(archive.name) or "tar"):
            unpacking.take(member)
    except _DAMAGED as error:
        raise IncompleteCheckpoint(
            f"{archive.name} is no readable archive ({type(error).__name__}).", "Make and upload it again."
        ) from error
    return unpacking.names


class _Unpacking:
    """One call of `unpack`."""

    def __init__(self, archive: str, folder: Path, available: int, check: Callable[[], None]) -> None:
        self._archive, self._folder, self._available, self._check = archive, folder, available, check
        self._seen: set[str] = set()
        self._folders: set[str] = set()
        self._members = 0
        self.names: list[str] = []

    def take(self, member: Member) -> None:
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise IntegrityError(f"{self._archive} has more than {_MOST_MEMBERS:,} members.", "Pack fewer files.")
        if member.name.strip("./") == "" and member.kind == "folder":
            return  # `./`, with which many archives begin
        name = member.name.removeprefix("./")
        target = safe_target(self._folder, name.rstrip("/") if member.kind == "folder" else name)
        if member.kind == "folder":
            return  # made where a file needs it
        if member.kind != "file":
            raise self._refused(member, f"is a {member.kind}")
        if member.encrypted:
            raise self._refused(member, "is encrypted")
        if name in self._seen:
            raise self._refused(member, "is in it twice")
        parents = {str(parent) for parent in PurePosixPath(name).parents}
        if name in self._folders or parents & self._seen:
            raise self._refused(member, "is a file and a folder at once")
        self._seen.add(name)
        self._folders |= parents
        self.names.append(name)
        self._write(member, target)

    def _write(self, member: Member, target: Path) -> None:
        self._take_space(member, member.size)
        written = 0
        with disk_errors(self._folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("xb")
        with file, member.open() as content:
            while block := content.read(_BLOCK):
                self._check()
                written += len(block)
                if written > member.size:  # it lied about its size, as bombs do
                    raise self._refused(member, "has more bytes than it says")
                with disk_errors(self._folder):
                    file.write(block)
        if written < member.size:
            raise EOFError

    def _take_space(self, member: Member, size: int) -> None:
        if size > self._available:
            raise InsufficientSpace(
                f"{member.name!r} of {self._archive} needs {in_gib(size)}, and {in_gib(self._available)} are left on "
                f"the volume of {self._folder.parent.parent}.",
                "Give the volume more room: the archive and its content are on it together.",
            )
        self._available -= size

    def _refused(self, member: Member, why: str) -> IntegrityError:
        return IntegrityError(
            f"The member {member.name!r} of {self._archive} {why}, and is not unpacked.",
            "Pack the model's plain files only.",
        )
