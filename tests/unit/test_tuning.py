"""From machine and plan to the engine's environment."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import CPU, CUDA, GIB, WEIGHTS
from wellhead_runtime.machine import Machine
from wellhead_runtime.tuning import engine_environment, streamer_environment
from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.plan import Weights


def weights(largest: int, total: int) -> Weights:
    return WEIGHTS.model_copy(update={"largest_tensor_bytes": largest, "total_bytes": total})


def tuned(
    found: Weights | None = None, machine: Machine = CUDA, ranks: int = 1, *, distributed: bool = False
) -> dict[str, str]:
    return streamer_environment(found, machine, ranks, {}, distributed=distributed)


@pytest.mark.parametrize(
    ("cpus", "ranks", "clients"), [(1, 1, "1"), (8, 1, "8"), (64, 1, "16"), (8, 4, "2"), (2, 4, "1"), (128, 4, "16")]
)
def test_concurrency_follows_the_cores(cpus: int, ranks: int, clients: str) -> None:
    assert tuned(machine=replace(CUDA, cpus=cpus), ranks=ranks)["RUNAI_STREAMER_CONCURRENCY"] == clients


@pytest.mark.parametrize(("binding", "clients"), [(None, "1"), ("auto", "1"), ("0-3", "1"), ("nobind", "8")])
def test_vllms_cpu_worker_loads_on_one_core(binding: str | None, clients: str) -> None:
    environment = {"VLLM_CPU_OMP_THREADS_BIND": binding} if binding else {}
    found = streamer_environment(None, CPU, 1, environment, distributed=False)
    assert found["RUNAI_STREAMER_CONCURRENCY"] == clients


BUFFERS: dict[str, tuple[Weights | None, int, int, int]] = {
    # weights, memory, ranks → bytes
    "unknown weights on a large machine": (None, 64 * GIB, 1, 4 * GIB),
    "unknown weights on a small one": (None, 8 * GIB, 1, GIB),
    "a small model needs no more than itself": (weights(GIB // 4, GIB // 2), 64 * GIB, 1, GIB // 2),
    "a large model": (weights(GIB, 100 * GIB), 64 * GIB, 1, 4 * GIB),
    "a tensor larger than the share": (weights(3 * GIB, 100 * GIB), 8 * GIB, 1, 3 * GIB),
    "a tensor as large as the memory": (weights(8 * GIB, 100 * GIB), 8 * GIB, 1, 8 * GIB),
    "ranks share the memory": (weights(GIB // 4, 100 * GIB), 64 * GIB, 4, 2 * GIB),
    "a plan without headers": (weights(0, 100 * GIB), 64 * GIB, 1, 4 * GIB),
}


@pytest.mark.parametrize("case", BUFFERS)
def test_the_buffer(case: str) -> None:
    found, memory, ranks, expected = BUFFERS[case]
    machine = replace(CUDA, memory=memory)
    assert tuned(found, machine, ranks)["RUNAI_STREAMER_MEMORY_LIMIT"] == str(expected)
    assert tuned(found, machine, ranks, distributed=True)["RUNAI_STREAMER_MEMORY_LIMIT"] == str(expected * ranks)


@given(
    st.integers(1, 100 * GIB),
    st.integers(0, 1000 * GIB),
    st.integers(GIB, 2000 * GIB),
    st.integers(1, 16),
    st.integers(1, 256),
    st.booleans(),
)
def test_the_buffer_holds_the_largest_tensor_and_leaves_memory(
    largest: int, more: int, memory: int, ranks: int, cpus: int, distributed: bool
) -> None:
    machine = replace(CUDA, memory=memory, cpus=cpus)
    try:
        found = tuned(weights(largest, largest + more), machine, ranks, distributed=distributed)
    except InvalidConfiguration:
        assert largest > memory
        return
    limit = int(found["RUNAI_STREAMER_MEMORY_LIMIT"]) // (ranks if distributed else 1)
    assert limit >= largest, "RunaiStreamerMemoryLimitException otherwise"
    assert limit <= max(largest, memory // 8)
    assert 1 <= int(found["RUNAI_STREAMER_CONCURRENCY"]) <= 16


def test_a_tensor_that_no_memory_holds() -> None:
    with pytest.raises(InvalidConfiguration, match=r"largest tensor has 9\.0 GiB and .* may use 8\.0 GiB") as caught:
        tuned(weights(9 * GIB, 9 * GIB), replace(CUDA, memory=8 * GIB))
    assert caught.value.hint == "Raise resources.limits.memory."


def test_patience_and_a_voice() -> None:
    found = tuned()
    assert found["RUNAI_STREAMER_S3_REQUEST_TIMEOUT_MS"] == "10000"
    assert found["RUNAI_STREAMER_S3_TIMEOUT"] == "60"
    assert found["RUNAI_STREAMER_LOG_TO_STDERR"] == "1"
    assert found["RUNAI_STREAMER_LOG_LEVEL"] == "INFO"


# Every engine ----------------------------------------------------------------------------------------------------


def test_a_large_model_may_take_an_hour() -> None:
    assert engine_environment({}, home_writable=True, scratch="/tmp/x") == {"VLLM_ENGINE_READY_TIMEOUT_S": "3600"}


def test_a_random_user_gets_a_home() -> None:
    found = engine_environment({"HOME": "/"}, home_writable=False, scratch="/tmp/x")
    assert found["HOME"] == "/tmp/x"


@pytest.mark.parametrize("cache", ["/cache", "/cache/", " /cache "])
def test_compile_caches_go_to_the_volume(cache: str) -> None:
    given = {"WELLHEAD_CACHE_DIR": cache}
    found = engine_environment(given, home_writable=True, scratch="/tmp/x")
    assert found["VLLM_CACHE_ROOT"] == "/tmp/x/vllm", "vLLM's own is a copy"
    assert found["TORCHINDUCTOR_CACHE_DIR"] == "/cache/inductor"
    assert found["TRITON_CACHE_DIR"] == "/cache/triton"


def test_a_volume_that_cannot_be_written_is_read_only_through_the_copy() -> None:
    given = {"WELLHEAD_CACHE_DIR": "/cache"}
    found = engine_environment(given, home_writable=True, scratch="/tmp/x", cache_writable=False)
    assert found["VLLM_CACHE_ROOT"] == "/tmp/x/vllm"
    assert not any(value.startswith("/cache") for value in found.values())


def test_no_cache_without_a_volume() -> None:
    found = engine_environment({"WELLHEAD_CACHE_DIR": " "}, home_writable=True, scratch="/tmp/x")
    assert not any("CACHE" in name for name in found)
