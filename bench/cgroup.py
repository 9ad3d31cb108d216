"""A memory control group (version 1 or 2) around this process: what it and its children use, at the cost of one read.

The alternative, `/proc/<pid>/smaps_rollup` of each process, walks every page under the lock that page faults need: 70
ms for one vLLM that has loaded 2 GiB, which ten times a second slowed down what was to be measured.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Used:
    """Bytes that the kernel cannot take back (no swap here).

    Attributes:
        anonymous: of processes.
        shared: of memory files.
    """

    anonymous: int
    shared: int


@dataclass(frozen=True)
class Cgroup:
    """The group's folder."""

    folder: Path

    def used(self) -> Used:
        """What all its processes use now, pages that they share counted once."""
        fields = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return Used(int(fields.get("anon", fields.get("rss", 0))), int(fields["shmem"]))

    def processes(self) -> list[Path]:
        """The folders in `/proc` of those in it."""
        return [Path("/proc", pid) for pid in (self.folder / "cgroup.procs").read_text().split()]


@contextmanager
def entered() -> Iterator[Cgroup]:
    """Be in a new group, with all children from now on.

    Raises:
        OSError: the machine has no such groups, or none for us.
    """
    top = _V1 if _V1.is_dir() else _V2
    folder = top / f"wellhead-bench-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "cgroup.procs").write_text(str(os.getpid()))
        yield Cgroup(folder)
    finally:
        (top / "cgroup.procs").write_text(str(os.getpid()))
        for _ in range(50):
            try:
                folder.rmdir()
                break
            except OSError:  # the last child is still leaving
                time.sleep(0.1)
