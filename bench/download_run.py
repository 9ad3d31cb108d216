"""Run one download and say what it cost."""

from __future__ import annotations

import contextlib
import os
import shutil
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
        written: bytes sent to the disk by the end, out of what the page cache holds.
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
        case.server.new_requests()
        log = case.scratch / "output"
        with log.open("wb") as output:
            busy, served = _busy(), _cpu_of(case.server.process.pid)
            own = time.process_time()
            began = time.time()
            process = subprocess.Popen(
                command if way.local else link.in_client(*command),
                env=environment, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
            resident, status, usage = _await_end(process)
            ended = time.time()
            cpu = usage.ru_utime + usage.ru_stime
            known = cpu + _cpu_of(case.server.process.pid) - served + time.process_time() - own
            other = max(0.0, _busy() - busy - known) / (ended - began)
        if status:
            said = log.read_text(errors="replace").strip()[-2000:]
            raise RunError(f"{name} failed with exit code {status}: {said or 'it said nothing'}")
        time.sleep(_PAUSE)  # nginx logs a request after its last byte
        requests = case.server.new_requests()
        if way.writes:
            check_sizes(case)
        first = min((request.arrived for request in requests), default=began)
        received = sum(request.size for request in requests)
        written = usage.ru_oublock * 512
        return Run(
            name, ended - began, ended - first, cpu, resident, written, len(requests), received, other
        )  # fmt: skip
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
        before = _busy()
        time.sleep(1.0)
        if _busy() - before <= most:
            return True
    return False


def _environment(case: Case, way: Way) -> dict[str, str]:
    own = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(case.scratch), "TMPDIR": str(case.scratch)}
    rclone = {"RCLONE_S3_ENDPOINT": case.server.endpoint_url}
    return own | case.server.environment | rclone | dict(way.environment)


def _await_end(process: subprocess.Popen[bytes]) -> tuple[int, int, os.resource.struct_rusage]:  # type: ignore[name-defined]
    """Peak memory, exit code and resources of a child.

    The kernel's own `ru_maxrss` starts at the size of the process that forked, so it is not used here.
    """
    resident = 0
    try:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return resident, process.returncode, usage
            resident = max(resident, _resident(process.pid))
            time.sleep(_PAUSE)
    except BaseException:
        for pid in reversed(tree(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        process.wait()
        raise
