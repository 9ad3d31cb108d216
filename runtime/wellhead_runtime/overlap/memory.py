"""How much memory a container needs where the weights arrive in shared memory. Pure.

The shards stay in memory until the engine is ready, and cannot be reclaimed: to the kernel they are `shmem` of the
container. On an accelerator they are the only copy in the container's memory; a CPU engine has its parameters beside.
"""

from __future__ import annotations

from collections.abc import Mapping

from wellhead_runtime.arguments import EngineArguments
from wellhead_runtime.machine import Machine
from wellhead_storage.plan import Weights

_GIB = 2**30
# Of vLLM 0.32's CPU build, three processes and what they repack: 2.1 and 2.7 GiB with 2 and 6 GiB of weights; each
# further rank 0.6 (measured without a limit). Of CUDA builds it is an estimate, with room for each rank's context.
_PROCESSES = {"cpu": 3 * _GIB, "cuda": 3 * _GIB}
_EACH_RANK = {"cpu": _GIB, "cuda": 2 * _GIB}
_CACHE_VARIABLE, _CACHE_OPTION = "VLLM_CPU_KVCACHE_SPACE", "--kv-cache-memory-bytes"


def memory_needed(
    weights: Weights, machine: Machine, arguments: EngineArguments, environment: Mapping[str, str]
) -> int:
    """Bytes that the container needs at the worst moment, shortly before the engine is ready."""
    replicas = arguments.replicas
    more = arguments.tensor_parallel * replicas - 1
    needed = weights.total_bytes + _PROCESSES[machine.engine] + more * _EACH_RANK[machine.engine]
    if machine.engine == "cpu":
        needed += replicas * (weights.total_bytes + (cache_bytes(arguments, environment) or 0))
    return needed


def cache_bytes(arguments: EngineArguments, environment: Mapping[str, str]) -> int | None:
    """What the CPU engine will take for its KV cache, where the user says so in a way that can be read."""
    space, given = environment.get(_CACHE_VARIABLE, ""), arguments.value(_CACHE_OPTION)
    if space.isdecimal():  # vLLM lets the variable win (platforms/cpu.py)
        return int(space) * _GIB
    return int(given) if given and given.isdecimal() else None
