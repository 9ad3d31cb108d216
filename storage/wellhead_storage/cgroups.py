"""What the container's control groups (version 1 and 2) say. Reads only."""

from __future__ import annotations

import math
import os
from pathlib import Path


def cgroup_folders(root: Path = Path("/")) -> list[Path]:
    """This process's cgroup folders and all above them, version 1 (memory, cpu) and 2.

    In a container with its own cgroup namespace the path is `/` and the mount shows the container's own limits;
    without one the limits are further down, so every level counts.
    """
    mount = root / "sys/fs/cgroup"
    folders: list[Path] = []
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        tops = [mount / name for name in controllers.split(",")] + ([mount / controllers] if controllers else [mount])
        for top in tops:
            here = top / path.lstrip("/")
            while here.is_relative_to(top):
                if here.is_dir() and here not in folders:
                    folders.append(here)
                here = here.parent
    return folders


def memory_limit(root: Path = Path("/")) -> int | None:
    """The tightest memory limit in bytes, or None where there is none."""
    limits = [limit for folder in cgroup_folders(root) if (limit := _limit(folder)) is not None]
    return min(limits, default=None)


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: its affinity, and the tightest quota, rounded up; at least 1."""
    quotas = (_cpu_quota(folder) for folder in cgroup_folders(root))
    return max(1, min([len(os.sched_getaffinity(0)), *(quota for quota in quotas if quota)]))


def _cpu_quota(folder: Path) -> int | None:
    quota, _, period = read_text(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = read_text(folder / "cpu.cfs_quota_us"), read_text(folder / "cpu.cfs_period_us")
    if quota.isdecimal() and period.isdecimal() and int(period):
        return max(1, math.ceil(int(quota) / int(period)))
    return None


def _limit(folder: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = read_text(folder / name)
        if text.isdecimal():
            return int(text)
    return None


def read_text(path: Path) -> str:
    """The text of a small file without blanks around it; empty where it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
