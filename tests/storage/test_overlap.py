"""The fetcher against a real store: every byte arrives once, in order; whatever fails ends in a sentence, at once."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import BUCKET, Model, edited, header_of
from tests.storage.overlapping import fetching, whole
from tests.storage.pod import Pod
from tests.support.checkpoint import noise, safetensors_bytes
from tests.support.counting_proxy import CountingProxy, Fault, Request, counting_proxy
from tests.support.memory_cgroup import may_make_cgroups, memory_cgroup
from wellhead_runtime.overlap.arrivals import ArrivalError
from wellhead_storage.control_page import PART_BYTES
from wellhead_storage.errors import WellheadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.seaweedfs import SeaweedFS
    from wellhead_runtime.overlap.fetching import Fetching

SHARDS = {"model-2.safetensors": PART_BYTES + (5 << 20), "model-10.safetensors": 3 << 20}
LAST = "model-10.safetensors"


@pytest.fixture(scope="module")
def big(store: SeaweedFS, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model whose first shard takes two parts, as `s3://models/overlapped`, which no test may change."""
    folder = tmp_path_factory.mktemp("overlapped")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        (folder / name).write_bytes((checkpoint / name).read_bytes())
    for name, size in SHARDS.items():
        content = safetensors_bytes({f"{name}.weight": ("U8", [size], noise(name, size))})
        (folder / name).write_bytes(content)
    return Model(store, "overlapped", folder).upload()


@pytest.fixture
def proxy(store: SeaweedFS) -> Iterator[CountingProxy]:
    with counting_proxy(store.endpoint_url) as running:
        yield running


@pytest.fixture
def prepare(pod: Pod, store: SeaweedFS, proxy: CountingProxy) -> Callable[[Model], Pod]:
    """Prepares the pod for streaming a model through the proxy, which then forgets that."""

    def init(model: Model) -> Pod:
        outcome = pod.init(model.uri, **store.environment(proxy.endpoint_url, reader=True))
        assert outcome.exit_code == 0, outcome.stderr
        proxy.clear()
        return pod

    return init


def content(proxy: CountingProxy) -> list[Request]:
    return sorted(
        (request for request in proxy.requests if request.path.endswith(".safetensors")),
        key=lambda request: request.started,
    )


def error_of(started: Fetching) -> WellheadError:
    deadline = time.monotonic() + 20
    while started.error is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert started.error is not None
    return started.error


# What it does ----------------------------------------------------------------------------------------------------


def test_every_byte_arrives_once_and_in_the_order_of_the_loader(
    prepare: Callable[[Model], Pod], big: Model, proxy: CountingProxy
) -> None:
    pod = prepare(big)
    began = time.monotonic()
    with fetching(pod, WELLHEAD_CONNECTIONS="1") as (_, arrivals):
        assert whole(pod, arrivals) == big.shards
    headers = {name: len(header_of(data)) for name, data in big.shards.items()}
    first, last = "model-2.safetensors", LAST
    middle, end = headers[first] + PART_BYTES, len(big.shards[first])
    assert [(request.path.rpartition("/")[2], request.range) for request in content(proxy)] == [
        (first, f"bytes={headers[first]}-{middle - 1}"),
        (first, f"bytes={middle}-{end - 1}"),
        (last, f"bytes={headers[last]}-{len(big.shards[last]) - 1}"),
    ]
    assert proxy.body_bytes == sum(map(len, big.shards.values())) - sum(headers.values())
    etags = {f'"{file.etag}"'.replace('""', '"') for file in pod.plan.weights.files}
    assert {request.headers["if-match"] for request in content(proxy)} == etags, "pinned by the plan"
    assert content(proxy)[0].started - began < 2, "0.2 s where nothing else runs"
    assert all(request.signed for request in proxy.requests)


def test_it_lists_nothing_and_asks_for_nothing_else(
    prepare: Callable[[Model], Pod], big: Model, proxy: CountingProxy
) -> None:
    pod = prepare(big)
    with fetching(pod) as (_, arrivals):
        whole(pod, arrivals)
    assert content(proxy) == sorted(proxy.requests, key=lambda request: request.started)


def test_a_reader_sees_bytes_before_their_part_is_whole(
    prepare: Callable[[Model], Pod], big: Model, proxy: CountingProxy
) -> None:
    pod = prepare(big)
    data = big.shards[LAST]
    half = len(data) // 2
    proxy.interfere = lambda request: Fault(after=half + 1_000_000, ending="silence")
    with fetching(pod, WELLHEAD_STALL_TIMEOUT="60") as (_, arrivals):
        arrivals.wait(LAST, 0, half)
        with arrivals.shard(LAST) as path:
            assert path.read_bytes()[:half] == data[:half]


def test_it_steps_back_behind_the_engine_and_ends_by_itself(
    prepare: Callable[[Model], Pod], big: Model, proxy: CountingProxy
) -> None:
    pod = prepare(big)
    proxy.interfere = lambda _: Fault(after=0, ending="silence")
    with fetching(pod, WELLHEAD_STALL_TIMEOUT="60") as (started, _):
        while not content(proxy):
            time.sleep(0.01)
        assert os.getpriority(os.PRIO_PROCESS, started.pid) >= 10
        assert os.getsid(started.pid) == started.pid, "a terminal's Ctrl-C is its starter's affair"
    proxy.interfere = lambda _: None
    with fetching(pod) as (started, arrivals):
        whole(pod, arrivals)
        _, status = os.waitpid(started.pid, 0)
        assert status == 0
        started.ended(status)
        assert started.error is None


def test_secrets_are_neither_in_its_arguments_nor_in_its_environment(
    prepare: Callable[[Model], Pod],
    big: Model,
    proxy: CountingProxy,
    store: SeaweedFS,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pod = prepare(big)
    secret = store.environment(reader=True)["AWS_SECRET_ACCESS_KEY"]
    proxy.interfere = lambda _: Fault(after=0, ending="silence")
    with fetching(pod, WELLHEAD_STALL_TIMEOUT="60", WELLHEAD_LOG_LEVEL="debug") as (started, _):
        while not content(proxy):
            time.sleep(0.01)
        for name in ("cmdline", "environ"):
            assert secret.encode() not in Path(f"/proc/{started.pid}/{name}").read_bytes()
    assert secret not in "".join(capfd.readouterr())


def test_progress_is_told_at_a_readable_pace(
    prepare: Callable[[Model], Pod], big: Model, proxy: CountingProxy, capfd: pytest.CaptureFixture[str]
) -> None:
    pod = prepare(big)
    proxy.per_connection_rate = 5 << 20
    with fetching(pod, WELLHEAD_LOG_FORMAT="json") as (_, arrivals):
        whole(pod, arrivals)
        time.sleep(0.2)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    *steps, end = [line for line in lines if "bytes_total" in line]
    assert 1 <= len(steps) <= 3
    total = sum(map(len, big.shards.values())) - sum(len(header_of(data)) for data in big.shards.values())
    for step in steps:
        assert 0 < step["bytes_done"] < step["bytes_total"] == total
        assert step["bytes_per_second"] > 0
        assert step["seconds_left"] >= 0
        assert big.uri in step["message"]
    assert (end["bytes_total"], end["message"].startswith("all weights are in memory")) == (total, True)


# What goes wrong -------------------------------------------------------------------------------------------------

BREAKS = {
    "reset": Fault(after=1_000_000, ending="reset"),
    "closed": Fault(after=1_000_000, ending="close"),
    "silence": Fault(after=1_000_000, ending="silence"),
    "refused for a while": Fault(status=503, code="SlowDown"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_broke_off_is_gone_on_with(
    prepare: Callable[[Model], Pod], big: Model, proxy: CountingProxy, case: str
) -> None:
    pod = prepare(big)
    broken: list[str] = []

    def interfere(request: Request) -> Fault | None:
        if len(broken) == 3:
            return None
        broken.append(request.path)
        return BREAKS[case]

    proxy.interfere = interfere
    with fetching(pod) as (started, arrivals):
        assert whole(pod, arrivals) == big.shards
        assert started.error is None
    assert len(broken) == 3
    needed = sum(len(data) - len(header_of(data)) for data in big.shards.values())
    # A reset throws away what the system had received and nobody had read; nothing else comes twice.
    lost = len(broken) * 1_000_000 if case == "reset" else 0
    assert needed <= proxy.body_bytes <= needed + lost


REFUSALS = {
    "access denied in the middle": (Fault(status=403, code="AccessDenied"), 12, "The store refuses access to"),
    "expired token": (Fault(status=400, code="ExpiredToken"), 12, "the session token has expired"),
    "gone": (Fault(status=404, code="NoSuchKey"), 11, "does not exist"),
    "overloaded for too long": (Fault(status=503, code="SlowDown"), 16, "keeps answering 503"),
    "silent for too long": (Fault(after=0, ending="silence"), 16, "cannot be re"),
    "whole instead of a part": (Fault(headers={"etag": '"another"'}), 17, "was replaced while it was being read"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_had_is_said_by_everybody(
    prepare: Callable[[Model], Pod], big: Model, proxy: CountingProxy, case: str
) -> None:
    fault, code, words = REFUSALS[case]
    pod = prepare(big)
    proxy.interfere = lambda request: fault if request.path.endswith(LAST) else None
    with fetching(pod) as (started, arrivals):
        error = error_of(started)
        assert error.exit_code == code
        assert words in str(error)
        assert f"{big.uri}/{LAST}" in str(error)
        with pytest.raises(ArrivalError) as caught:
            arrivals.wait(LAST, 0, len(big.shards[LAST]))
        assert str(caught.value) == str(error)


def test_an_object_that_was_replaced_since_the_plan_is_refused(
    prepare: Callable[[Model], Pod], model: Model, proxy: CountingProxy
) -> None:
    pod = prepare(model)
    name = sorted(model.shards)[1]
    model.put(name, edited(model.shards[name]))
    with fetching(pod) as (started, _):
        error = error_of(started)
    assert error.exit_code == 17
    assert str(error).startswith(f"{model.uri}/{name} was replaced while it was being read.")


def test_a_fetcher_that_is_killed_is_no_riddle(
    prepare: Callable[[Model], Pod], big: Model, proxy: CountingProxy
) -> None:
    pod = prepare(big)
    proxy.interfere = lambda _: Fault(after=1000, ending="silence")
    with fetching(pod, WELLHEAD_STALL_TIMEOUT="60") as (started, arrivals):
        while not content(proxy):
            time.sleep(0.01)
        os.kill(started.pid, signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(ArrivalError, match="is gone; it was killed"):
            arrivals.wait(LAST, 0, len(big.shards[LAST]))
        assert time.monotonic() - began < 5, "though it is a zombie that nobody has reaped"
        started.ended(os.waitpid(started.pid, 0)[1])
        error = error_of(started)
    assert error.exit_code == 20
    assert "(signal SIGKILL): it was killed, most likely for memory." in str(error)
    assert "runai_streamer" in error.hint


@pytest.mark.skipif(not may_make_cgroups(), reason="only root can make cgroups, and where the host lets it")
def test_a_memory_limit_that_is_reached(prepare: Callable[[Model], Pod], big: Model, proxy: CountingProxy) -> None:
    pod = prepare(big)
    proxy.per_connection_rate = 20 << 20
    with memory_cgroup(32 << 20) as cgroup, fetching(pod) as (started, arrivals):
        (cgroup.folder / "cgroup.procs").write_text(str(started.pid))
        with pytest.raises(ArrivalError, match="is gone; it was killed, most likely for memory"):
            whole(pod, arrivals)
        started.ended(os.waitpid(started.pid, 0)[1])
        assert "most likely for memory" in str(error_of(started))
        assert cgroup.kills == 1


def test_a_fetcher_that_never_starts_says_so_too(
    prepare: Callable[[Model], Pod], big: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = prepare(big)
    monkeypatch.setattr("wellhead_runtime.overlap.fetching._FETCHER", "no_such_module")
    with fetching(pod) as (started, arrivals):
        with pytest.raises(ArrivalError, match="is gone"):
            whole(pod, arrivals)
        started.ended(os.waitpid(started.pid, 0)[1])
        assert "ended before they were there (exit code 1)" in str(error_of(started))


def test_the_memory_goes_when_it_is_given_up(prepare: Callable[[Model], Pod], big: Model) -> None:
    pod = prepare(big)

    def memory() -> int:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Shmem:"))

    with fetching(pod) as (started, arrivals):
        whole(pod, arrivals)
        before = memory()
        started.give_up()
        assert before - memory() > 30 << 10, "KiB; others use shared memory, too"
        with pytest.raises(ArrivalError, match="cannot be loaded a second time"), arrivals.shard(LAST):
            pass
        started.give_up()  # a second line of a server that says it twice


def test_a_folder_that_was_changed_is_not_begun_with(prepare: Callable[[Model], Pod], big: Model) -> None:
    pod = prepare(big)
    (pod.destination / LAST).write_bytes(b"other")
    with pytest.raises(WellheadError, match="is not the header that the initializer left there"), fetching(pod):
        pass
    assert BUCKET in pod.plan.weights.uri
