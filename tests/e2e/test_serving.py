"""The main job on the real engine: the same answers, however the weights come."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import PREFIX, URI, prepare
from tests.e2e.engine import SETTINGS, Engine, free_environment, running, wellhead
from tests.e2e.observed import gets, gone, same_as_every_other_way
from tests.support.counting_proxy import counting_proxy
from tests.support.seaweedfs import SeaweedFS

STREAMER = "runai_streamer"  # the other way is in test_overlap.py

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def test_weights_stream_from_the_bucket_into_the_engine_and_nowhere_else(
    pod: Path, port: int, store: SeaweedFS, checkpoint: Path
) -> None:
    shards = sorted(checkpoint.glob("*.safetensors"))
    with counting_proxy(store.endpoint_url) as proxy:
        prepared = prepare(pod, URI, store.environment(proxy.endpoint_url), "stream", STREAMER)
        assert prepared.code == 0, prepared.output
        by_initializer = proxy.requests
        headers = sum(path.stat().st_size for path in prepared.folder.glob("*.safetensors"))
        assert sum(request.body_bytes for request in gets(proxy, ".safetensors")) == headers
        proxy.clear()

        # No credentials in this container: what was sealed has to do.
        command = wellhead(
            "serve", f"--model={prepared.folder}", "--served-model-name=smol", f"--port={port}", *SETTINGS
        )
        with running(command, free_environment(pod), pod, port) as engine:
            engine.wait_until_ready()
            assert "Paris" in engine.chat("smol", "What is the capital of France?")
            assert same_as_every_other_way(engine.log_probabilities("smol"))

            total = sum(path.stat().st_size for path in shards)
            streamed = gets(proxy, ".safetensors")
            assert {request.path.rpartition("/")[2] for request in streamed} == {path.name for path in shards}
            # Every byte once; a header may be read a second time by the streamer.
            assert total <= sum(request.body_bytes for request in streamed) <= total + headers
            names = [request.path.rpartition("/")[2] for request in by_initializer]
            for metadata in (path.name for path in checkpoint.iterdir() if path not in shards):
                assert names.count(metadata) == 1
                assert not gets(proxy, metadata)

            members = engine.members()
            code, answer = stop_while_a_request_is_in_flight(engine)
        assert code == 0
        assert answer["usage"]["completion_tokens"] == 200, "the request in flight was answered in full"
        assert gone(members)
    assert not any(path.suffix == ".safetensors" for path in (pod / "home").rglob("*")), "no copy in vLLM's caches"


def stop_while_a_request_is_in_flight(engine: Engine) -> tuple[int, dict[str, dict[str, int]]]:
    answer: dict[str, dict[str, int]] = {}

    def ask() -> None:
        answer.update(
            engine.post(
                "/v1/completions",
                {"model": "smol", "prompt": "Once", "max_tokens": 200, "temperature": 0, "ignore_eos": True},
            )
        )

    request = threading.Thread(target=ask)
    request.start()
    time.sleep(1.0)
    assert request.is_alive(), "the request was over before the signal"
    code = engine.stop()
    request.join(30)
    return code, answer


def test_a_downloaded_folder_gives_the_same_answers(pod: Path, port: int, store: SeaweedFS) -> None:
    prepared = prepare(pod, URI, store.environment(), "download")
    assert prepared.code == 0, prepared.output
    command = wellhead("serve", str(prepared.folder), "--served-model-name", "smol", "--port", str(port), *SETTINGS)
    with running(command, free_environment(pod), pod, port) as engine:
        engine.wait_until_ready()
        assert same_as_every_other_way(engine.log_probabilities("smol"))
        assert "Runai" not in engine.output
        assert engine.stop(signal.SIGINT) == 0


def test_the_streamer_reads_a_mounted_folder_without_a_plan(pod: Path, port: int, checkpoint: Path) -> None:
    command = wellhead(
        "serve", "--model", str(checkpoint), "--served-model-name", "smol", "--load-format", "runai_streamer",
        "--model-loader-extra-config", '{"concurrency": 2}', f"--port={port}", *SETTINGS,
    )  # fmt: skip
    with running(command, free_environment(pod), pod, port) as engine:
        engine.wait_until_ready()
        assert same_as_every_other_way(engine.log_probabilities("smol"))
        assert "Runai Model Streamer" in engine.output


def test_one_container_serves_a_uri_through_the_vllm_command_line(pod: Path, port: int, store: SeaweedFS) -> None:
    # KServe's LLMInferenceService call line (golden/kserve-v0.20.0/llm-s3), with the URI in the folder's place.
    command = [
        sys.executable, "-m", "wellhead_runtime.launcher", "serve", URI,
        "--served-model-name", "llama", "publishers/team-a/models/llama", "--port", str(port), *SETTINGS,
    ]  # fmt: skip
    with running(command, free_environment(pod) | store.environment(), pod, port) as engine:
        engine.wait_until_ready()
        assert same_as_every_other_way(engine.log_probabilities("publishers/team-a/models/llama"))
        assert "weights: overlap (they arrive while vLLM starts: nothing speaks against it" in engine.output
        assert store.environment()["AWS_SECRET_ACCESS_KEY"] not in engine.output


def test_a_checkpoint_with_a_missing_shard_never_reaches_the_engine(
    pod: Path, store: SeaweedFS, checkpoint: Path
) -> None:
    shards = sorted(path.name for path in checkpoint.glob("*.safetensors"))
    for path in checkpoint.iterdir():
        if path.name != shards[1]:
            store.put("broken", f"{PREFIX}/{path.name}", path.read_bytes())
    prepared = prepare(pod, f"s3://broken/{PREFIX}", store.environment(), "stream")
    assert prepared.code == 13
    assert prepared.sentence.startswith(f"s3://broken/{PREFIX}/{shards[1]} is missing")
    assert (pod / "termination-log").read_text() == prepared.sentence

    log = free_environment(pod)
    with running(wellhead("serve", f"--model={prepared.folder}"), log, pod, 0) as refused:
        assert refused.process.wait(10) == 11
    assert "is empty" in (pod / "termination-log").read_text()


def test_sigterm_while_loading_ends_everything_at_once(pod: Path, port: int, store: SeaweedFS) -> None:
    with counting_proxy(store.endpoint_url, per_connection_rate=256 * 1024) as proxy:
        prepared = prepare(pod, URI, store.environment(proxy.endpoint_url), "stream", STREAMER)
        assert prepared.code == 0, prepared.output
        proxy.clear()
        command = wellhead(
            "serve", f"--model={prepared.folder}", "--served-model-name=smol", f"--port={port}", *SETTINGS
        )
        with running(command, free_environment(pod), pod, port) as engine:
            deadline = time.monotonic() + 200
            while not gets(proxy, ".safetensors") and time.monotonic() < deadline:
                assert engine.process.poll() is None, engine.output[-3000:]
                time.sleep(0.2)
            time.sleep(1.0)
            members = engine.members()
            assert len(members) > 2
            began = time.monotonic()
            engine.stop()
            assert time.monotonic() - began < 20
            assert gone(members)


def test_an_engine_that_dies_before_it_is_ready_says_why(pod: Path, port: int, store: SeaweedFS) -> None:
    prepared = prepare(pod, URI, store.environment(), "stream", STREAMER)
    assert prepared.code == 0, prepared.output
    # The container's own credentials win over the sealed ones, and these are wrong.
    wrong = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "not-the-secret"}
    command = wellhead("serve", f"--model={prepared.folder}", f"--port={port}", *SETTINGS)
    with running(command, free_environment(pod) | wrong, pod, port) as engine:
        code = engine.process.wait(240)
        sentence = engine.output.strip().splitlines()[-1]
    assert code not in {0, 2}
    assert sentence.startswith("vLLM ended before it was ready")
    assert "refused" in sentence
    assert (pod / "termination-log").read_text() == sentence
    assert "not-the-secret" not in engine.output
    assert json.loads((prepared.folder / ".wellhead" / "plan.json").read_text())["mode"] == "stream"
    shutil.rmtree(prepared.folder)
