"""What every kind of archive consists of, and what goes wrong with each of them."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO

BLOCK = 1024 * 1024

# tarfile, zipfile and the decompressors raise far more than their own errors for an archive that is damaged, or made
# to look like one: UnicodeDecodeError for a name, ValueError for a number, struct.error for a field that ends early.
_RAISED = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


class DamagedArchive(Exception):
    """It cannot be read (any further); the text is the kind of the error, since messages repeat what is in there."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry.

    Attributes:
        name: as written in the archive.
        size: bytes that it says it has.
        blocks: its content, in blocks of a mebibyte at most; raises `DamagedArchive`.
        folder: it is a folder.
        obstacle: why it is not unpacked, as a part of a sentence; empty for files and folders.
    """

    name: str
    size: int
    blocks: Callable[[], Iterator[bytes]]
    folder: bool = False
    obstacle: str = ""


@contextmanager
def damage() -> Iterator[None]:
    """Around reading an archive, and nothing else.

    Raises:
        DamagedArchive: for whatever the library raises.
    """
    try:
        yield
    except _RAISED as error:
        raise DamagedArchive(type(error).__name__) from error


def blocks_of(content: Callable[[], AbstractContextManager[IO[bytes]]]) -> Iterator[bytes]:
    """The blocks of a member."""
    with damage(), content() as opened:
        while block := opened.read(BLOCK):
            yield block
