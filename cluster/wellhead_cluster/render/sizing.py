"""Load plan → memory, CPUs, disk and time for the model server's container. Pure.

On the safe side, because a container that exceeds its memory is killed without a word. What is measured was measured
on vLLM's CPU build (0.32, streamer 0.17, two cores, a model of 2,014 MiB); no figure for GPUs is, so those are
allowances. `docs/render.md` has the whole table.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from wellhead_runtime.arguments import EngineArguments
from wellhead_runtime.machine import Machine
from wellhead_runtime.tuning import streamer_environment
from wellhead_storage.files import in_gib
from wellhead_storage.plan import Weights

GIB = 2**30
# Front end and engine core. Measured: 1.9 GiB for all processes of an engine that waits for its first weight.
_ENGINE = 4 * GIB
# A worker on a GPU: CUDA's context and libraries, pinned memory. An allowance.
_WORKER = 4 * GIB
# What 16 clients of the streamer, its default at most, held besides model and torch. Measured: 2.2 GiB.
_CLIENTS = 5 * GIB // 2
# /dev/shm is memory of the pod: queues between processes, NCCL. Measured without NCCL: 8 MiB.
_SHARED = GIB
# Parameters beside their repacked copies. Measured: 5.0 GiB for a whole engine with 2.0 GiB of weights.
_CPU_COPIES = 2
_CPU_KV_CACHE = 4 * GIB  # VLLM_CPU_KVCACHE_SPACE of the runtime wellhead-vllm-cpu
_LIMIT_PERCENT = 150
# Compile caches, temporary files and logs, which lie on the node's disk. An allowance.
_SCRATCH = 4 * GIB
_LEAST_CPUS = 4  # the runtimes' own request
_START_SECONDS = 600  # everything but the weights: imports, compilation, CUDA graphs
_SLOWEST = 100 * 2**20  # bytes a second: a link of 1 Gbit/s, which gave 111 MiB/s, or a slow disk
WINDOW_SECONDS = 3600
"""How long the runtimes' startup probes wait, and vLLM's front end for its engine (`wellhead_runtime/tuning.py`)."""
PROBE_SECONDS = 2
"""Between two of those probes."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a model's load plan says about size.

    Attributes:
        weights: from the plan.
        weight_bytes: bytes of the weights.
        disk_bytes: bytes that the init container writes into the model folder.
        streamed: the Run:ai streamer brings the weights, from the store or from the folder.
    """

    weights: Weights
    weight_bytes: int
    disk_bytes: int
    streamed: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the manifest.

    Attributes:
        name: of the resource or field.
        value: as it stands there.
        why: what it is made of.
    """

    name: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """Resources of the server's container, and its patience.

    Attributes:
        requests: resource → quantity.
        limits: the same, GPUs not among them.
        start_seconds: to wait for the start, where that is more than the runtimes wait anyway; else None.
        figures: every number with its reason.
    """

    requests: dict[str, str]
    limits: dict[str, str]
    start_seconds: int | None
    figures: tuple[Figure, ...]


def size(load: Load, arguments: EngineArguments, gpus: int) -> Sizes:
    """Size the container.

    Args:
        load: the model.
        arguments: vLLM's, for options that ask for memory of the host.
        gpus: of the pod; 0 for vLLM's CPU build.
    """
    parts = _memory(load, arguments, gpus)
    memory = _gib_up(sum(parts.values()))
    limit = _gib_up(memory * GIB * _LIMIT_PERCENT // 100)
    cpus = max(_LEAST_CPUS, 2 + 2 * gpus)
    disk = _gib_up(load.disk_bytes + _SCRATCH)
    start = _START_SECONDS + load.weight_bytes // _SLOWEST
    longer = -(-start // 600) * 600 if start > WINDOW_SECONDS else None
    brought = "streamed, so only config and tokenizer" if load.disk_bytes < load.weight_bytes else "the whole model"
    waits = longer or WINDOW_SECONDS
    figures = (
        Figure("requests.cpu", str(cpus), "front end, engine core, two for each GPU; no limit, starts need CPU"),
        Figure("requests.memory", f"{memory}Gi", " + ".join(f"{what} {in_gib(part)}" for what, part in parts.items())),
        Figure(
            "limits.memory", f"{limit}Gi", "half as much again; the page cache takes what is left and gives it back"
        ),
        Figure(
            "requests.ephemeral-storage",
            f"{disk}Gi",
            f"model folder {in_gib(load.disk_bytes)} ({brought}) + caches, temporary files and logs {in_gib(_SCRATCH)}",
        ),
        Figure(
            "start",
            f"{waits} s",
            f"{_START_SECONDS} s + {in_gib(load.weight_bytes)} at {_SLOWEST // 2**20} MiB/s make {start} s"
            + ("" if longer else "; the runtime waits that long anyway"),
        ),
    )
    return Sizes(
        requests={"cpu": str(cpus), "memory": f"{memory}Gi", "ephemeral-storage": f"{disk}Gi"},
        limits={"memory": f"{limit}Gi"},
        start_seconds=longer,
        figures=figures,
    )


def _memory(load: Load, arguments: EngineArguments, gpus: int) -> dict[str, int]:
    """What needs memory of the host → bytes. Files that are read through the page cache do not: it gives way."""
    workers = max(1, gpus)
    # A tensor on its way: the loader's copy, and vLLM's clone of it. Formats without headers are read file by file.
    tensor = load.weights.largest_tensor_bytes or max((file.size for file in load.weights.files), default=0)
    parts = {"engine": _ENGINE}
    if gpus:
        parts[f"{gpus} GPU worker(s)"] = gpus * _WORKER
    else:
        parts[f"weights x {_CPU_COPIES}"] = _CPU_COPIES * load.weight_bytes
        parts["KV cache"] = _CPU_KV_CACHE
    if load.streamed:
        parts["streamer's buffers"] = workers * _buffer(load, arguments)
        parts["its clients"] = workers * _CLIENTS
    parts["tensors on their way"] = workers * 2 * tensor
    parts["shared memory"] = workers * _SHARED
    # vLLM 0.32, config/offload.py and config/cache.py: GiB per GPU, and GiB of all ranks together.
    if offloaded := _gib(arguments, "--cpu-offload-gb"):
        parts["--cpu-offload-gb"] = int(workers * offloaded * GIB)
    if offloaded := _gib(arguments, "--kv-offloading-size"):
        parts["--kv-offloading-size"] = int(offloaded * GIB)
    return parts


def _buffer(load: Load, arguments: EngineArguments) -> int:
    """What the streamer's ring may take for one worker: the user's limit, or what `serve` gives on a large machine."""
    asked = arguments.extra_config.get("memory_limit")
    if isinstance(asked, int):
        return load.weight_bytes if asked < 0 else max(asked, load.weights.largest_tensor_bytes)
    large = Machine(cpus=1, memory=sys.maxsize, available=sys.maxsize, engine="cuda", engine_version="")
    variables = streamer_environment(load.weights, large, 1, {}, distributed=False)
    return int(variables["RUNAI_STREAMER_MEMORY_LIMIT"])


def _gib(arguments: EngineArguments, option: str) -> float:
    try:
        return max(0.0, float(arguments.value(option) or 0))
    except ValueError:
        return 0.0  # vLLM will say what is wrong with it


def _gib_up(count: int) -> int:
    return -(-count // GIB)
