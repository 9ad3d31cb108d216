"""The members of a zip. zipfile reads the format; what it would take into memory at once is limited here."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from wellhead_storage.archives.member import Member, blocks_of, damage
from wellhead_storage.errors import IntegrityError

_LARGEST_READ = 16 * 1024 * 1024  # the directory, at about a hundred bytes for each member
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


class _File(io.BufferedReader):
    """A file that is not read in pieces of any size, as zipfile reads the directory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGEST_READ:
            raise IntegrityError(
                f"{Path(str(self.name)).name} has a directory of more than {_LARGEST_READ // 2**20} MiB, and is not "
                "unpacked.",
                "Pack fewer files.",
            )
        return super().read(size)


def zip_members(archive: Path) -> Iterator[Member]:
    """Every member, in the order of the archive's directory."""
    with damage(), _File(io.FileIO(archive)) as file, zipfile.ZipFile(file) as opened:
        for entry in opened.infolist():
            content = partial(blocks_of, partial(opened.open, entry))
            yield Member(entry.filename, entry.file_size, content, entry.is_dir(), _obstacle(entry))


def _obstacle(entry: zipfile.ZipInfo) -> str:
    mode = entry.external_attr >> 16
    if entry.is_dir():
        return ""
    if stat.S_ISLNK(mode):
        return "is a symbolic link"
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        return "is a device or pipe"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    # Of the others zipfile unpacks as much at once as comes of what it has read.
    return "" if entry.compress_type in _METHODS else "is compressed in another way than with deflate"
