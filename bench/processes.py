"""Child processes of demo and benchmarks: what they wrote to disk, and their certain end.

Read from `/proc`, so Linux only, like everything here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


def run_and_tidy(work: Callable[[], int], *failures: type[Exception]) -> int:
    """The exit code of a benchmark, after which none of its processes is left.

    Args:
        work: the benchmark.
        failures: errors that are said in a sentence.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    adopt_orphans()
    try:
        return work()
    except KeyboardInterrupt:
        print("Interrupted; everything is stopped and removed.", file=sys.stderr)
        return 130
    except failures as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        end_orphans()


def _terminated(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that `end_orphans` can find it."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> None:
    """Kill what is left of this process's descendants; called when nothing of them is needed any more."""
    for _ in range(100):
        left = tree(os.getpid())[1:]
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.05)


def wait_and_count(process: subprocess.Popen[bytes]) -> int:
    """Wait for a child's end; how many bytes it and its own children have sent to disks."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_oublock * 512


def tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for path in _PROC.glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def written_bytes(pid: int) -> int:
    """What a process and its living descendants have sent to disks; memory file systems do not count."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            lines = (_PROC / str(each) / "io").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))
    return total


def stop(process: subprocess.Popen[bytes], patience: float) -> None:
    """End a child as the kubelet does, more firmly after `patience` seconds, and all that it leaves behind.

    Killed in the middle of its start, vLLM leaves segments of shared memory, and `wellhead serve` kills the one
    process that would remove them: hence the lists made before.
    """
    members = {pid: _start_time(pid) for pid in tree(process.pid)}
    segments: set[Path] = set()
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        if process.poll() is None:
            members |= {pid: _start_time(pid) for pid in tree(process.pid)}
            segments |= _shared_memory(members)
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(seconds)
    _await_end(members, 2.0)
    for pid in _alive(members):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _await_end(members, 5.0)
    for path in segments:
        path.unlink(missing_ok=True)


def _shared_memory(pids: Iterable[int]) -> set[Path]:
    """Files under /dev/shm that these processes have mapped, by inode: glibc renames semaphores after mapping."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "maps").read_text().splitlines():
                fields = line.split(None, 5)
                if len(fields) == 6 and fields[5].startswith("/dev/shm/"):
                    inodes.add(int(fields[4]))
    return {path for path in Path("/dev/shm").glob("*") if _inode(path) in inodes}


def _inode(path: Path) -> int:
    try:
        return path.lstat().st_ino
    except OSError:
        return 0


def _await_end(members: dict[int, str], patience: float) -> None:
    deadline = time.monotonic() + patience
    while _alive(members) and time.monotonic() < deadline:
        time.sleep(0.05)


def _alive(members: dict[int, str]) -> list[int]:
    return [pid for pid, began in members.items() if began and _start_time(pid) == began]


def _start_time(pid: int) -> str:
    """Tells a process from a later one with the same number; empty when it is gone or a zombie."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
