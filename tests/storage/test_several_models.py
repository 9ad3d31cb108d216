"""Several pairs of URI and folder in one call: side by side, within one budget, and all of them or none."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import Model
from tests.storage.pod import contents
from tests.support.checkpoint import tiny_checkpoint
from tests.support.counting_proxy import CountingProxy, Fault, Request, counting_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.storage.pod import Outcome, Pod
    from tests.support.seaweedfs import SeaweedFS

KIB, MIB = 1 << 10, 1 << 20
SHARDS = 4
PATIENCE = 15.0  # seconds for which a request waits for another one


@pytest.fixture(scope="module")
def models(store: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    """Two models of four shards of 2 MiB each, which no test changes."""
    folder = tmp_path_factory.mktemp("several")
    tiny_checkpoint(folder, shards=SHARDS, tensors_per_shard=1, tensor_bytes=2 * MIB)
    return [Model(store, f"{folder.name}-{name}", folder).upload() for name in ("one", "two")]


@pytest.fixture
def proxy(store: SeaweedFS) -> Iterator[CountingProxy]:
    with counting_proxy(store.endpoint_url) as running:
        yield running


@pytest.fixture
def pod(pod: Pod, store: SeaweedFS, proxy: CountingProxy) -> Pod:
    """A pod that downloads over the proxy."""
    pod.environment |= store.environment(proxy.endpoint_url, reader=True)
    pod.environment |= {"WELLHEAD_MODE": "download", "WELLHEAD_CONNECTIONS": str(2 * SHARDS)}
    return pod


def folders(pod: Pod) -> list[Path]:
    return [pod.destination / "one", pod.destination / "two"]


def init(pod: Pod, models: list[Model], **environment: str) -> Outcome:
    """One call with both."""
    one, two = folders(pod)
    return pod.init(models[0].uri, one, models[1].uri, two, **environment)


def published(folder: Path) -> dict[str, bytes]:
    """What a reader of the folder sees."""
    return {name: data for name, data in contents(folder).items() if not name.startswith(".wellhead/")}


def wanted(request: Request) -> int:
    """Bytes that a request is for; 0 for anything but a large transfer."""
    first, _, last = (request.range or "").removeprefix("bytes=").partition("-")
    size = int(last) - int(first) + 1 if last else 0
    return size if size > 64 * KIB else 0


def is_of(request: Request, model: Model) -> bool:
    return f"/{model.prefix}/" in request.path or f"prefix={model.prefix}%2F" in request.target


def in_flight(proxy: CountingProxy) -> list[Request]:
    """Large transfers whose last byte has not left the proxy, so that no client can have gone on to another."""
    return [request for request in proxy.requests if request.body_bytes < wanted(request)]


@pytest.mark.parametrize("phase", ["listing", "weights"])
def test_they_are_prepared_side_by_side(pod: Pod, models: list[Model], proxy: CountingProxy, phase: str) -> None:
    """The first request of either waits for that of the other: one after the other would get nowhere."""
    meeting = threading.Barrier(2)
    came: set[str] = set()
    lock = threading.Lock()

    def meet(request: Request) -> None:
        if ("list-type" in request.target) if phase == "listing" else wanted(request):
            [model] = [model for model in models if is_of(request, model)]
            with lock:
                first = model.prefix not in came
                came.add(model.prefix)
            if first:
                meeting.wait(PATIENCE)

    proxy.interfere = meet
    outcome = init(pod, models)
    assert outcome.exit_code == 0, outcome.stderr
    assert not meeting.broken
    assert came == {model.prefix for model in models}
    assert [published(folder) for folder in folders(pod)] == [model.files for model in models]


def test_they_share_one_budget_of_connections(pod: Pod, models: list[Model], proxy: CountingProxy) -> None:
    at_a_time: list[int] = []
    proxy.per_connection_rate = 8 * MIB
    proxy.interfere = lambda request: at_a_time.append(len(in_flight(proxy))) if wanted(request) else None
    outcome = init(pod, models, WELLHEAD_CONNECTIONS="3")
    assert outcome.exit_code == 0, outcome.stderr
    assert [published(folder) for folder in folders(pod)] == [model.files for model in models]
    assert len(at_a_time) == 2 * SHARDS
    assert max(at_a_time) == 3


FAILURES: dict[str, tuple[Callable[[], Fault], int, str]] = {
    "refused": (lambda: Fault(403, "AccessDenied"), 12, "The store refuses access to"),
    "broken off": (lambda: Fault(after=0), 16, ""),
    "broken": (lambda: Fault(flip=True), 17, "came back twice with another checksum"),
}


@pytest.mark.parametrize("failing", [0, 1], ids=["the first", "the second"])
@pytest.mark.parametrize("failure", FAILURES)
def test_one_that_fails_in_a_transfer_stops_the_other(
    pod: Pod, models: list[Model], proxy: CountingProxy, failure: str, failing: int
) -> None:
    fault, code, sentence = FAILURES[failure]
    other = models[1 - failing]

    def interfere(request: Request) -> Fault | None:
        if not wanted(request):
            return None
        if is_of(request, other):
            return Fault(rate=64 * KIB)  # half a minute for each shard
        deadline = time.monotonic() + PATIENCE
        while not any(each.body_bytes for each in in_flight(proxy) if is_of(each, other)):
            assert time.monotonic() < deadline, "the other one is not on its way"
            time.sleep(0.02)
        return fault()

    proxy.interfere = interfere
    outcome = init(pod, models, WELLHEAD_RETRY_TIMEOUT="1", WELLHEAD_CONNECTIONS="16")
    assert outcome.exit_code == code, outcome.stderr
    assert outcome.sentence.startswith(f"For {folders(pod)[failing]}: ")
    assert sentence in outcome.sentence
    assert outcome.seconds < PATIENCE, "it did not wait for the other one"
    assert [request for request in in_flight(proxy) if is_of(request, other)], "which was not ready"
    assert [published(folder) for folder in folders(pod)] == [{}, {}]
    left = {name.split("/")[1] for folder in folders(pod) for name in contents(folder)}
    assert left <= {"partial", "partial.jsonl"}, "nothing but what the next run goes on from"

    proxy.interfere = lambda _: None
    assert init(pod, models).exit_code == 0
    assert [published(folder) for folder in folders(pod)] == [model.files for model in models]
