"""The members of a tar, packed or not.

tarfile reads the format. What it would take into memory before anybody sees a member is limited here: `_proc_member`
is where subclasses are meant to step in ("can be overridden in a subclass", says tarfile.py).
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from wellhead_storage.archives.member import BLOCK, Member, blocks_of, damage
from wellhead_storage.errors import IntegrityError

_MOST_HEADERS = 16
# Names, dates, and a few extended attributes. Pythons before 3.11.10 and 3.12.6 need time and memory that grow with
# the square of it (CVE-2024-6232).
_MOST_HEADER_BYTES = 64 * 1024
_EXTENDED = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
}
# By their content, as tarfile does it; tarfile's own way of streaming unpacks 10 KiB at once, which may be gigabytes.
_PACKED: dict[bytes, Callable[[Path], io.BufferedIOBase]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x5d\0\0\x80": lzma.LZMAFile,
}


class _Entry(tarfile.TarInfo):
    """A header, refused before what belongs to it is read."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Entry:
        # tarfile takes a header that is none for the end, and so the first half of an archive for all of it.
        try:
            return super().fromtarfile(archive)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from None

    def _proc_member(self, archive: _Tar) -> tarfile.TarInfo:
        if self.size < 0:
            raise tarfile.ReadError("negative size")
        if self.type == tarfile.GNUTYPE_SPARSE:
            self.type, self.sparse = tarfile.REGTYPE, b""
        archive.admit(self)
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found

    def _proc_sparse_map(self, following: _Entry, *_: object) -> None:
        following.sparse = b""  # a sparse file is refused, so its map, which may have any length, is not read

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _proc_sparse_map


class _Tar(tarfile.TarFile):
    """A tar that keeps count of its extended headers."""

    tarinfo = _Entry
    _waiting = _here = _for_all = 0

    def admit(self, entry: _Entry) -> None:
        """Take note of a header.

        Raises:
            IntegrityError: too many or too large ones before one member, or for all members.
        """
        if entry.type not in _EXTENDED:
            self._waiting = self._here = 0
            return
        self._waiting += 1
        self._here += entry.size
        self._for_all += entry.size if entry.type == tarfile.XGLTYPE else 0
        if self._waiting > _MOST_HEADERS or max(self._here, self._for_all) > _MOST_HEADER_BYTES:
            raise IntegrityError(
                f"{Path(str(self.name)).name} has more than {_MOST_HEADERS} extended headers, or "
                f"{_MOST_HEADER_BYTES // 1024} KiB of them, for one member, and is not unpacked.",
                "Pack the model's plain files only, without extended attributes.",
            )


def tar_members(archive: Path) -> Iterator[Member]:
    """Every member, in the archive's order; each has to be read before the next one is asked for."""
    with damage(), _unpacked(archive) as source:
        # The streaming form reads once from start to end.
        with _Tar.open(archive.name, "r|", source, BLOCK) as opened:
            for entry in opened:
                if entry.size < 0:  # an extended header's word
                    raise tarfile.ReadError("negative size")
                content = partial(blocks_of, partial(_content, opened, entry))
                yield Member(entry.name, entry.size, content, entry.isdir(), _obstacle(entry))
                opened.members = []  # type: ignore[attr-defined]  # no list of those that have passed
        source.read(BLOCK)  # what is behind the last member, and with it the checksum of gzip, bzip2 or xz


def _unpacked(archive: Path) -> io.BufferedIOBase:
    with archive.open("rb") as file:
        beginning = file.read(6)
    unpack = next((opener for mark, opener in _PACKED.items() if beginning.startswith(mark)), None)
    return unpack(archive) if unpack else archive.open("rb")


def _content(opened: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = opened.extractfile(entry)
    if content is None:
        raise tarfile.ReadError("a file without content")
    return content


def _obstacle(entry: tarfile.TarInfo) -> str:
    if entry.isdir():
        return ""
    if entry.issym():
        return "is a symbolic link"
    if entry.islnk():
        return "is a hard link"
    if entry.issparse():
        return "is a sparse file"
    return "" if entry.isreg() else "is a device or pipe"
