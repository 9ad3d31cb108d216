"""Unpacking an archive from somewhere into a folder: nothing gets out of it, and nothing fills the disk.

tarfile and zipfile read the formats; what may be written where is decided here, for both alike. Links are refused
and not followed: a model needs none, and each is a way out. Owners, modes and times of the archive do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

from wellhead_storage.archives.kinds import kind_of
from wellhead_storage.archives.member import DamagedArchive, Member
from wellhead_storage.archives.tars import tar_members
from wellhead_storage.archives.zips import zip_members
from wellhead_storage.errors import IncompleteCheckpoint, InsufficientSpace, IntegrityError
from wellhead_storage.files import disk_errors, in_gib
from wellhead_storage.paths import safe_target

_MOST_MEMBERS = 100_000
# What a bucket's key may have, so that the model can live there too, and folders that every tool can walk through.
_LONGEST_NAME, _DEEPEST = 1024, 64


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
        IntegrityError: a member that may not be unpacked, a name that is there twice, or too much that describes them.
        InsufficientSpace: more than `available`, as said or in fact.
        IncompleteCheckpoint: truncated, damaged, or of another format.
    """
    unpacking = _Unpacking(archive.name, folder, available, check)
    try:
        for member in zip_members(archive) if kind_of(archive.name) == "zip" else tar_members(archive):
            unpacking.take(member)
    except DamagedArchive as error:
        raise IncompleteCheckpoint(
            f"{archive.name} is no readable archive ({error}).", "Make and upload it again."
        ) from error
    return unpacking.names


class _Unpacking:
    """One call of `unpack`."""

    def __init__(self, archive: str, folder: Path, available: int, check: Callable[[], None]) -> None:
        self._archive, self._folder, self._available, self._check = archive, folder, available, check
        self._members = 0
        self.names: list[str] = []

    def take(self, member: Member) -> None:
        self._check()
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise IntegrityError(f"{self._archive} has more than {_MOST_MEMBERS:,} members.", "Pack fewer files.")
        if len(member.name) > _LONGEST_NAME or member.name.count("/") > _DEEPEST:
            raise IntegrityError(
                f"{self._archive} has a member of more than {_LONGEST_NAME:,} letters or {_DEEPEST} folders, "
                f"{member.name[:60]!r}…, and is not unpacked.",
                "Pack the model's plain files only.",
            )
        if member.name.strip("./") == "" and member.folder:
            return  # `./`, with which many archives begin
        name = member.name.removeprefix("./")
        target = safe_target(self._folder, name.rstrip("/") if member.folder else name)
        if member.folder:
            return  # made where a file needs it
        if member.obstacle:
            raise self._refused(member, member.obstacle)
        self._write(member, target)
        self.names.append(name)

    def _write(self, member: Member, target: Path) -> None:
        self._take_space(member, member.size)
        written = 0
        with disk_errors(self._folder):
            file = self._create(member, target)
        with file:
            for block in member.blocks():
                self._check()
                written += len(block)
                if written > member.size:  # it lied about its size, as bombs do
                    raise self._refused(member, "has more bytes than it says")
                with disk_errors(self._folder):
                    file.write(block)
        if written < member.size:
            raise DamagedArchive("EOFError")

    def _create(self, member: Member, target: Path) -> IO[bytes]:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            return target.open("xb")
        except (FileExistsError, NotADirectoryError):
            why = "is in it twice" if target.is_file() else "is a file and a folder at once"
            raise self._refused(member, why) from None

    def _take_space(self, member: Member, size: int) -> None:
        if size > self._available:
            raise InsufficientSpace(
                f"{member.name!r} of {self._archive} needs {in_gib(size)}, and {in_gib(self._available)} may be "
                f"used on the volume of {self._folder.parent.parent}.",
                "Give the volume more room: the archive and its content are on it together.",
            )
        self._available -= size

    def _refused(self, member: Member, why: str) -> IntegrityError:
        return IntegrityError(
            f"The member {member.name!r} of {self._archive} {why}, and is not unpacked.",
            "Pack the model's plain files only.",
        )
