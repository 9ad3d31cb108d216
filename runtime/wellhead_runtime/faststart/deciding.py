"""Whether the engine may start from a fork server. Pure.

It changes how vLLM starts its processes, so it is for what was tried with it and for nothing else: vLLM's CPU build
0.32 on x86-64, one engine core, any number of workers on this machine. Not tried: `--numa-bind` (hands processes to
another executable), Ray, data parallelism, several API servers, headless workers, several nodes, connectors for KV
transfer.

vLLM's CUDA build 0.32 was tried on one H200 with one GPU (20 s instead of 43, the same log-probabilities, no context of
the fork server's on the device), but not in vLLM's own image, whose optional packages do more at import. So there it
has to be asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from platform import machine
from typing import Literal

from wellhead_runtime.arguments import EngineArguments
from wellhead_storage.errors import InvalidConfiguration

VERSIONS = ("0.32.",)
_OTHER_DEVICES = ("rocm", "xpu", "tpu", "hpu")  # such a build is no CPU build either, and says what it is behind a "+"
_RANKS = ("--tensor-parallel-size", "--pipeline-parallel-size")
_PROCESSORS = ("x86_64",)
# 3.14 gives the server a key of its own (`multiprocessing/forkserver.py`).
_PYTHONS = ((3, 11), (3, 13))
# Options and the values with which they change nothing.
_OPTIONS = {
    "--api-server-count": ("1",),
    "-asc": ("1",),
    "--config": (),
    "--data-parallel-size": ("1",),
    "--distributed-executor-backend": ("mp",),
    "--enable-elastic-ep": (),
    "--grpc": (),
    "--headless": (),
    "--kv-transfer-config": (),
    "--nnodes": ("1",),
    "-n": ("1",),
    "--node-rank": ("0",),
    "-r": ("0",),
    "--numa-bind": (),
    "--worker-cls": (),
    "--worker-extension-cls": (),
}
_DATA_PARALLEL = ("--data-parallel", "--data_parallel", "-dp")
# Variables and the values with which they change nothing. OpenMP reads its own when it is loaded, here: too early.
_VARIABLES = {
    "VLLM_WORKER_MULTIPROC_METHOD": (),
    "VLLM_ENABLE_V1_MULTIPROCESSING": ("1",),
    "VLLM_USE_RUST_FRONTEND": ("0",),
    "GOMP_CPU_AFFINITY": (),
    "OMP_PLACES": (),
    "OMP_PROC_BIND": (),
    "KMP_AFFINITY": (),
}


def wants_fork_server(
    setting: Literal["auto", "on", "off"],
    engine: tuple[str, str],
    arguments: EngineArguments,
    environment: Mapping[str, str],
) -> tuple[bool, str]:
    """The decision, and why.

    Args:
        setting: WELLHEAD_FAST_START.
        engine: build and version of vLLM.
        arguments: the user's.
        environment: the engine's.

    Raises:
        InvalidConfiguration: it is demanded, and something speaks against it. Not tried is not allowed: what goes wrong
            there may be a hang.
    """
    if setting == "off":
        return False, "WELLHEAD_FAST_START=off"
    reason = _obstacle(engine, arguments, environment)
    if not reason and setting == "auto" and engine[0] == "cuda":
        return False, "with CUDA only where it is asked for: WELLHEAD_FAST_START=on"
    if reason and setting == "on":
        raise InvalidConfiguration(
            f"WELLHEAD_FAST_START=on, but {reason}, with which a fast start was never tried.",
            "Set WELLHEAD_FAST_START=auto, which starts vLLM as it always starts where that is so.",
        )
    return not reason, reason or "everything is as it was tried"


def _obstacle(engine: tuple[str, str], arguments: EngineArguments, environment: Mapping[str, str]) -> str:
    if reason := _obstacle_here(*engine):
        return reason
    if engine[0] == "cuda" and (several := [option for option in _RANKS if arguments.count(option) > 1]):
        return f"{several[0]} is above 1 with CUDA"
    for option, harmless in _OPTIONS.items():
        if arguments.has(option) and arguments.value(option) not in harmless:
            return f"{option} is given"
    for token in arguments.rest:
        name = token.partition("=")[0]
        if name.startswith(_DATA_PARALLEL) and name not in {"--data-parallel-size", "--data_parallel_size", "-dp"}:
            return f"{name} is given"
    for variable, unchanged in _VARIABLES.items():
        if environment.get(variable) and environment[variable] not in unchanged:
            return f"{variable} is set"
    if "omp" in environment.get("LD_PRELOAD", ""):
        return "LD_PRELOAD names an OpenMP library"
    return ""


def _obstacle_here(build: str, version: str) -> str:
    if not version.startswith(VERSIONS) or any(device in version for device in _OTHER_DEVICES):
        return f"vLLM's build is {build} {version}".rstrip()
    if sys.platform != "linux" or machine() not in _PROCESSORS:
        return f"the machine is {sys.platform} on {machine()}"
    if not _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]:
        return f"Python is {sys.version_info.major}.{sys.version_info.minor}"
    return ""
