"""A mirror between stores that misbehave."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.storage.mirroring import Mirror, reads_weights
from tests.storage.model import Model
from tests.support.checkpoint import tiny_checkpoint
from tests.support.counting_proxy import CountingProxy, Fault, Request, counting_proxy
from tests.support.seaweedfs import SeaweedFS
from wellhead_storage.errors import AccessDenied, IntegrityError, StoreUnavailable
from wellhead_storage.manifest import MANIFEST_NAME
from wellhead_storage.settings import Settings

SHARD = "model-00001-of-00002.safetensors"
PATIENT = Settings(retry_timeout=20)


@pytest.fixture(scope="module")
def large(store: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Two shards of two parts each."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("faults"), shards=2, tensors_per_shard=1, tensor_bytes=6 << 20)
    return Model(store, "large-with-faults", folder).upload()


@pytest.fixture
def target(store: SeaweedFS) -> Mirror:
    return Mirror(store)


@pytest.fixture
def proxy(store: SeaweedFS) -> Iterator[CountingProxy]:
    with counting_proxy(store.endpoint_url) as proxy:
        yield proxy


def misbehave(proxy: CountingProxy, fault: Fault, which: Callable[[Request], bool], times: int | None) -> list[Request]:
    """Let matching requests meet the fault, so many times; returns those that did."""
    met: list[Request] = []

    def interfere(request: Request) -> Fault | None:
        if not which(request) or (times is not None and len(met) >= times):
            return None
        met.append(request)
        return fault

    proxy.interfere = interfere
    return met


def reads(request: Request) -> bool:
    return reads_weights(request) and request.path.endswith(f"large-with-faults/{SHARD}")


def writes_a_part(request: Request) -> bool:
    return request.method == "PUT" and "partNumber=" in request.target


def completes(request: Request) -> bool:
    return request.method == "POST" and "?uploadId=" in request.target


def aborts(request: Request) -> bool:
    return request.method == "DELETE" and "?uploadId=" in request.target


@pytest.mark.parametrize(
    ("fault", "which", "times"),
    [
        pytest.param(Fault(after=1 << 20), reads, 2, id="the source resets"),
        pytest.param(Fault(after=1 << 20, ending="close"), reads, 2, id="the source breaks off"),
        pytest.param(Fault(status=503, code="SlowDown"), reads, 3, id="the source is busy"),
        pytest.param(Fault(status=503, code="SlowDown"), writes_a_part, 3, id="the destination is busy"),
        pytest.param(Fault(status=500, code="InternalError"), completes, 2, id="the destination fails at the end"),
    ],
)
def test_what_passes_is_waited_for(
    large: Model,
    target: Mirror,
    proxy: CountingProxy,
    fault: Fault,
    which: Callable[[Request], bool],
    times: int,
) -> None:
    met = misbehave(proxy, fault, which, times)
    target.of(large.uri, endpoint=proxy.endpoint_url, settings=PATIENT)
    assert len(met) == times
    assert target.files == large.files


def test_progress_counts_what_is_read_again_once(
    large: Model, target: Mirror, proxy: CountingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second part of an object is refused once, which shows when the first has come."""
    shown: list[int] = []
    totals: list[int] = []

    class Watched:
        every = 0.01

        def show(self, done: int) -> None:
            shown.append(done)

        def close(self) -> None:
            shown.append(-1)

    def make(_: str, total: int, already: int) -> Watched:
        totals.append(total)
        return Watched()

    monkeypatch.setattr("wellhead_storage.mirror.carry_out.meters", lambda _: make)

    def second_part(request: Request) -> bool:
        return reads(request) and not (request.range or "").startswith("bytes=0-")

    met = misbehave(proxy, Fault(status=412, code="PreconditionFailed"), second_part, 1)
    proxy.per_connection_rate = 16 << 20
    target.of(large.uri, endpoint=proxy.endpoint_url, settings=PATIENT)
    assert len(met) == 1
    assert totals == [sum(map(len, large.files.values()))]
    assert shown.pop() == -1
    assert 0 < max(shown) <= totals[0]
    assert any(later < earlier for earlier, later in itertools.pairwise(shown)), "what came in vain is taken back"


def test_bytes_damaged_once_on_their_way_here_are_read_again(
    model: Model, target: Mirror, proxy: CountingProxy
) -> None:
    met = misbehave(proxy, Fault(flip=True), lambda request: request.path.endswith(f"{model.prefix}/tokenizer.json"), 1)
    target.of(model.uri, endpoint=proxy.endpoint_url, settings=PATIENT)
    assert len(met) == 1
    assert target.files == model.files


def test_bytes_damaged_every_time_are_not_published(model: Model, target: Mirror, proxy: CountingProxy) -> None:
    misbehave(proxy, Fault(flip=True), lambda request: request.path.endswith(f"{model.prefix}/tokenizer.json"), None)
    with pytest.raises(IntegrityError, match=r"tokenizer\.json came with another checksum than the store's"):
        target.of(model.uri, endpoint=proxy.endpoint_url, settings=PATIENT)
    assert "tokenizer.json" not in target.files
    assert MANIFEST_NAME not in target.everything


@pytest.mark.parametrize(
    ("fault", "which", "error", "sentence"),
    [
        (Fault(status=503, code="SlowDown"), writes_a_part, StoreUnavailable, "keeps answering 503 SlowDown for"),
        (Fault(status=403, code="AccessDenied"), writes_a_part, AccessDenied, "The store refuses to write"),
        (Fault(status=403, code="AccessDenied"), reads, AccessDenied, "The store refuses access to"),
    ],
)
def test_what_stays_ends_it_and_leaves_no_upload_open(
    large: Model,
    target: Mirror,
    proxy: CountingProxy,
    fault: Fault,
    which: Callable[[Request], bool],
    error: type[Exception],
    sentence: str,
) -> None:
    misbehave(proxy, fault, which, None)
    with pytest.raises(error, match=sentence):
        target.of(large.uri, endpoint=proxy.endpoint_url)
    begun = [request for request in proxy.requests if request.target.endswith("?uploads=")]
    ended = [request for request in proxy.requests if (completes(request) and request.status == 200) or aborts(request)]
    assert len(begun) == len(ended) > 0
    assert not {SHARD, "config.json"} & target.files.keys()
    proxy.interfere = lambda _: None
    assert target.of(large.uri, endpoint=proxy.endpoint_url).copied
    assert target.files == large.files
