"""Whether this container allows shared memory that the engine's processes can reach. Tries it."""

from __future__ import annotations

import os
from pathlib import Path

from wellhead_runtime.overlap.stubs import header_of
from wellhead_storage.plan import Plan


def missing_here(plan: Plan, folder: Path) -> list[str]:
    """What this container lacks, as clauses in words.

    Args:
        plan: in mode `stream`.
        folder: the model folder.
    """
    found = [] if _child_reaches_memory() else ["no other process here may open this one's memory through /proc"]
    bad = [file.name for file in plan.weights.files if header_of(folder, file) is None]
    if bad:
        found.append(f"{bad[0]} in the model folder is not the header that the initializer left there")
    return found


def _child_reaches_memory() -> bool:
    """Whether a child of the same user opens `/proc/<pid>/fd/<n>` of ours.

    The kernel asks for the right to read the process (`PTRACE_MODE_READ`): the same user and no more privileges. Yama
    does not look at that, and `hidepid` hides the processes of other users only; what may refuse are a sandboxed
    kernel, a profile of AppArmor or SELinux, or a process that is not dumpable.
    """
    try:
        memory = os.memfd_create("wellhead-probe")
    except OSError:
        return False
    path = f"/proc/{os.getpid()}/fd/{memory}"
    child = os.fork()
    if not child:
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os.close(memory)
    return os.waitstatus_to_exitcode(status) == 0
