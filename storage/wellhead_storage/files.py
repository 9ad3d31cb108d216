"""Writing files so that they are whole or absent, and disk errors that a user understands."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wellhead_storage.errors import InsufficientSpace, InvalidConfiguration
from wellhead_storage.paths import FOLDER

_READABLE = 0o644  # the engine's container runs as another user
_TEMPORARY = ".tmp"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_MORE_ROOM = "Give the volume more room, or stream the model (wellhead.dev/mode: stream)."


def publish_bytes(path: Path, data: bytes, mode: int = _READABLE) -> None:
    """Write a small file under a temporary name, then rename it into place."""
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY}")
        try:
            temporary.write_bytes(data)
            temporary.chmod(mode)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def remove_temporary(folder: Path) -> None:
    """Remove what killed processes had not renamed yet; only where no other process publishes now."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        path.unlink(missing_ok=True)


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write into the volume of `folder`."""
    return shutil.disk_usage(folder).free


def require_space(folder: Path, needed: int, way_out: str = _MORE_ROOM) -> None:
    """Refuse before the first byte what cannot fit, with a hint.

    Raises:
        InsufficientSpace: with needed and available bytes.
    """
    available = free_bytes(folder)
    if needed > available:
        raise InsufficientSpace(f"The model needs {in_gib(needed)} and {folder} has {in_gib(available)} left.", way_out)


@contextmanager
def disk_errors(folder: Path, needed: Callable[[], int] | None = None, way_out: str = _MORE_ROOM) -> Iterator[None]:
    """Turn the operating system's refusals into sentences about `folder`.

    Args:
        folder: what is written into.
        needed: tells how many bytes are still to be written, where that is known.
        way_out: the hint for a full volume.

    Raises:
        InsufficientSpace: the volume is full.
        InvalidConfiguration: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            left = free_bytes(folder) if folder.is_dir() else 0
            model = folder.parent if folder.name == FOLDER else folder
            raise InsufficientSpace(
                f"The volume of {model} is full: {in_gib(needed())} are still needed, and {in_gib(left)} are left."
                if needed
                else f"The volume of {model} is full ({in_gib(left)} left).",
                way_out,
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST}:
            raise InvalidConfiguration(
                f"{error.filename or folder} cannot be written as user {os.getuid()}: {error.strerror}.",
                "Mount a volume there that this user may write.",
            ) from error
        raise


def in_gib(count: int) -> str:
    """`count` bytes for a person: GiB, MiB or KiB, the largest that it fills once."""
    for unit, power in (("GiB", 30), ("MiB", 20)):
        if count >= 2**power:
            return f"{count / 2**power:,.1f} {unit}"
    return f"{count / 2**10:,.1f} KiB"
