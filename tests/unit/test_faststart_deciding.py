"""A fast start is for what it was tried with; what was not tried starts as ever, or is refused where it is demanded."""

from __future__ import annotations

import sys
from typing import Literal

import pytest

from wellhead_runtime.arguments import parse_arguments
from wellhead_runtime.faststart import deciding
from wellhead_runtime.faststart.deciding import wants_fork_server
from wellhead_storage.errors import InvalidConfiguration

TRIED = ("cpu", "0.32.0")
CUDA = ("cuda", "0.32.0")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one it was tried on, wherever the tests run."""
    monkeypatch.setattr(deciding, "machine", lambda: "x86_64")
    monkeypatch.setattr(deciding, "_PYTHONS", (sys.version_info[:2], sys.version_info[:2]))


def decided(
    *options: str,
    engine: tuple[str, str] = TRIED,
    setting: Literal["auto", "on", "off"] = "auto",
    **environment: str,
) -> tuple[bool, str]:
    return wants_fork_server(setting, engine, parse_arguments(["/mnt/models", *options]), environment)


@pytest.mark.parametrize("setting", ["auto", "on"])
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--tensor-parallel-size=2", "--max-model-len", "1024"),
        ("--api-server-count", "1", "--data-parallel-size=1", "--distributed-executor-backend=mp", "-dp", "1"),
    ],
)
def test_what_it_was_tried_with_starts_fast(setting: Literal["auto", "on"], options: tuple[str, ...]) -> None:
    assert decided(*options, setting=setting)[0]
    assert decided(*options, setting=setting, VLLM_USE_RUST_FRONTEND="0", OMP_NUM_THREADS="3")[0]


def test_with_cuda_it_has_to_be_asked_for() -> None:
    assert decided(engine=CUDA) == (False, "with CUDA only where it is asked for: WELLHEAD_FAST_START=on")
    assert decided("--tensor-parallel-size=1", engine=CUDA, setting="on")[0]


@pytest.mark.parametrize("option", ["--tensor-parallel-size=2", "-tp=4", "--pipeline-parallel-size=2"])
def test_several_gpus_were_not_tried(option: str) -> None:
    assert not decided(option, engine=CUDA)[0]
    with pytest.raises(InvalidConfiguration, match="parallel-size is above 1 with CUDA"):
        decided(option, engine=CUDA, setting="on")


def test_off_is_off() -> None:
    assert decided(setting="off") == (False, "WELLHEAD_FAST_START=off")


@pytest.mark.parametrize(
    ("engine", "named"),
    [
        (("cuda", "0.33.0"), "cuda 0.33.0"),
        (("cuda", "0.32.0+rocm700"), "0.32.0+rocm700"),
        (("cpu", "0.33.0"), "cpu 0.33.0"),
        (("cpu", "0.3"), "0.3"),
        (("cuda", ""), "cuda"),
    ],
)
def test_another_engine_starts_as_ever(engine: tuple[str, str], named: str) -> None:
    wanted, reason = decided(engine=engine)
    assert not wanted
    assert reason.endswith(named)


@pytest.mark.parametrize(
    "options",
    [
        ("--numa-bind",),
        ("--numa_bind",),
        ("--headless",),
        ("--grpc",),
        ("--distributed-executor-backend", "ray"),
        ("--api-server-count=2",),
        ("-asc", "2"),
        ("-dp", "2"),
        ("--data_parallel_size=4",),
        ("--data-parallel-rank", "0"),
        ("-dpl", "1"),
        ("--nnodes=2",),
        ("--config=vllm.yaml",),
        ("--kv-transfer-config", "{}"),
    ],
    ids=" ".join,
)
def test_what_was_not_tried_starts_as_ever_and_is_refused_where_a_fast_start_is_demanded(
    options: tuple[str, ...],
) -> None:
    wanted, reason = decided(*options)
    assert not wanted
    assert reason.endswith("is given")
    with pytest.raises(InvalidConfiguration) as caught:
        decided(*options, setting="on")
    assert reason in str(caught.value)
    assert "WELLHEAD_FAST_START=auto" in str(caught.value.hint)


@pytest.mark.parametrize(
    "variable",
    [
        {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"},
        {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
        {"VLLM_USE_RUST_FRONTEND": "1"},
        {"OMP_PLACES": "{0}"},
        {"LD_PRELOAD": "/usr/lib/libiomp5.so"},
    ],
    ids=str,
)
def test_a_users_own_way_of_starting_processes_is_left_alone(variable: dict[str, str]) -> None:
    assert not wants_fork_server("auto", TRIED, parse_arguments(["/mnt/models"]), variable)[0]


def test_another_machine_or_python_starts_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "machine", lambda: "aarch64")
    assert decided() == (False, "the machine is linux on aarch64")
    monkeypatch.setattr(deciding, "machine", lambda: "x86_64")
    monkeypatch.setattr(deciding, "_PYTHONS", ((3, 0), (3, 1)))
    assert decided()[1].startswith("Python is 3.")
