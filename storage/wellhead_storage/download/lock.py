"""One process of ours at a time in one destination: a volume may be shared by several pods."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wellhead_storage.files import disk_errors
from wellhead_storage.logs import log
from wellhead_storage.paths import FOLDER

_LOCK = Path(FOLDER) / "lock"
_LOOK_EVERY, _SAY_EVERY = 0.1, 30.0  # seconds


@contextmanager
def locked(destination: Path, check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the destination; wait as long as another process does, and say so.

    The kernel drops the lock with its holder, however that ends. Between machines it works where the volume's file
    system has `flock` (NFS 4 and most CSI file systems do); where it has none, the work goes on without.
    """
    with disk_errors(destination):
        destination.mkdir(parents=True, exist_ok=True)  # by itself: a file in its place is called by its name
        (destination / FOLDER).mkdir(exist_ok=True)
    said = float("-inf")
    while (descriptor := _try(destination / _LOCK)) is None:
        check()
        if time.monotonic() - said >= _SAY_EVERY:
            said = time.monotonic()
            log.info("waiting: another process of Wellhead is at work in %s", destination)
        time.sleep(_LOOK_EVERY)
    try:
        yield
    finally:
        with suppress(OSError):
            (destination / _LOCK).unlink()
            (destination / FOLDER).rmdir()  # only if nothing else is in it
        os.close(descriptor)


def _try(path: Path) -> int | None:
    """A descriptor that holds the lock, or None while somebody else does."""
    with disk_errors(path.parent):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:  # the last holder has just removed our folder
            path.parent.mkdir(parents=True, exist_ok=True)
            return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        log.warning("%s cannot be locked (%s): make sure that only one process uses it", path.parent, error)
        return descriptor
    # The last holder may have removed the file between our opening and our locking it.
    with suppress(FileNotFoundError):
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            return descriptor
    os.close(descriptor)
    return None
