"""What speaks against loading while the engine starts: each in words, and nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.builders import CPU, CUDA, GIB, WEIGHTS, make_plan
from wellhead_runtime.arguments import parse_arguments
from wellhead_runtime.machine import Machine
from wellhead_runtime.overlap.memory import memory_needed, read_once
from wellhead_runtime.overlap.obstacles import obstacles
from wellhead_storage.plan import Plan

CACHE = {"VLLM_CPU_KVCACHE_SPACE": "4"}


def found(
    *argv: str, plan: Plan | None = None, machine: Machine = CUDA, environment: dict[str, str] | None = None
) -> list[str]:
    return obstacles(plan or make_plan(), parse_arguments(["/mnt/models", *argv]), machine, environment or {})


@pytest.mark.parametrize(
    "argv", [[], ["-tp", "1"], ["--served-model-name", "spec"], ["--tensor-parallel-size=1", "--data-parallel-size=1"]]
)
def test_one_rank_reads_the_shards_once(argv: list[str]) -> None:
    assert read_once(parse_arguments(["/mnt/models", *argv]))


@pytest.mark.parametrize(
    "argv",
    [
        ["-tp", "2"],
        ["--data_parallel_size=2"],
        ["--speculative-config", '{"method": "mtp", "num_speculative_tokens": 1}'],
        ["--speculative_config.method=mtp"],
        ["-sc", "{}"],
        ["--spec-method", "mtp"],
        ["--config", "vllm.yaml"],
    ],
)
def test_several_ranks_or_passes_read_them_more_often(argv: list[str]) -> None:
    assert not read_once(parse_arguments(["/mnt/models", *argv]))


def sized(gib: int) -> Plan:
    return make_plan(weights=WEIGHTS.model_copy(update={"total_bytes": gib * GIB}))


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--tensor-parallel-size=4", "--port=8080", "--served-model-name", "a", "b"],
        ["--pipeline-parallel-size", "1", "--distributed-executor-backend=mp"],
        ["--speculative-config", '{"method": "mtp", "num_speculative_tokens": 1}'],  # all bytes stay until it is ready
        ["--data-parallel-size=2", "--enable-expert-parallel", "--enable-ep-weight-filter"],
        ["--quantization=fp8", "--enable-lora", "--model-loader-extra-config", '{"enable_weights_track": true}'],
    ],
)
def test_nothing_speaks_against_it(argv: list[str]) -> None:
    assert found(*argv) == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--headless"], "no server that says when the engine is ready"),
        (["--uvicorn-log-level=warning"], "may hide when the engine is ready"),
        (["--enable-sleep-mode"], "want the weights a second time"),
        (["--enable_elastic_ep"], "want the weights a second time"),
        (["--safetensors-load-strategy", "eager"], "vLLM's own reading of files"),
        (["--nnodes=2", "--node-rank=0"], "--nnodes says that the service spans nodes"),
        (["--data-parallel-address=10.0.0.1"], "spans nodes"),
        (["-pp", "2"], "2 pipeline stages"),
        (["--pipeline_parallel_size=4"], "4 pipeline stages"),
        (["--distributed-executor-backend", "ray"], "backend ray starts workers"),
        (["-dpb", "ray"], "backend ray starts engines"),
        (["-q", "torchao"], "torchao"),
        (["--model-loader-extra-config.concurrency=4"], "has concurrency, which another loader reads"),
    ],
)
def test_arguments_that_speak_against_it(argv: list[str], words: str) -> None:
    [obstacle] = found(*argv)
    assert words in obstacle


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("", "no vLLM is installed here"),
        ("0.31.2", "not tested with vLLM 0.31.2, only with 0.32.x"),
        ("0.33.0", "0.33.0"),
        ("1.0", "1.0"),
    ],
)
def test_engines_that_it_is_not_tested_with(version: str, words: str) -> None:
    [obstacle] = found(machine=replace(CUDA, engine_version=version))
    assert words in obstacle


@pytest.mark.parametrize("version", ["0.32.0", "0.32.1", "0.32.0+cpu", "0.32.1rc1"])
def test_engines_that_it_is_tested_with(version: str) -> None:
    assert found(machine=replace(CUDA, engine_version=version)) == []


def test_a_plan_that_does_not_name_its_store() -> None:
    assert found(plan=make_plan(connection=None)) == ["the load plan does not say how to reach the store"]


# Memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "argv", "gib"),
    [
        (CUDA, [], 20 + 3),
        (CUDA, ["-tp", "4"], 20 + 3 + 3 * 2),
        (CUDA, ["-tp=2", "-dp=2"], 20 + 3 + 3 * 2),
        (CUDA, ["-dp=16", "--data-parallel-size-local=1"], 20 + 3),
        (CPU, [], 2 * 20 + 3 + 4),
        (CPU, ["-tp", "2"], 2 * 20 + 3 + 1 + 4),
        (CPU, ["-dp", "2"], 3 * 20 + 3 + 1 + 2 * 4),
    ],
)
def test_the_memory_that_is_needed(machine: Machine, argv: list[str], gib: int) -> None:
    """On a GPU the shards are the only copy in the container's memory; a CPU engine has its parameters beside them."""
    arguments = parse_arguments(["/mnt/models", *argv])
    assert memory_needed(sized(20).weights, machine, arguments, CACHE) == gib * GIB


@pytest.mark.parametrize(("available", "fits"), [(23 * GIB, True), (23 * GIB - 1, False)])
def test_what_does_not_fit_is_refused_beforehand(available: int, fits: bool) -> None:
    machine = replace(CUDA, available=available)
    expected = "weights in shared memory beside the engine need about 23.0 GiB, and 23.0 GiB are available"
    assert found(plan=sized(20), machine=machine) == ([] if fits else [expected])


def test_a_cpu_engine_that_takes_what_is_free_would_find_less() -> None:
    [obstacle] = found(machine=CPU)
    assert "VLLM_CPU_KVCACHE_SPACE is not set" in obstacle
    assert found(machine=CPU, environment=CACHE) == []
    assert found("--kv-cache-memory-bytes=1073741824", machine=CPU) == []
    assert found(machine=CUDA) == []
