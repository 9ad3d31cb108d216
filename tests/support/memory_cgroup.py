"""A real memory cgroup, version 1 or 2, as a container's limit makes one."""

from __future__ import annotations

import contextlib
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryCgroup:
    """A cgroup with a limit.

    Attributes:
        folder: where the kernel shows it.
    """

    folder: Path

    @property
    def entering(self) -> tuple[str, ...]:
        """The beginning of a command that is to run inside."""
        return ("sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh")

    @property
    def kills(self) -> int:
        """Processes that the kernel killed here for want of memory."""
        for name in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError):
                words = (self.folder / name).read_text().split()
                return int(words[words.index("oom_kill") + 1])
        raise AssertionError("the kernel does not say")

    @property
    def peak(self) -> int:
        """The most bytes in use so far, page cache included."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            with contextlib.suppress(OSError):
                return int((self.folder / name).read_text())
        raise AssertionError("the kernel does not say")


def may_make_cgroups() -> bool:
    """Whether this machine lets us make one."""
    try:
        with memory_cgroup(1 << 30):
            return True
    except OSError:
        return False


@contextmanager
def memory_cgroup(limit: int) -> Iterator[MemoryCgroup]:
    """Make one with a limit in bytes, and no swap where the kernel counts that.

    Raises:
        OSError: this machine does not let us.
    """
    top, name = (_V1, "memory.limit_in_bytes") if _V1.is_dir() else (_V2, "memory.max")
    folder = top / f"wellhead-test-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / name).write_text(str(limit))
        with contextlib.suppress(OSError):
            (folder / "memory.swap.max").write_text("0")
        yield MemoryCgroup(folder)
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    for _ in range(50):
        try:
            folder.rmdir()
            return
        except OSError:  # the last process is still leaving
            time.sleep(0.1)
    folder.rmdir()
