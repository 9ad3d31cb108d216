"""Plan and machine → the engine's environment. Pure; what the user set stays as it is.

Where a number comes from is said beside it; measurements are in the reference notes of `docs/architecture.md`.
"""

from __future__ import annotations

from collections.abc import Mapping

from wellhead_runtime.machine import Machine
from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.files import in_gib
from wellhead_storage.plan import Weights

# More clients than cores cost throughput (530, 330 and 270 MiB/s with 2, 8 and 32 on two cores), and one client
# aims at 10 Gbit/s by itself.
_MOST_CLIENTS = 16
# A bounded ring is as fast as a large one (0.17 gains 1.5 % beyond four buffers) and leaves memory to the engine.
_LARGEST_BUFFER = 4 * 2**30
_SHARE_OF_MEMORY = 8
_ENGINE_READY_SECONDS = 3600  # vLLM gives up after 600 otherwise, which a large model on a slow link exceeds


def streamer_environment(
    weights: Weights | None,
    machine: Machine,
    ranks: int,
    environment: Mapping[str, str],
    *,
    distributed: bool,
) -> dict[str, str]:
    """Variables for the Run:ai streamer.

    Args:
        weights: from the plan; None for a directory that has none.
        machine: what the container may use.
        ranks: processes on this machine that load at the same time.
        environment: the user's, asked for settings that change the machine's usable cores.
        distributed: the streamer divides one memory limit among the ranks.

    Raises:
        InvalidConfiguration: the largest tensor does not fit into the container's memory.
    """
    cores = machine.loading_cores(environment)
    # Google's plug-in reads the first of them too, as a limit for a whole request, and has a good one of its own.
    patience = {
        # A low-speed window, not a first-byte time-out; at the default of 1 s balancers close large reads (run-ai#154).
        "RUNAI_STREAMER_S3_REQUEST_TIMEOUT_MS": "10000",
        # Off by default: without it one burst of 503 ends the load after 5.5 s.
        "RUNAI_STREAMER_S3_TIMEOUT": "60",
    }
    return {
        "RUNAI_STREAMER_CONCURRENCY": str(max(1, min(_MOST_CLIENTS, cores // ranks))),
        "RUNAI_STREAMER_MEMORY_LIMIT": str(_buffer(weights, machine, ranks) * (ranks if distributed else 1)),
        **(patience if weights is None or not weights.uri.startswith(("gs://", "az://")) else {}),
        # Causes of failures (http_status=…) and the speed reached are written nowhere else.
        "RUNAI_STREAMER_LOG_TO_STDERR": "1",
        "RUNAI_STREAMER_LOG_LEVEL": "INFO",
    }


def engine_environment(
    environment: Mapping[str, str], *, home_writable: bool, scratch: str, cache_writable: bool = True
) -> dict[str, str]:
    """Variables that every start of vLLM wants, whatever the way of loading.

    Args:
        environment: the user's.
        home_writable: whether HOME exists and can be written (OpenShift gives a random user none).
        scratch: a folder that can be written.
        cache_writable: whether WELLHEAD_CACHE_DIR can be written.
    """
    variables = {"VLLM_ENGINE_READY_TIMEOUT_S": str(_ENGINE_READY_SECONDS)}
    if not home_writable:
        variables["HOME"] = scratch
    if cache := environment.get("WELLHEAD_CACHE_DIR", "").strip().rstrip("/"):
        variables["VLLM_CACHE_ROOT"] = f"{scratch}/vllm"  # a copy (`faststart.compile_cache`)
        if cache_writable:
            variables |= {"TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor", "TRITON_CACHE_DIR": f"{cache}/triton"}
    return variables


def _buffer(weights: Weights | None, machine: Machine, ranks: int) -> int:
    """Bytes of buffer for one rank: at least the largest tensor, at most a share of the container's memory."""
    share = min(_LARGEST_BUFFER, machine.memory // _SHARE_OF_MEMORY // ranks)
    if weights is None or not weights.largest_tensor_bytes:
        return share
    if weights.largest_tensor_bytes > machine.memory:
        raise InvalidConfiguration(
            f"The largest tensor has {in_gib(weights.largest_tensor_bytes)} and this container may use "
            f"{in_gib(machine.memory)} of memory.",
            "Raise resources.limits.memory.",
        )
    return min(max(share, weights.largest_tensor_bytes), max(weights.total_bytes, weights.largest_tensor_bytes))
