"""Killing the engine's group: everything ends, and shared memory is tidied up."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from wellhead_runtime.process_group import kill_group

WITH_SHARED_MEMORY = """
from multiprocessing import shared_memory
import time
segment = shared_memory.SharedMemory(create=True, size=4096)
print(segment.name, flush=True)
time.sleep(60)
"""
WITH_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def start(code: str) -> tuple[subprocess.Popen[bytes], str]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    with process.stdout:
        return process, process.stdout.readline().decode().strip()


def wait_for_the_tracker_of(pid: int) -> None:
    """Until its exec is done nobody can tell the tracker from the process that it was forked from."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if any(
            b"resource_tracker" in Path(f"/proc/{child}/cmdline").read_bytes() for child in children.read_text().split()
        ):
            return
        time.sleep(0.01)
    raise AssertionError("no resource tracker")


def test_shared_memory_of_killed_processes_is_removed() -> None:
    process, name = start(WITH_SHARED_MEMORY)
    segment = Path("/dev/shm") / name.lstrip("/")
    assert segment.exists()
    wait_for_the_tracker_of(process.pid)
    kill_group(process.pid)
    assert process.wait(5) == -9
    assert not segment.exists()


def test_children_end_with_their_parent() -> None:
    process, child = start(WITH_A_CHILD)
    kill_group(process.pid)
    assert process.wait(5) == -9
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.timeout(10)
def test_a_group_that_is_gone_is_no_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    process.wait()
    kill_group(process.pid)
    assert process.returncode == 0
