"""What networks and stores do to a download: nothing is lost that was there, nothing is published that is not whole.

Every case runs `wellhead init` against a real store behind a proxy that misbehaves on demand. What a fault leaves
behind is shown by the call after it: it ends with a model that is equal to the original, byte for byte.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import Model, one_tensor
from tests.storage.pod import Outcome, Pod
from tests.support.counting_proxy import CountingProxy, Fault, Request, counting_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHARD = "model-00002-of-00003.safetensors"
SIZE = 6 << 20
HURRIED = {"WELLHEAD_STALL_TIMEOUT": "1", "WELLHEAD_REQUEST_TIMEOUT": "3", "WELLHEAD_RETRY_TIMEOUT": "2"}


class Times:
    """Says yes to the first `count` requests for one key's content; `count` None means to all of them."""

    def __init__(self, fault: Fault, count: int | None = None, name: str = SHARD) -> None:
        self.fault, self.count, self.name = fault, count, name
        self.seen = 0
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Fault | None:
        if request.method != "GET" or not request.path.endswith(f"/{self.name}") or is_header(request):
            return None
        with self._lock:
            self.seen += 1
            return self.fault if self.count is None or self.seen <= self.count else None


def is_header(request: Request) -> bool:
    """The survey's reads of 8 bytes and of a header; the download asks for whole parts."""
    begin, _, end = (request.range or "bytes=0-").removeprefix("bytes=").partition("-")
    return bool(end) and int(end) - int(begin) < 100_000


@pytest.fixture
def large(new_model: Callable[[], Model]) -> Model:
    """A model whose second shard takes several chunks."""
    model = new_model()
    model.put(SHARD, one_tensor("large", SIZE))
    model.delete("model.safetensors.index.json")
    return model


@pytest.fixture
def proxy(large: Model) -> Iterator[CountingProxy]:
    with counting_proxy(large.store.endpoint_url) as running:
        yield running


def download(pod: Pod, model: Model, proxy: CountingProxy, **variables: str) -> Outcome:
    return pod.init(model.uri, WELLHEAD_MODE="download", AWS_ENDPOINT_URL=proxy.endpoint_url, **HURRIED | variables)


def assert_whole(pod: Pod, outcome: Outcome, model: Model) -> None:
    assert outcome.exit_code == 0, outcome.stderr
    expected = {name: data for name, data in model.files.items() if name != "model.safetensors.index.json"}
    assert pod.files == expected | {SHARD: one_tensor("large", SIZE)}


def assert_nothing_published(pod: Pod) -> None:
    assert pod.files == {}
    assert "plan.json" not in pod.own_files
    assert "manifest.json" not in pod.own_files


# Faults that pass ------------------------------------------------------------------------------------------------

PASSING = {
    "a reset in the middle of a body": Times(Fault(after=3 << 20), 2),
    "a reset before the first byte": Times(Fault(after=0), 2),
    "a body that ends too early, under a correct head": Times(Fault(after=3 << 20, ending="close"), 2),
    "silence in the middle of a body": Times(Fault(after=3 << 20, ending="silence"), 1),
    "silence instead of a body": Times(Fault(after=0, ending="silence"), 1),
    "a burst of 500": Times(Fault(status=500, code="InternalError"), 3),
    "a burst of 503": Times(Fault(status=503, code="SlowDown"), 3),
    "a burst of 429": Times(Fault(status=429, code="TooManyRequests", headers={"retry-after": "1"}), 2),
}


@pytest.mark.parametrize("case", PASSING)
def test_what_passes_costs_time_and_nothing_else(pod: Pod, large: Model, proxy: CountingProxy, case: str) -> None:
    fault = PASSING[case]
    fault.seen = 0
    proxy.interfere = fault
    outcome = download(pod, large, proxy, WELLHEAD_RETRY_TIMEOUT="20")
    assert_whole(pod, outcome, large)
    assert fault.seen >= (fault.count or 0), "the fault did not happen"


def test_what_had_arrived_before_a_break_is_not_fetched_again(pod: Pod, large: Model, proxy: CountingProxy) -> None:
    proxy.interfere = Times(Fault(after=4 << 20, ending="close"), 1)
    assert_whole(pod, download(pod, large, proxy), large)
    fetched = [request.body_bytes for request in proxy.requests if request.path.endswith(SHARD)]
    assert SIZE <= sum(fetched) < SIZE + (2 << 20), "at most the chunk that was under way came twice"


def test_wrong_bytes_are_noticed_and_fetched_again(pod: Pod, large: Model, proxy: CountingProxy) -> None:
    proxy.interfere = Times(Fault(flip=True), 1)
    outcome = download(pod, large, proxy)
    assert_whole(pod, outcome, large)
    assert f"{large.uri}/{SHARD} is not what the store says it is: fetching it again" in outcome.stderr


def test_wrong_bytes_pass_where_nobody_wants_checksums(pod: Pod, large: Model, proxy: CountingProxy) -> None:
    """Which shows that it is the checksum that notices them."""
    proxy.interfere = Times(Fault(flip=True), 1)
    assert download(pod, large, proxy, WELLHEAD_VERIFY="size").exit_code == 0
    assert pod.files[SHARD] != one_tensor("large", SIZE)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_burst_on_the_listing_is_ridden_out(pod: Pod, large: Model, proxy: CountingProxy, status: int) -> None:
    """Longer than a request's own retries."""
    left = iter(range(10))

    def interfere(request: Request) -> Fault | None:
        listing = "list-type=2" in request.target
        return Fault(status=status, code="SlowDown") if listing and next(left, None) is not None else None

    proxy.interfere = interfere
    outcome = download(pod, large, proxy, WELLHEAD_RETRY_TIMEOUT="30")
    assert_whole(pod, outcome, large)
    assert next(left, None) is None, "ten were refused"


def test_a_wrong_range_of_a_cache_passes(pod: Pod, large: Model, proxy: CountingProxy) -> None:
    proxy.interfere = Times(Fault(headers={"content-range": f"bytes 1-{SIZE}/{SIZE + 80}"}), 1)
    assert_whole(pod, download(pod, large, proxy, WELLHEAD_RETRY_TIMEOUT="20"), large)


# Faults that stay ------------------------------------------------------------------------------------------------

WHERE = "{uri}/" + SHARD
AGAIN = "Try again later, or look at the store's own log."
LASTING: dict[str, tuple[Fault, int, str]] = {
    "500": (Fault(status=500, code="InternalError"), 16, f"The store keeps answering 500 InternalError for {WHERE}."),
    "503": (Fault(status=503, code="SlowDown"), 16, f"The store keeps answering 503 SlowDown for {WHERE}."),
    "429": (
        Fault(status=429, code="TooManyRequests"),
        16,
        f"The store keeps answering 429 TooManyRequests for {WHERE}.",
    ),
    "403 after the listing": (
        Fault(status=403, code="AccessDenied"),
        12,
        f"The store refuses access to {WHERE}: these credentials may not read it.",
    ),
    "a session that expires": (
        Fault(status=400, code="ExpiredToken"),
        12,
        f"The store refuses access to {WHERE}: the session token has expired.",
    ),
    "a clock that is wrong": (
        Fault(status=403, code="RequestTimeTooSkewed"),
        12,
        f"The store refuses access to {WHERE}: this machine's clock differs from its own by more than 15 minutes.",
    ),
    "an object that vanishes": (Fault(status=404, code="NoSuchKey"), 11, f"{WHERE} does not exist."),
    "an object that is replaced": (
        Fault(status=412, code="PreconditionFailed"),
        17,
        f"{WHERE} was replaced while it was being read.",
    ),
    "a redirect to itself": (
        Fault(status=307, headers={"location": "/models/{folder}/" + SHARD}),
        19,
        f"The store of {WHERE} redirects in a circle.",
    ),
    "another range than asked for": (
        Fault(headers={"content-range": f"bytes 1-{SIZE}/{SIZE + 80}"}),
        17,
        f"{WHERE} came as another range than the one asked for.",
    ),
    "wrong bytes": (
        Fault(flip=True),
        17,
        f"{WHERE} came back twice with another checksum than the store's.",
    ),
    "silence": (Fault(after=0, ending="silence"), 16, f"The store of {WHERE} cannot be reached"),
    "a trickle": (Fault(rate=100), 16, f"The store of {WHERE} cannot be reached"),
    "resets": (Fault(after=100), 16, f"The store of {WHERE} cannot be r"),
    "bodies that end too early": (Fault(after=100, ending="close"), 16, f"The store of {WHERE} cannot be r"),
}


@pytest.mark.parametrize("case", LASTING)
def test_what_stays_ends_the_call_with_a_sentence(pod: Pod, large: Model, proxy: CountingProxy, case: str) -> None:
    fault, code, words = LASTING[case]
    headers = {name: value.format(folder=large.prefix) for name, value in fault.headers.items()}
    proxy.interfere = Times(replace(fault, headers=headers))
    outcome = download(pod, large, proxy, WELLHEAD_CONNECTIONS="4")
    assert (outcome.exit_code, outcome.sentence[: len(words.format(uri=large.uri))]) == (
        code,
        words.format(uri=large.uri),
    )
    assert "Traceback" not in outcome.stderr
    assert outcome.seconds < 30
    assert_nothing_published(pod)

    proxy.interfere = lambda _: None
    proxy.clear()
    assert_whole(pod, download(pod, large, proxy), large)


@pytest.mark.parametrize(
    "case", ["an object that vanishes", "an object that is replaced", "another range than asked for"]
)
def test_a_bad_object_costs_the_others_nothing(pod: Pod, large: Model, proxy: CountingProxy, case: str) -> None:
    shards = [name for name in large.files if name.endswith(".safetensors") and name != SHARD]
    proxy.interfere = Times(LASTING[case][0])
    assert download(pod, large, proxy, WELLHEAD_CONNECTIONS="1").exit_code == LASTING[case][1]
    assert_nothing_published(pod)
    first, third = sorted(shards)
    proxy.interfere = lambda _: None
    proxy.clear()
    assert_whole(pod, download(pod, large, proxy), large)
    parts = {request.path.rpartition("/")[2] for request in proxy.requests if not is_header(request)}
    assert first not in parts, "it was there before the bad one"
    assert {SHARD, third} <= parts


def test_a_busy_store_is_asked_by_fewer_at_a_time(pod: Pod, new_model: Callable[[], Model]) -> None:
    """After a refusal that outlasts a request's own retries, half as many transfers run."""
    model = new_model()
    with counting_proxy(model.store.endpoint_url) as proxy:
        names = [name for name in model.files if name.endswith(".safetensors")]
        busy = {name: Times(Fault(status=503, code="SlowDown"), 8, name) for name in names}
        proxy.interfere = lambda request: next((fault for name in names if (fault := busy[name](request))), None)
        outcome = pod.init(
            model.uri, WELLHEAD_MODE="download", AWS_ENDPOINT_URL=proxy.endpoint_url, WELLHEAD_RETRY_TIMEOUT="30"
        )
        assert outcome.exit_code == 0, outcome.stderr
        assert pod.files == model.files
        assert "trying again in" in outcome.stderr
        statuses = Counter(request.status for request in proxy.requests if request.path.endswith(".safetensors"))
    assert statuses[206] >= len(names)


def test_the_folder_may_hold_what_is_somebody_elses(pod: Pod, llama: Model) -> None:
    pod.destination.mkdir(parents=True)
    (pod.destination / "notes.txt").write_text("mine")
    (pod.destination / "lost+found").mkdir()
    assert pod.init(llama.uri, WELLHEAD_MODE="download").exit_code == 0
    assert pod.files == llama.files | {"notes.txt": b"mine"}
    assert (pod.destination / "lost+found").is_dir()
