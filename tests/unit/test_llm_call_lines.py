"""KServe's own call of vLLM, as recorded for LLMInferenceServices, becomes an engine that follows the plan.

The recorded commands end in a line that KServe's script hands to `eval`; before that the script asks `vllm --version`
and fills variables. The line runs in a real shell here, with a `vllm` on PATH.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
import yaml

from tests.kserve import recorded
from tests.kserve.manifests import Manifest, named
from tests.unit.builders import CUDA, downloaded_plan, make_plan, make_secret
from wellhead_runtime import cli, engine, launcher
from wellhead_runtime import serve as module
from wellhead_runtime.faststart.report import StartReport
from wellhead_runtime.machine import Machine
from wellhead_storage.credentials.seal import seal
from wellhead_storage.errors import ArgumentConflict
from wellhead_storage.handoff import sealed_path
from wellhead_storage.plan import Plan, write_plan

# What the script sets for today's vLLM, and what a LeaderWorkerSet gives to its third rank.
SCRIPT = {
    "ACCESS_LOG_ARGS": "--disable-access-log-for-endpoints /health,/metrics,/ping",
    "SHUTDOWN_TIMEOUT_ARGS": "--shutdown-timeout 40",
    "DP_ADDRESS": "10.0.0.1",
    "START_RANK": "2",
}
NAMES = "--served-model-name llama publishers/team-a/models/llama"
COMMON = "--disable-access-log-for-endpoints /health,/metrics,/ping --shutdown-timeout 40"
RANKS = (
    "--tensor-parallel-size 1 --data-parallel-size 4 --data-parallel-size-local 2 --data-parallel-address 10.0.0.1 "
    "--data-parallel-rpc-port 5555 --data-parallel-start-rank 2"
)
STREAMER = "--load-format runai_streamer"
# Recorded pod → vLLM's options behind the model when the plan says stream, as one would write them in a shell.
STREAMED = {
    "llm-s3": (
        f"""{STREAMER} --model-loader-extra-config '{{"distributed": true}}' {NAMES} --port 8000 {COMMON} """
        "--tensor-parallel-size 2 --max-model-len=8192"
    ),
    "llm-gs-self": f"{STREAMER} {NAMES} --port 8000 {COMMON}",
    "llm-pd": f"{STREAMER} {NAMES} --port 8001 {COMMON}",
    "llm-pd prefill": f"{STREAMER} --served-model-name llama --port 8000 {COMMON}",
    "llm-multi-node leader": f"{STREAMER} {NAMES} --port 8000 --api-server-count 8 {RANKS} {COMMON}",
    "llm-multi-node worker": f"{STREAMER} {NAMES} --port 8000 {RANKS} --headless {COMMON}",
    "llm-lora": (
        f"{STREAMER} {NAMES} --port 8000 {COMMON} --enable-lora --lora-modules "
        """'{"name":"sql","path":"/mnt/lora/sql"}' '{"name":"publishers/team-a/models/sql","path":"/mnt/lora/sql"}'"""
    ),
}


def recorded_main(pod: str) -> Manifest:
    """The recorded container `main`: `case`, or `case part`."""
    case, _, part = pod.partition(" ")
    multi_node = part in {"leader", "worker"}
    file = "leaderworkerset-kserve-mn" if multi_node else "-".join(["deployment-kserve", *([part] if part else [])])
    spec = yaml.safe_load((recorded.V0_20 / case / f"{file}.yaml").read_text())["spec"]
    spec = (spec["leaderWorkerTemplate"][f"{part}Template"] if multi_node else spec["template"])["spec"]
    found = named(spec["containers"], "main")
    assert found is not None
    return found


def call(pod: str, folder: Path, path: Path, **variables: str) -> str:
    """Runs the recorded call with the `vllm` in `path`; what that writes."""
    main = recorded_main(pod)
    shell, option, script, *own = main["command"]
    line = script.splitlines()[-1].replace("/mnt/models", str(folder))
    finished = subprocess.run(
        [shell, option, f'eval "{line}"', *own, *main.get("args", [])],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        env={"PATH": f"{path}:/usr/bin:/bin", **SCRIPT, **variables},
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def vllm(path: Path, body: str) -> Path:
    """A folder for PATH."""
    path.mkdir()
    (path / "vllm").write_text(f"#!/bin/sh\n{body}\n")
    (path / "vllm").chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Where the sealed credentials open."""
    (tmp_path / "token").write_text("token")
    return {"WELLHEAD_SERVICE_ACCOUNT_TOKEN": str(tmp_path / "token"), "WELLHEAD_MEMORY_DIR": str(tmp_path)}


class Started(Exception):
    """The engine would run now."""


def engine_command(
    monkeypatch: pytest.MonkeyPatch, folder: Path, environment: dict[str, str], pod: str, **variables: str
) -> list[str]:
    """From the recorded call through our `vllm` to the command of the engine."""
    started: list[Sequence[str]] = []

    def supervisor(
        command: Sequence[str], variables: Mapping[str, str], report: StartReport, *_: object, **__: object
    ) -> NoReturn:
        started.append(command)
        raise Started

    def serve_to_exit(argv: list[str]) -> NoReturn:
        module.serve(argv, environment)
        raise AssertionError("no engine was started")

    def machine() -> Machine:
        return CUDA

    said = call(pod, folder, vllm(folder.parent / "bin", r'printf "%s\0" vllm "$@"'), **variables)
    monkeypatch.setattr(sys, "argv", said.split("\0")[:-1])
    monkeypatch.setattr(cli, "serve_to_exit", serve_to_exit)
    monkeypatch.setattr(module, "Supervisor", supervisor)
    monkeypatch.setattr(module, "inspect_machine", machine)
    monkeypatch.setattr(module, "installed_engine", lambda: (CUDA.engine, CUDA.engine_version))
    with pytest.raises(Started):
        launcher.main()
    (command,) = started
    return list(command)


def planned(folder: Path, plan: Plan) -> None:
    write_plan(folder, plan)
    if plan.mode == "stream":
        sealed_path(folder).write_bytes(seal(make_secret("AK", "sk"), b"token", plan.weights.uri))


@pytest.mark.usefixtures("wellhead_log")
@pytest.mark.parametrize("pod", STREAMED)
def test_a_streamed_model(monkeypatch: pytest.MonkeyPatch, folder: Path, environment: dict[str, str], pod: str) -> None:
    planned(folder, make_plan())
    command = engine_command(monkeypatch, folder, environment, pod)
    start = [*engine.module(), "--wellhead-weights=s3://models/llama", "serve", str(folder)]
    assert command == [*start, *shlex.split(STREAMED[pod])]


@pytest.mark.usefixtures("wellhead_log")
@pytest.mark.parametrize("pod", STREAMED)
def test_a_downloaded_model(
    monkeypatch: pytest.MonkeyPatch, folder: Path, environment: dict[str, str], pod: str
) -> None:
    planned(folder, downloaded_plan())
    command = engine_command(monkeypatch, folder, environment, pod)
    theirs = STREAMED[pod][STREAMED[pod].index("--served-model-name") :]
    assert command == [*engine.module(), "serve", str(folder), *shlex.split(theirs)]


@pytest.mark.usefixtures("wellhead_log")
def test_a_model_on_a_claim_has_no_plan(
    monkeypatch: pytest.MonkeyPatch, folder: Path, environment: dict[str, str]
) -> None:
    (folder / "config.json").write_text("{}")
    command = engine_command(monkeypatch, folder, environment, "llm-pvc")
    assert command == [*engine.module(), "serve", str(folder), *shlex.split(f"{NAMES} --port 8000 {COMMON}")]


@pytest.mark.usefixtures("wellhead_log")
def test_an_older_vllm_gets_no_time_from_kserve_and_so_ours(
    monkeypatch: pytest.MonkeyPatch, folder: Path, environment: dict[str, str]
) -> None:
    planned(folder, downloaded_plan())
    older = {"ACCESS_LOG_ARGS": "--disable-uvicorn-access-log", "SHUTDOWN_TIMEOUT_ARGS": ""}
    command = engine_command(monkeypatch, folder, environment, "llm-pd prefill", **older)
    options = f"--shutdown-timeout 25 --served-model-name llama --port 8000 {older['ACCESS_LOG_ARGS']}"
    assert command == [*engine.module(), "serve", str(folder), *shlex.split(options)]


@pytest.mark.usefixtures("wellhead_log")
@pytest.mark.parametrize("pod", STREAMED)
def test_settings_for_vllm_reach_every_kind_of_pod(
    monkeypatch: pytest.MonkeyPatch, folder: Path, environment: dict[str, str], pod: str
) -> None:
    planned(folder, make_plan())
    stated = """--model-loader-extra-config='{"concurrency": 8}' --kv-cache-dtype fp8"""
    command = engine_command(monkeypatch, folder, environment, pod, VLLM_ADDITIONAL_ARGS=stated)
    extra = command[command.index("--model-loader-extra-config") + 1]
    assert extra == ('{"concurrency": 8, "distributed": true}' if pod == "llm-s3" else '{"concurrency": 8}')
    assert command[command.index("--kv-cache-dtype") + 1] == "fp8"


@pytest.mark.usefixtures("wellhead_log")
def test_a_setting_that_contradicts_the_plan_is_an_error_before_the_engine_starts(
    monkeypatch: pytest.MonkeyPatch, folder: Path, environment: dict[str, str]
) -> None:
    planned(folder, make_plan())
    with pytest.raises(ArgumentConflict, match="--load-format dummy contradicts the load plan"):
        engine_command(
            monkeypatch, folder, environment, "llm-multi-node worker", VLLM_ADDITIONAL_ARGS="--load-format=dummy"
        )


@pytest.mark.parametrize("pod", ["llm-s3", "llm-multi-node worker"])
def test_the_whole_way_in_processes_of_their_own(folder: Path, environment: dict[str, str], pod: str) -> None:
    planned(folder, make_plan())
    path = vllm(folder.parent / "bin", f'exec {sys.executable} -m wellhead_runtime.launcher "$@"')
    printed = call(pod, folder, path, VLLM_ADDITIONAL_ARGS="--print-command", **environment)
    assert f"vllm serve s3://models/llama {STREAMER}" in printed
    assert ("--headless" in printed) == pod.endswith("worker")
    assert 'AWS_SECRET_ACCESS_KEY="$AWS_SECRET_ACCESS_KEY"' in printed
