"""One model from the bucket to an answer, in the two containers of the pod: our images, our manifests, real vLLM.

Building the engine's image takes minutes and 5 GB, so this runs only where WELLHEAD_TEST_JOURNEY is set.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bench.smollm import smollm
from tests.containers.images import Image, build, engine_wheelhouse
from tests.containers.kubelet import Container, started
from tests.containers.pod import MODEL_FOLDER, TOKEN_FOLDER, Memory, Mount, Pod
from tests.containers.workshop import REPOSITORY, run

if TYPE_CHECKING:
    from tests.containers.base_image import BaseImage
    from tests.containers.init_container import InitContainer
    from tests.containers.workshop import Workshop
    from tests.support.seaweedfs import SeaweedFS

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(not os.environ.get("WELLHEAD_TEST_JOURNEY"), reason="WELLHEAD_TEST_JOURNEY is not set"),
]
NAME = "smollm"
ANY_USER = 1_000_650_000
QUESTION = {"model": NAME, "prompt": "The capital of France is", "max_tokens": 1, "temperature": 0}


@pytest.fixture(scope="module")
def engine_image(workshop: Workshop, base: BaseImage) -> Image:
    return build(workshop, base, "runtime-cpu", engine_wheelhouse(workshop, base.python))


def test_a_model_is_streamed_from_the_bucket_to_an_answer(
    engine_image: Image, init: InitContainer, store: SeaweedFS, tmp_path: Path
) -> None:
    store.put_folder("models", NAME, smollm())
    prepared = init.run(f"s3://models/{NAME}", mode="stream", user=ANY_USER)
    assert prepared.exit_code == 0, prepared.stderr

    port = free_port()
    container = serving_container("wellhead-vllm-cpu")
    pod = Pod(
        engine_image,
        command=container["command"],
        args=[each.replace("{{.Name}}", NAME) for each in container["args"]]
        # What an InferenceService may add.
        + ["--host=127.0.0.1", f"--port={port}", "--max-model-len=1024", "--enforce-eager", "--dtype=bfloat16"],
        environment={each["name"]: each["value"] for each in container["env"]} | {"VLLM_CPU_KVCACHE_SPACE": "1"},
        mounts=[Mount(init.destination, MODEL_FOLDER), Mount(init.token, TOKEN_FOLDER)],
        memories=[Memory(each["mountPath"], "2g") for each in container["volumeMounts"]],
        user=ANY_USER,
    )
    with started(pod, tmp_path) as engine:
        wait_until_healthy(engine, port)
        assert answer(port)["choices"][0]["text"] == " Paris"
        engine.signal(signal.SIGTERM)
        outcome = engine.wait(30)
    assert "of all files to cpu" in outcome.stderr, "the streamer's own summary"
    assert store.secret_access_key not in outcome.stdout + outcome.stderr


def serving_container(runtime: str) -> dict[str, Any]:
    rendered = run(Path(sys.executable).with_name("kubectl"), "kustomize", REPOSITORY / "servingruntimes/default")
    for manifest in yaml.safe_load_all(rendered):
        if manifest["metadata"]["name"] == runtime:
            container: dict[str, Any] = manifest["spec"]["containers"][0]
            return container
    raise LookupError(runtime)


def wait_until_healthy(engine: Container, port: int, seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not engine.running():
            raise AssertionError(engine.wait().stderr[-4000:])
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"not ready after {seconds} s")


def answer(port: int) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions",
        json.dumps(QUESTION).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        decoded: dict[str, Any] = json.load(response)
    return decoded


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
