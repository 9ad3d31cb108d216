"""Kill the engine's process group, but let Python's resource tracker tidy up after it.

The tracker belongs to the group and is the only one that knows the shared-memory segments of killed workers. Killed
with them, every failed start would leave a few hundred MiB in `/dev/shm`, which in a pod is memory and outlives the
container (seen: 160 to 240 MiB a start). It ends by itself once all others are gone.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_TRACKER = b"multiprocessing.resource_tracker"
_TRACKER_PATIENCE = 2.0  # seconds; it needs milliseconds
_PATIENCE = 5.0  # a process that hangs in the kernel cannot be waited for


def kill_group(group: int) -> None:
    """SIGKILL every process of the group; the tracker gets a moment to end by itself."""
    began = time.monotonic()
    while (members := _members(group)) and time.monotonic() - began < _PATIENCE:
        for pid in members:
            if time.monotonic() - began > _TRACKER_PATIENCE or not _is_tracker(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _members(group: int) -> list[int]:
    """Living processes of a group; zombies are only waiting to be reaped."""
    found = []
    for path in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, process_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(process_group) == group and state != "Z":
                found.append(int(path.parent.name))
    return found


def _is_tracker(pid: int) -> bool:
    with suppress(OSError):
        return _TRACKER in (_PROC / str(pid) / "cmdline").read_bytes()
    return False
