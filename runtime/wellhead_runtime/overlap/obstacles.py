"""What speaks against loading from shared memory while the engine starts. Pure; every obstacle is a clause in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wellhead_runtime.arguments import EngineArguments
from wellhead_runtime.machine import Machine
from wellhead_runtime.overlap.memory import cache_bytes, memory_needed
from wellhead_storage.files import in_gib
from wellhead_storage.plan import Plan

_KNOWN_ENGINES = ("0.32.",)
"""Versions of vLLM whose `default_loader.py` the loader was written and tested against."""

_EXTRA_KEYS = {"enable_weights_track"}
# Option, and why the weights of a service that has it should come through the streamer.
_OPTIONS = {
    "--headless": "--headless has no server that says when the engine is ready and the memory can go",
    "--uvicorn-log-level": "--uvicorn-log-level may hide when the engine is ready and the memory can go",
    "--log-config-file": "--log-config-file may hide when the engine is ready and the memory can go",
    "--enable-sleep-mode": "--enable-sleep-mode may want the weights a second time",
    "--enable-elastic-ep": "--enable-elastic-ep may want the weights a second time",
    "--safetensors-load-strategy": "--safetensors-load-strategy is for vLLM's own reading of files",
}
# Of services on several nodes. Ranks that stream share the work through collectives, so if one node's loaded in another
# way, the others would wait for them for ever; and workers without a server cannot overlap.
_SEVERAL_NODES = (
    "--nnodes",
    "--node-rank",
    "--data-parallel-address",
    "--data-parallel-start-rank",
    "--data-parallel-rank",
    "--data-parallel-hybrid-lb",
    "--data-parallel-external-lb",
)
_EXECUTORS = {None, "mp", "uni"}  # others start workers elsewhere, where this container's memory is not


def obstacles(plan: Plan, arguments: EngineArguments, machine: Machine, environment: Mapping[str, str]) -> list[str]:
    """Everything that can be known without looking at the container.

    Args:
        plan: in mode `stream`.
        arguments: the user's.
        machine: what the container may use, and which engine is installed.
        environment: the user's.
    """
    return [
        *_of_engine(machine),
        *_of_arguments(arguments),
        *_of_memory(plan, arguments, machine, environment),
        *([] if plan.connection else ["the load plan does not say how to reach the store"]),
    ]


def _of_engine(machine: Machine) -> Iterator[str]:
    version = machine.engine_version
    if not version:
        yield "no vLLM is installed here"
    elif not version.startswith(_KNOWN_ENGINES):
        yield f"it is not tested with vLLM {version}, only with {', '.join(f'{known}x' for known in _KNOWN_ENGINES)}"


def _of_arguments(arguments: EngineArguments) -> Iterator[str]:
    for option, reason in _OPTIONS.items():
        if arguments.has(option):
            yield reason
    if spread := [option for option in _SEVERAL_NODES if arguments.has(option)]:
        yield f"{spread[0]} says that the service spans nodes, which have to load in one way, and not all can"
    stages = arguments.value("--pipeline-parallel-size") or "1"
    if stages != "1":
        yield f"with {stages} pipeline stages each would fetch the layers of all"
    executor = arguments.value("--distributed-executor-backend")
    if executor not in _EXECUTORS:
        yield f"--distributed-executor-backend {executor} starts workers that do not see this container's memory"
    if arguments.value("--data-parallel-backend") == "ray":
        yield "--data-parallel-backend ray starts engines that do not see this container's memory"
    if arguments.value("--quantization") == "torchao":
        yield "torchao's tensors span shards"
    if unknown := sorted(set(arguments.extra_config) - _EXTRA_KEYS):
        yield f"--model-loader-extra-config has {', '.join(unknown)}, which another loader reads"


def _of_memory(
    plan: Plan, arguments: EngineArguments, machine: Machine, environment: Mapping[str, str]
) -> Iterator[str]:
    if machine.engine == "cpu" and cache_bytes(arguments, environment) is None:
        # It takes a share of what it finds free, and finds less (v1/worker/cpu_worker.py).
        yield "the CPU engine would size its KV cache by the memory that is free (VLLM_CPU_KVCACHE_SPACE is not set)"
    needed = memory_needed(plan.weights, machine, arguments, environment)
    if needed > machine.available:
        yield (
            f"weights in shared memory beside the engine need about {in_gib(needed)}, and "
            f"{in_gib(machine.available)} are available"
        )
