"""How the init container fails: a sentence where KServe's users read it, a known code, nothing published."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.containers.init_container import InitContainer, contents, leftovers
from tests.containers.kubelet import finished, started
from tests.containers.pod import MODEL_FOLDER, Memory
from tests.support.counting_proxy import counting_proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.containers.kubelet import Container
    from tests.support.seaweedfs import SeaweedFS

NOWHERE = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "S3_ENDPOINT": "127.0.0.1:9"}

# URI, exit code, words of the sentence, variables that differ
FAILURES: dict[str, tuple[str, int, str, dict[str, str]]] = {
    "no such bucket": ("s3://no-such-bucket/llama", 11, "no-such-bucket", {}),
    "no such folder": ("s3://models/no-such-folder", 11, "s3://models/no-such-folder", {}),
    "the beginning of a name": ("s3://models/llam", 11, "s3://models/llam", {}),
    "wrong secret": ("s3://models/llama", 12, "s3://models/llama", {"AWS_SECRET_ACCESS_KEY": "wrong"}),
    "no such scheme": ("ftp://models/llama", 10, "ftp", {}),
    "no such mode": ("s3://models/llama", 19, "sideways", {"WELLHEAD_MODE": "sideways"}),
    "no such store": ("s3://models/llama", 16, "cannot be reached", NOWHERE),
    "no such store for KServe's library": ("https://127.0.0.1:9/model.git", 16, "it refuses connections", {}),
}


@pytest.mark.usefixtures("checkpoint")
@pytest.mark.parametrize(("uri", "code", "words", "environment"), FAILURES.values(), ids=FAILURES)
def test_the_user_reads_one_sentence(
    init: InitContainer, uri: str, code: int, words: str, environment: dict[str, str]
) -> None:
    outcome = init.run(uri, environment=environment)
    assert outcome.exit_code == code, outcome.stderr
    sentence = outcome.message.strip()
    assert words in sentence
    assert "\n" not in sentence
    assert sentence == outcome.stderr.strip().splitlines()[-1]
    assert "Traceback" not in outcome.stderr
    assert leftovers(init.destination) == []


def test_a_shard_that_is_missing(init: InitContainer, store: SeaweedFS, checkpoint: Path) -> None:
    store.put_folder("models", "broken", checkpoint)
    store.delete("models", "broken/model-00002-of-00003.safetensors")
    outcome = init.run("s3://models/broken")
    assert outcome.exit_code == 13, outcome.stderr
    assert "model-00002-of-00003.safetensors" in outcome.message
    assert leftovers(init.destination) == []


@pytest.mark.usefixtures("large")
def test_a_volume_that_is_too_small(init: InitContainer, tmp_path: Path) -> None:
    pod = init.pod("s3://models/large", mode="download")
    others = [mount for mount in pod.mounts if mount.destination != MODEL_FOLDER]
    small = replace(pod, mounts=others, memories=[Memory(MODEL_FOLDER, "64m")])
    outcome = finished(small, tmp_path)
    assert outcome.exit_code == 15, outcome.stderr
    assert MODEL_FOLDER in outcome.message


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_download_at_once_and_publishes_nothing(
    init: InitContainer, store: SeaweedFS, tmp_path: Path, number: signal.Signals
) -> None:
    """Process 1 has no default action for signals: without a handler the kubelet would wait, then kill."""
    with counting_proxy(store.endpoint_url, per_connection_rate=1 << 20) as proxy:
        pod = init.pod("s3://models/large", mode="download", environment=store.environment(proxy.endpoint_url))
        with started(pod, tmp_path) as container:
            wait_for(lambda: proxy.body_bytes > 4 << 20, container)
            asked = time.monotonic()
            container.signal(number)
            outcome = container.wait(20)
            took = time.monotonic() - asked
    assert outcome.exit_code == 143, outcome.stderr
    assert took < 2.0
    assert "Traceback" not in outcome.stderr
    assert contents(init.destination) == {}
    assert not (init.destination / ".wellhead/plan.json").exists()


def wait_for(condition: Callable[[], bool], container: Container, seconds: float = 30.0) -> None:
    """Wait until something has happened while the container runs."""
    until = time.monotonic() + seconds
    while not condition():
        assert container.running(), "it ended too early"
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)
