"""A killed initializer leaves nothing that looks complete, and the next one finishes."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.storage.model import BUCKET, Model
from tests.storage.pod import Pod
from tests.storage.stub_s3 import stub_s3
from tests.support.checkpoint import tiny_checkpoint
from tests.support.counting_proxy import CountingProxy, counting_proxy
from tests.support.seaweedfs import SeaweedFS
from wellhead_storage.errors import IntegrityError
from wellhead_storage.stores.opening import open_store
from wellhead_storage.uri import parse

KILLS = 50
PODS = 4  # at a time


@pytest.fixture(scope="module")
def large(store: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tiny_checkpoint(tmp_path_factory.mktemp("large"), shards=6, tensors_per_shard=4, tensor_bytes=1 << 18)
    return Model(store, "large", folder).upload()


@pytest.fixture
def slow(store: SeaweedFS) -> Iterator[CountingProxy]:
    """A link on which a download lasts about a second."""
    with counting_proxy(store.endpoint_url, per_connection_rate=2 << 20) as proxy:
        yield proxy


def through(proxy: CountingProxy, store: SeaweedFS, pod: Pod) -> Pod:
    pod.environment |= store.environment(proxy.endpoint_url, reader=True) | {"WELLHEAD_MODE": "download"}
    return pod


def is_all_or_nothing(pod: Pod, model: Model) -> bool:
    """Every file under its final name is whole; without all of them neither plan nor config.json is there."""
    published = pod.files
    assert all(model.files[name] == content for name, content in published.items())
    complete = published == model.files
    planned = "plan.json" in pod.own_files
    assert complete or not planned
    assert complete or "config.json" not in published
    return planned


def test_fifty_kills_at_any_moment_of_a_download(
    large: Model, store: SeaweedFS, slow: CountingProxy, new_pod: Callable[[], Pod]
) -> None:
    pods = [through(slow, store, new_pod()) for _ in range(PODS)]
    whole = pods[0].init(large.uri)
    assert whole.exit_code == 0, whole.stderr
    lengths = random.Random(7)
    delays = [lengths.uniform(0.0, whole.seconds * 1.3) for _ in range(KILLS)]

    def kill_again_and_again(pod: Pod, delays: list[float]) -> int:
        finished = 0
        for delay in delays:
            with pod.start(large.uri) as process:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
            finished += is_all_or_nothing(pod, large)
        return finished

    with ThreadPoolExecutor(PODS) as side_by_side:
        finished = sum(side_by_side.map(kill_again_and_again, pods, [delays[number::PODS] for number in range(PODS)]))
    assert 0 < finished < KILLS, "the kills hit before and after publication"
    for pod in pods:
        assert pod.init(large.uri).exit_code == 0
        assert pod.files == large.files
        assert pod.own_files == ["manifest.json", "plan.json"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_download_at_once(
    large: Model, store: SeaweedFS, new_pod: Callable[[], Pod], number: signal.Signals
) -> None:
    with counting_proxy(store.endpoint_url, per_connection_rate=64 << 10) as proxy:
        pod = through(proxy, store, new_pod())
        with pod.start(large.uri) as process:
            deadline = time.monotonic() + 20
            while sum(request.body_bytes for request in proxy.requests) < 1 << 18 and time.monotonic() < deadline:
                time.sleep(0.02)
            began = time.monotonic()
            process.send_signal(number)
            outcome = pod.wait(process, began)
    assert outcome.exit_code == 143
    assert outcome.seconds < 2
    assert outcome.sentence == f"Stopped by {number.name} before the model was ready."
    assert pod.files == {}
    assert not {"plan.json", "manifest.json"} & set(pod.own_files)


def test_an_object_replaced_between_listing_and_reading_is_noticed(
    model: Model, store: SeaweedFS, new_pod: Callable[[], Pod]
) -> None:
    name = "model-00002-of-00003.safetensors"
    with counting_proxy(store.endpoint_url, latency=0.3) as proxy:
        pod = through(proxy, store, new_pod())

        def replace() -> None:
            deadline = time.monotonic() + 20
            while not proxy.requests and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(0.35)  # the listing is answered, the headers are being asked for
            model.put(name, bytes(reversed(model.files[name])))

        meanwhile = threading.Thread(target=replace)
        meanwhile.start()
        outcome = pod.init(model.uri)
        meanwhile.join()
    assert outcome.exit_code == 17, outcome.stderr
    assert outcome.sentence.startswith(f"s3://{BUCKET}/{model.prefix}/{name} was replaced while it was being read.")
    assert pod.files == {}
    assert not {"plan.json", "manifest.json"} & set(pod.own_files)


@pytest.mark.parametrize("change", ["another ETag", "another size"])
def test_a_gateway_that_knows_no_if_match_mixes_no_editions(change: str) -> None:
    with stub_s3() as stub:
        stub.objects = [("llama/model.safetensors", b"edition one")]
        folder = open_store(parse("s3://models/llama"), stub.environment).store
        [item] = folder.objects()
        assert folder.read(item, 0, 4) == b"edit"
        newer = ("llama/model.safetensors", b"edition two" if change == "another ETag" else b"edition of another size")
        stub.objects = [("llama/config.json", b"{}"), newer] if change == "another ETag" else [newer]
        with pytest.raises(IntegrityError, match=r"model\.safetensors was replaced while it was being read"):
            folder.read(item, 4)


def test_what_a_killed_predecessor_left_is_forgotten(llama: Model, pod: Pod) -> None:
    leftovers: Path = pod.destination / ".wellhead" / "partial" / "model-00001-of-00003.safetensors"
    leftovers.parent.mkdir(parents=True)
    leftovers.write_bytes(b"half a shard")
    assert pod.init(llama.uri, WELLHEAD_MODE="download").exit_code == 0
    assert pod.files == llama.files
    assert pod.own_files == ["manifest.json", "plan.json"]
