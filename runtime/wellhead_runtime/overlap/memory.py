"""How much memory a container needs where the weights arrive in shared memory, and when it may go. Pure.

The shards cannot be reclaimed: to the kernel they are `shmem` of the container. On an accelerator they are the only
copy in the container's memory; a CPU engine has its parameters beside.
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
# Of vLLM 0.32's `engine/arg_utils.py`: --speculative-config (-sc), --spec-model and the like.
_SECOND_READERS = ("--spec", "-sc", "--config")
_CACHE_VARIABLE, _CACHE_OPTION = "VLLM_CPU_KVCACHE_SPACE", "--kv-cache-memory-bytes"


def memory_needed(
    weights: Weights, machine: Machine, arguments: EngineArguments, environment: Mapping[str, str]
) -> int:
    """Bytes that the container needs at the worst moment.

    Shards that are read once go while the engine loads, but not where a model keeps its tensors until all are there
    (`list(weights)`, in eight of vLLM's model files), so they count like the others.
    """
    replicas = arguments.replicas
    more = arguments.tensor_parallel * replicas - 1
    needed = weights.total_bytes + _PROCESSES[machine.engine] + more * _EACH_RANK[machine.engine]
    if machine.engine == "cpu":
        needed += replicas * (weights.total_bytes + (cache_bytes(arguments, environment) or 0))
    return needed


def read_once(arguments: EngineArguments) -> bool:
    """Whether exactly one process will read the shards, and each of them once, so that they need not stay after that.

    Not with several ranks, which read at their own pace, nor with speculative decoding, whose draft model may lie in
    the same shards (`config/speculative.py`), nor where a file may say any of that.
    """
    ranks = arguments.tensor_parallel * arguments.replicas
    return ranks == 1 and not any(token.startswith(_SECOND_READERS) for token in arguments.rest)


def cache_bytes(arguments: EngineArguments, environment: Mapping[str, str]) -> int | None:
    """What the CPU engine will take for its KV cache, where the user says so in a way that can be read."""
    space, given = environment.get(_CACHE_VARIABLE, ""), arguments.value(_CACHE_OPTION)
    if space.isdecimal():  # vLLM lets the variable win (platforms/cpu.py)
        return int(space) * _GIB
    return int(given) if given and given.isdecimal() else None
