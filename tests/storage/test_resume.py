"""What is on the disk already is not fetched again: after a crash, a restart, beside another initializer."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import Model, one_tensor
from tests.support.checkpoint import tiny_checkpoint
from tests.support.counting_proxy import CountingProxy, counting_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.storage.pod import Pod
    from tests.support.seaweedfs import SeaweedFS

MIB = 1 << 20
SHARDS = 10
SHARD_BYTES = 2 * MIB


@pytest.fixture
def model(store: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Ten shards of 2 MiB each."""
    folder = tmp_path_factory.mktemp("resumed")
    tiny_checkpoint(folder, shards=SHARDS, tensors_per_shard=1, tensor_bytes=SHARD_BYTES)
    return Model(store, folder.name, folder).upload()


@pytest.fixture
def proxy(store: SeaweedFS) -> Iterator[CountingProxy]:
    with counting_proxy(store.endpoint_url) as running:
        yield running


@pytest.fixture
def pod(pod: Pod, store: SeaweedFS, proxy: CountingProxy) -> Pod:
    """A pod that downloads over the proxy, two shards at a time."""
    pod.environment |= store.environment(proxy.endpoint_url, reader=True)
    pod.environment |= {"WELLHEAD_MODE": "download", "WELLHEAD_CONNECTIONS": "2"}
    return pod


def weights_fetched(proxy: CountingProxy) -> int:
    """Bytes of parts; the survey's headers are small."""
    return sum(request.body_bytes for request in proxy.requests if request.body_bytes > 64 << 10)


def kill_after(pod: Pod, model: Model, proxy: CountingProxy, weights: int) -> None:
    """Start a download and kill it once so many bytes of weights have come."""
    proxy.per_connection_rate = 8 * MIB
    with pod.start(model.uri) as process:
        deadline = time.monotonic() + 30
        while weights_fetched(proxy) < weights and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    proxy.per_connection_rate = None
    assert weights_fetched(proxy) >= weights
    proxy.clear()


def test_after_a_crash_only_missing_parts_are_fetched(pod: Pod, model: Model, proxy: CountingProxy) -> None:
    kill_after(pod, model, proxy, SHARDS * SHARD_BYTES * 6 // 10)
    outcome = pod.init(model.uri)
    assert outcome.exit_code == 0, outcome.stderr
    assert "resuming: " in outcome.stderr
    assert pod.files == model.files
    # Six of ten had come; of those at most the two that were on their way come again.
    assert weights_fetched(proxy) <= (SHARDS - 4) * (SHARD_BYTES + 4096)
    assert pod.own_files == ["manifest.json", "plan.json"]


def test_an_object_that_changed_in_between_starts_over_alone(pod: Pod, model: Model, proxy: CountingProxy) -> None:
    kill_after(pod, model, proxy, SHARDS * SHARD_BYTES * 6 // 10)
    name = "model-00001-of-00010.safetensors"
    index = json.loads(model.files["model.safetensors.index.json"])
    [tensor] = [tensor for tensor, shard in index["weight_map"].items() if shard == name]
    changed = one_tensor(tensor, SHARD_BYTES)
    assert changed != model.files[name]
    model.put(name, changed)
    outcome = pod.init(model.uri)
    assert outcome.exit_code == 0, outcome.stderr
    assert pod.files == model.files | {name: changed}
    assert weights_fetched(proxy) <= (SHARDS - 3) * (SHARD_BYTES + 4096)


def test_a_restarted_container_finds_everything_in_place(pod: Pod, model: Model, proxy: CountingProxy) -> None:
    assert pod.init(model.uri).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in pod.destination.iterdir() if path.is_file()}
    proxy.clear()
    outcome = pod.init(model.uri)
    assert outcome.exit_code == 0, outcome.stderr
    assert weights_fetched(proxy) == 0
    assert proxy.body_bytes < 64 << 10, "a listing and headers"
    assert {path: path.stat().st_mtime_ns for path in pod.destination.iterdir() if path.is_file()} == before
    assert pod.plan.fetched.files == 0
    assert pod.own_files == ["manifest.json", "plan.json"]


def test_only_what_changed_is_fetched_anew(pod: Pod, model: Model, proxy: CountingProxy) -> None:
    assert pod.init(model.uri).exit_code == 0
    model.change_config(rope_theta=500000.0)
    (pod.destination / "tokenizer.json").write_text("{}")  # somebody meddled
    proxy.clear()
    assert pod.init(model.uri).exit_code == 0
    assert weights_fetched(proxy) == 0
    assert pod.files["tokenizer.json"] == model.files["tokenizer.json"]
    assert json.loads(pod.files["config.json"])["rope_theta"] == 500000.0


def test_two_initializers_on_one_folder_fetch_one_model(
    pod: Pod, new_pod: Callable[[], Pod], model: Model, proxy: CountingProxy
) -> None:
    """A ReadWriteMany volume, and two replicas that start together: the second waits and finds all of it there."""
    other = new_pod()
    other.environment, other.destination = pod.environment, pod.destination
    proxy.per_connection_rate = 8 * MIB
    with ThreadPoolExecutor(2) as both:
        outcomes = list(both.map(lambda each: each.init(model.uri), (pod, other)))
    assert [outcome.exit_code for outcome in outcomes] == [0, 0], outcomes
    assert pod.files == model.files
    assert weights_fetched(proxy) <= SHARDS * (SHARD_BYTES + 4096)
    assert sum("another process of Wellhead is at work" in outcome.stderr for outcome in outcomes) == 1
