"""One sample from the bucket to an answer of real vLLM, in the two containers of the pod that KServe builds from it.

The engine's image is our `runtime` upon this environment's packages. With WELLHEAD_TEST_JOURNEY, or where the
base image has another Python, it is the Dockerfile's target `runtime-cpu` in full: minutes and 5 GB to build.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from bench.smollm import smollm
from tests.containers.images import Image, build, engine_wheelhouse, wheelhouse
from tests.containers.manifest_pod import Machine, on_free_port, running
from tests.containers.mounted_engine import PLACE, mounted_engine_image, packages
from tests.containers.samples import outcomes, own_service
from tests.kserve.model_status import model_status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.containers.base_image import BaseImage
    from tests.containers.kubelet import Container
    from tests.containers.workshop import Workshop
    from tests.support.seaweedfs import SeaweedFS

pytestmark = pytest.mark.engine
IN_FULL = bool(os.environ.get("WELLHEAD_TEST_JOURNEY"))
QUESTION = {
    "model": "llama",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "max_tokens": 16,
    "temperature": 0,
}
# What a machine with two cores and no GPU asks of vLLM.
SMALL = {
    "runtime": "wellhead-vllm-cpu",
    "args": ["--max-model-len=1024", "--enforce-eager", "--dtype=bfloat16"],
    "env": [{"name": "VLLM_CPU_KVCACHE_SPACE", "value": "1"}],
}


@pytest.fixture
def engine_image(workshop: Workshop, base: BaseImage) -> Image:
    found = packages(base.python)
    if IN_FULL or found is None:
        return build(workshop, base, "runtime-cpu", engine_wheelhouse(workshop, base.python))
    arguments = {"VLLM_IMAGE": mounted_engine_image(workshop, base), "STREAMER_STORES": "s3"}
    return build(workshop, base, "runtime", wheelhouse(workshop, base.python), arguments, {PLACE: found}, "-mounted")


def test_a_sample_answers_with_weights_from_the_bucket(
    initializer: Image, engine_image: Image, store: SeaweedFS, tmp_path: Path
) -> None:
    store.put_folder("models", "smollm", smollm())
    assert list(engine_image.root.glob("opt/wellhead/modelinfos/cpu-*/*-llama-LlamaForCausalLM.json"))
    service = own_service(mode="stream", storageUri="s3://models/smollm", **SMALL)
    cluster, (outcome,) = outcomes("s3", store, service)
    manifest, port = on_free_port(outcome.pod)
    node = Machine({"wellhead-initializer": initializer, "wellhead-runtime-cpu": engine_image}, tmp_path)
    with running(manifest, cluster, node) as pod:
        (initialized,) = pod.initialize()
        assert initialized.exit_code == 0, initialized.stderr
        on_disk = sum(path.stat().st_size for path in pod.folders["kserve-provision-location"].rglob("*"))
        assert on_disk < 8 << 20, "no weights rest on the node"
        with pod.server() as engine:
            wait_until_healthy(engine, port)
            assert "Paris" in answer(port)["choices"][0]["message"]["content"]
            engine.signal(signal.SIGTERM)
            ended = pod.ended(engine)
        assert ended.exit_code == 0
        shown = model_status(pod.statuses, ready=True)
    assert "lastFailureInfo" not in shown
    assert "weights: overlap" in ended.stderr, "they came while the engine started, under a read-only root"
    assert "of shared memory given back" in ended.stderr
    assert "the engine is ready after" in ended.stderr
    assert "fast start: on" in ended.stderr
    assert store.secret_access_key not in ended.stdout + ended.stderr


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
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(QUESTION).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        decoded: dict[str, Any] = json.load(response)
    return decoded
