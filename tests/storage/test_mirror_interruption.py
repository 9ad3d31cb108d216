"""A mirror that is stopped, disturbed or squeezed: nothing half is ever visible, and the next run goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.storage.mirroring import Mirror, reads_weights
from tests.storage.model import Model, edited, one_tensor
from tests.storage.pod import WELLHEAD, Pod
from tests.support.checkpoint import tiny_checkpoint
from tests.support.counting_proxy import CountingProxy, Request, counting_proxy
from tests.support.seaweedfs import SeaweedFS
from wellhead_storage.errors import IntegrityError, StoreUnavailable
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME
from wellhead_storage.settings import Settings

MIB = 1 << 20
SHARD = 6 * MIB  # two parts


@pytest.fixture(scope="module")
def large(store: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Four shards of two parts each."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("large"), shards=4, tensors_per_shard=1, tensor_bytes=SHARD)
    return Model(store, "large-to-mirror", folder).upload()


@pytest.fixture
def target(store: SeaweedFS) -> Mirror:
    return Mirror(store)


@pytest.fixture
def slow(store: SeaweedFS) -> Iterator[CountingProxy]:
    """A way to the source on which each shard takes most of a second."""
    with counting_proxy(store.endpoint_url, per_connection_rate=8 * MIB) as proxy:
        yield proxy


@pytest.fixture
def front(store: SeaweedFS) -> Iterator[CountingProxy]:
    """A way to the destination that is watched."""
    with counting_proxy(store.endpoint_url) as proxy:
        yield proxy


@pytest.fixture
def job(pod: Pod, store: SeaweedFS, front: CountingProxy) -> Pod:
    """A container that runs `wellhead mirror`, one object at a time."""
    pod.command = (WELLHEAD, "mirror")
    pod.environment |= store.environment(front.endpoint_url) | {"WELLHEAD_CONNECTIONS": "1"}
    return pod


def through(proxy: CountingProxy, uri: str) -> str:
    return f"{uri}?endpoint={proxy.endpoint_url}"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def uploads(requests: list[Request]) -> tuple[int, int, int]:
    """Multipart uploads begun, completed and aborted."""
    begun = [request for request in requests if request.method == "POST" and request.target.endswith("?uploads=")]
    ends = [request for request in requests if "?uploadId=" in request.target]
    completed = [request for request in ends if request.method == "POST" and request.status == 200]
    aborted = [request for request in ends if request.method == "DELETE"]
    return len(begun), len(completed), len(aborted)


def read_from(proxy: CountingProxy) -> set[str]:
    """Names of the shards that were read."""
    return {request.path.rpartition("/")[2] for request in proxy.requests if reads_weights(request)}


def test_a_signal_ends_it_without_anything_half_and_the_next_run_goes_on(
    large: Model, target: Mirror, job: Pod, slow: CountingProxy, front: CountingProxy
) -> None:
    with job.start(through(slow, large.uri), target.uri) as process:
        wait_for(lambda: uploads(front.requests)[1] == 2)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        outcome = job.wait(process, began)
    assert outcome.exit_code == 143, outcome.stderr
    assert outcome.sentence == "Stopped by SIGTERM before the mirror was complete."
    assert outcome.seconds < 6
    begun, completed, aborted = uploads(front.requests)
    assert begun == completed + aborted, "no upload is left open"
    present = target.files
    assert len(present) == completed in {2, 3}
    assert all(large.files[name] == data for name, data in present.items())
    assert MANIFEST_NAME not in target.everything
    assert target.recorded == set(present)

    slow.per_connection_rate = None
    slow.clear()
    assert job.init(through(slow, large.uri), target.uri).exit_code == 0
    assert read_from(slow) == set(large.shards) - set(present), "nothing is read twice"
    assert target.files == large.files
    assert PROGRESS_NAME not in target.everything


def test_a_kill_loses_a_second_of_work_at_most(large: Model, target: Mirror, job: Pod, slow: CountingProxy) -> None:
    with job.start(through(slow, large.uri), target.uri) as process:
        wait_for(lambda: len(target.recorded) >= 2)
        process.send_signal(signal.SIGKILL)
    recorded = target.recorded
    assert MANIFEST_NAME not in target.everything
    assert all(large.files[name] == data for name, data in target.files.items())

    slow.per_connection_rate = None
    slow.clear()
    assert job.init(through(slow, large.uri), target.uri).exit_code == 0
    assert read_from(slow) == set(large.shards) - recorded
    assert target.files == large.files


def test_a_killed_mirror_into_a_directory_goes_on_too(
    large: Model, job: Pod, slow: CountingProxy, tmp_path: Path
) -> None:
    folder = tmp_path / "volume"
    with job.start(through(slow, large.uri), folder) as process:
        wait_for(lambda: len(list(folder.glob("*.safetensors"))) >= 2)
        process.send_signal(signal.SIGTERM)
        assert job.wait(process, 0.0).exit_code == 143
    present = {path.name for path in folder.glob("*.safetensors")}
    assert not (folder / ".wellhead" / "mirroring").exists()
    slow.per_connection_rate = None
    slow.clear()
    assert job.init(through(slow, large.uri), folder).exit_code == 0
    assert read_from(slow) == set(large.shards) - present
    assert {name: (folder / name).read_bytes() for name in large.files} == large.files


def test_an_object_replaced_meanwhile_starts_over_and_the_copy_is_of_one_edition(
    new_model: Callable[[], Model], target: Mirror, store: SeaweedFS
) -> None:
    model = new_model()
    name = "model-00002-of-00003.safetensors"
    changed = edited(model.files[name])
    with counting_proxy(store.endpoint_url, latency=0.05) as proxy:
        meanwhile = replace_once_begun(proxy, model, name, changed)
        target.of(model.uri, endpoint=proxy.endpoint_url, settings=Settings(connections=1))
        meanwhile.join()
    assert target.files == {**model.files, name: changed}


def test_an_object_that_keeps_changing_is_given_up(
    new_model: Callable[[], Model], target: Mirror, store: SeaweedFS
) -> None:
    model = new_model()
    name = "model-00002-of-00003.safetensors"
    stop = threading.Event()

    def replace() -> None:
        for number in count():
            if stop.is_set():
                return
            model.put(name, one_tensor(f"edition-{number:06}"))

    with counting_proxy(store.endpoint_url, latency=0.1) as proxy:
        meanwhile = threading.Thread(target=replace)
        meanwhile.start()
        with pytest.raises(IntegrityError, match=f"{name} (was replaced|keeps changing|vanished)"):
            target.of(model.uri, endpoint=proxy.endpoint_url)
        stop.set()
        meanwhile.join()
    assert MANIFEST_NAME not in target.everything
    assert "config.json" not in target.files


def replace_once_begun(proxy: CountingProxy, model: Model, name: str, content: bytes) -> threading.Thread:
    """As soon as the destination is written to, which comes after every look at the source."""

    def replace() -> None:
        wait_for(lambda: any(request.method == "PUT" for request in proxy.requests))
        model.put(name, content)

    thread = threading.Thread(target=replace)
    thread.start()
    return thread


def test_bytes_damaged_on_their_way_into_the_store_are_refused(
    tmp_path: Path, target: Mirror, monkeypatch: pytest.MonkeyPatch, store: SeaweedFS
) -> None:
    from tests.support import counting_proxy as module

    (tmp_path / "model.bin").write_bytes(b"W" * SHARD)
    send = module._Stream.send

    def damage(self: object, data: bytes | memoryview) -> None:
        send(self, bytes(data).replace(b"WWWWWWWW", b"WWWWWWWX", 1))  # type: ignore[arg-type]

    monkeypatch.setattr(module._Stream, "send", damage)
    with (
        counting_proxy(store.endpoint_url) as proxy,
        pytest.raises(IntegrityError, match=r"model\.bin arrived at the store with other bytes than were sent"),
    ):
        target.of(str(tmp_path), endpoint=proxy.endpoint_url)
    assert target.files == {}


def test_a_store_that_cannot_be_reached_is_said(large: Model, target: Mirror) -> None:
    with pytest.raises(StoreUnavailable, match="it refuses connections"):
        target.of(f"{large.uri}?endpoint=http://127.0.0.1:9")


_MEASURED = """
import resource, sys
from wellhead_storage.mirror.run import Options, mirror
from wellhead_storage.settings import Settings
import os
source, destination, warm, warm_destination = sys.argv[1:]
mirror(warm, warm_destination, Options(), Settings(), os.environ)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
mirror(source, destination, Options(), Settings(), os.environ)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.parametrize("shape", ["one", "many"])
def test_memory_is_bounded_whatever_the_model(
    shape: str, tmp_path: Path, checkpoint: Path, store: SeaweedFS, target: Mirror
) -> None:
    sizes = {"one": [300], "many": [15] * 12}[shape]
    for number, size in enumerate(sizes):
        with (tmp_path / f"model-{number}.bin").open("wb") as file:
            for block in range(size):
                file.write(bytes([block % 251, number]) * (MIB // 2))
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(tmp_path), target.uri, str(checkpoint), Mirror(store).uri],
        env=store.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert measured.returncode == 0, measured.stderr
    assert float(measured.stdout.split()[-1]) < 100, "MiB more than for a small model"
    assert {name: len(data) for name, data in target.files.items()} == {
        path.name: path.stat().st_size for path in tmp_path.iterdir()
    }
