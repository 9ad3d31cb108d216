"""Run one download and say what it cost."""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import select
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.download_ways import Case, Way
from bench.netns import Link
from bench.processes import tree

_TICKS = os.sysconf("SC_CLK_TCK")
_PAUSE = 0.05  # seconds between looks at the memory
_ROOT = Path(__file__).resolve().parent.parent


class RunError(RuntimeError):
    """A client failed, or its files are not whole."""


@dataclass(frozen=True)
class Run:
    """The cost of one download.

    Attributes:
        wall: seconds from the start of the process to its end.
        work: seconds from the first request's arrival to the end of the process, so without its imports.
        cpu: user and system seconds, with all children.
        resident: most bytes in memory at once, of the process and its children together.
        written: bytes given to a disk's file system; some are still in the page cache at the end.
        requests: how many.
        received: bytes in answers.
        other: cores that were busy with something else in the meantime.
    """

    way: str
    wall: float
    work: float
    cpu: float
    resident: int
    written: int
    requests: int
    received: int
    other: float


def measure(name: str, way: Way, case: Case, link: Link) -> Run:
    """Run a way into its empty folder, check the sizes of all files, and remove them.

    Raises:
        RunError: it failed, or a file is missing or of another size.
    """
    for folder in (case.destination, case.scratch):
        folder.mkdir(parents=True)
    try:
        command = list(way.command(case))
        environment = _environment(case, way)
        os.sync()  # what earlier runs have left to be written is not part of this one
        touch_memory(2 * sum(path.stat().st_size for path in case.source.rglob("*")))
        case.server.new_requests()
        log = case.scratch / "output"
        with log.open("wb") as output:
            before, served = busy(), _cpu_of(case.server.process.pid)
            own = time.process_time()
            began = time.time()
            process = subprocess.Popen(
                command if way.local else link.in_client(*command),
                env=environment,
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            resident, status, usage = _await_end(process)
            ended = time.time()
            cpu = usage.ru_utime + usage.ru_stime
            known = cpu + _cpu_of(case.server.process.pid) - served + time.process_time() - own
            other = max(0.0, busy() - before - known) / (ended - began)
        if status:
            said = log.read_text(errors="replace").strip()[-2000:]
            raise RunError(f"{name} failed with exit code {status}: {said or 'it said nothing'}")
        time.sleep(_PAUSE)  # nginx logs a request after its last byte
        requests = case.server.new_requests()
        if way.writes:
            check_sizes(case)
        first = min((request.arrived for request in requests), default=began)
        return Run(
            way=name,
            wall=ended - began,
            work=ended - first,
            cpu=cpu,
            resident=resident,
            written=usage.ru_oublock * 512,
            requests=len(requests),
            received=sum(request.size for request in requests),
            other=other,
        )
    finally:
        for folder in (case.destination, case.scratch):
            shutil.rmtree(folder, ignore_errors=True)


def check_sizes(case: Case) -> None:
    """Every file of the source is in the destination, with its size."""
    for path in case.source.rglob("*"):
        there = case.destination / path.relative_to(case.source)
        if path.is_file() and (not there.is_file() or there.stat().st_size != path.stat().st_size):
            raise RunError(f"{there.name} is missing, or not whole.")


def await_quiet(most: float = 0.15, patience: float = 120.0) -> bool:
    """Wait until the machine was idle for a second; False if it never was."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        before = busy()
        time.sleep(1.0)
        if busy() - before <= most:
            return True
    return False


def touch_memory(count: int) -> None:
    """Make sure that the next `count` bytes that anybody needs are there at once.

    A virtual machine may have given free memory back to its host seconds ago; each page that it asks for again costs
    microseconds, more than everything else that a download does with it (measured: three times the CPU seconds).
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
    mmap.mmap(-1, count, flags=flags).close()


def _environment(case: Case, way: Way) -> dict[str, str]:
    own = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(case.scratch), "TMPDIR": str(case.scratch)}
    rclone = {"RCLONE_S3_ENDPOINT": case.server.endpoint_url}
    return own | case.server.environment | rclone | dict(way.environment)


def _await_end(process: subprocess.Popen[bytes]) -> tuple[int, int, resource.struct_rusage]:
    """Peak memory, exit code and resources of a child.

    The kernel's own `ru_maxrss` starts at the size of the process that forked, so it is not used here.
    """
    resident = 0
    ended = select.poll()
    descriptor = os.pidfd_open(process.pid)
    try:
        ended.register(descriptor, select.POLLIN)
        while not ended.poll(_PAUSE * 1000):
            resident = max(resident, _resident(process.pid))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        for pid in reversed(tree(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        os.close(descriptor)
    return resident, process.returncode, usage


def _resident(pid: int) -> int:
    """Bytes of a process and its children: the highest mark of a single one, the sum without double counts of several.

    Proportional sizes do not see a peak between two looks; the kernel's mark of one process does.
    """
    members = tree(pid)
    if len(members) == 1:
        return 1024 * _number(Path("/proc", str(pid), "status"), "VmHWM:")
    return sum(1024 * _number(Path("/proc", str(each), "smaps_rollup"), "Pss:") for each in members)


def _number(path: Path, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in path.read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
    return 0


def _cpu_of(pid: int) -> float:
    """Seconds of a process and its living children."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path("/proc", str(each), "stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def busy() -> float:
    """Seconds that all cores together have spent in processes; what interrupts cost is nobody's."""
    fields = Path("/proc/stat").read_text().split(None, 5)
    return sum(int(field) for field in fields[1:4]) / _TICKS
