"""A pod of llm-d's chart on the real engine: values, command line, weights out of the bucket, an answer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import URI
from tests.e2e.engine import SETTINGS, free_environment, running
from tests.support.container_environment import container_environment, on_this_machine
from tests.support.llm_d_values import read_values, servers
from tests.support.seaweedfs import SeaweedFS

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def test_a_decode_pod_streams_from_s3_and_answers(pod: Path, port: int, store: SeaweedFS) -> None:
    values = read_values("s3")
    server = values["decode"]["containers"][0]
    server["args"] = [f"--model={URI}" if word.startswith("--model=") else word for word in server["args"]]
    # The last of two values counts; the rest is for a small machine without a GPU.
    server["args"] += [f"--port={port}", *SETTINGS]
    container = servers(values)["decode"]
    volumes = {each["mountPath"]: str(pod / each["name"]) for each in container["volumeMounts"]}
    for folder in volumes.values():
        Path(folder).mkdir(exist_ok=True)
    keys = {name: store.environment()[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    own = container_environment(container, {"s3-models": keys}) | {"AWS_ENDPOINT_URL": store.endpoint_url}
    environment = free_environment(pod) | {name: on_this_machine(value, volumes) for name, value in own.items()}
    assert container["command"] == ["vllm", "serve"]
    command = [sys.executable, "-m", "wellhead_runtime.launcher", "serve", *container["args"]]
    with running(command, environment, pod, port) as engine:
        engine.wait_until_ready()
        assert "Paris" in engine.chat("team/llama", "What is the capital of France?")
        assert "weights: overlap" in engine.output
        assert "of shared memory given back" in engine.output
        assert keys["AWS_SECRET_ACCESS_KEY"] not in engine.output
        assert engine.stop() == 0
    assert not any(path.suffix == ".safetensors" and path.stat().st_size > 1 << 20 for path in pod.rglob("*"))
