"""The real engine, whose weights arrive in shared memory while it starts."""

from __future__ import annotations

import time
import urllib.error
from pathlib import Path

import pytest

from tests.e2e.conftest import URI, prepare
from tests.e2e.engine import SETTINGS, free_environment, running, wellhead
from tests.e2e.observed import gets, gone, same_as_every_other_way
from tests.support.counting_proxy import Fault, counting_proxy
from tests.support.seaweedfs import SeaweedFS

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


def test_weights_that_arrive_while_it_starts_give_the_same_answers(
    pod: Path, port: int, store: SeaweedFS, checkpoint: Path
) -> None:
    shards = sorted(checkpoint.glob("*.safetensors"))
    with counting_proxy(store.endpoint_url) as proxy:
        prepared = prepare(pod, URI, store.environment(proxy.endpoint_url), "auto")
        assert prepared.code == 0, prepared.output
        headers = sum(path.stat().st_size for path in prepared.folder.glob("*.safetensors"))
        proxy.clear()
        began = time.monotonic()
        command = wellhead(
            "serve", f"--model={prepared.folder}", "--served-model-name=smol", f"--port={port}", *SETTINGS
        )
        with running(command, free_environment(pod, VLLM_SERVER_DEV_MODE="1"), pod, port) as engine:
            engine.wait_until_ready()
            assert same_as_every_other_way(engine.log_probabilities("smol"))
            assert "weights: overlap (they arrive while vLLM starts: nothing speaks against it" in engine.output

            streamed = gets(proxy, ".safetensors")
            total = sum(path.stat().st_size for path in shards)
            assert sum(request.body_bytes for request in streamed) == total - headers, "every byte once"
            assert min(request.started for request in streamed) - began < 5, "not after the engine's imports"
            assert len(proxy.requests) == len(streamed)

            assert "of shared memory given back" in engine.output
            descriptors = Path(f"/proc/{engine.process.pid}/fd").iterdir()
            assert not [path for path in descriptors if "wellhead-0" in str(path.readlink())]
            assert "Runai" not in engine.output

            # What asks for the weights again gets a sentence, and never zeros.
            with pytest.raises(urllib.error.HTTPError):
                engine.post("/collective_rpc", {"method": "reload_weights"})
            assert engine.says("cannot be loaded a second time")
            members = engine.members()
        assert gone(members)


def test_a_store_that_refuses_ends_it_at_once(pod: Path, port: int, store: SeaweedFS) -> None:
    with counting_proxy(store.endpoint_url) as proxy:
        prepared = prepare(pod, URI, store.environment(proxy.endpoint_url), "stream", "overlap")
        assert prepared.code == 0, prepared.output
        proxy.interfere = lambda _: Fault(status=403, code="AccessDenied")
        began = time.monotonic()
        command = wellhead("serve", f"--model={prepared.folder}", f"--port={port}", *SETTINGS)
        with running(command, free_environment(pod), pod, port) as engine:
            assert engine.process.wait(60) == 12
            assert time.monotonic() - began < 20, "not after the engine's imports"
            sentence = engine.output.strip().splitlines()[-1]
            assert sentence.startswith("The store refuses access to s3://models/smollm2/model")
            assert (pod / "termination-log").read_text() == sentence
            assert gone(engine.members())
