"""The engine's side of the shared memory: it waits for bytes, and never for ever."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.arriving import Arriving, arriving
from tests.support.checkpoint import tiny_checkpoint
from wellhead_runtime.overlap.arrivals import ArrivalError, Arrivals

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "model", tensor_bytes=1024)


@pytest.fixture
def memory(folder: Path) -> Iterator[Arriving]:
    with arriving(folder) as made:
        yield made


class Clock:
    """Time that passes only while somebody sleeps; `then` happens at the first sleep after so many seconds."""

    def __init__(self, *events: tuple[float, Callable[[], object]]) -> None:
        self.now, self.events = 0.0, list(events)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.events and self.now >= self.events[0][0]:
            self.events.pop(0)[1]()

    def __call__(self) -> float:
        return self.now


def arrivals(memory: Arriving, clock: Clock) -> Arrivals:
    return Arrivals(memory.path, clock.sleep, clock)


def size(folder: Path, name: str) -> int:
    return (folder / name).stat().st_size


def test_what_is_there_is_not_waited_for(memory: Arriving, folder: Path) -> None:
    memory.bring_all()
    clock = Clock()
    found = arrivals(memory, clock)
    found.wait(FIRST, 0, size(folder, FIRST))
    assert (clock.now, found.waited) == (0, 0)
    with found.shard(FIRST) as path:
        assert path.read_bytes() == (folder / FIRST).read_bytes()


def test_the_header_is_there_before_anything_has_arrived(memory: Arriving, folder: Path) -> None:
    found = arrivals(memory, Clock())
    assert found.header(SECOND).raw == (folder / SECOND).read_bytes()[: len(found.header(SECOND).raw)]
    assert len(found.header(SECOND).tensors) == 3
    with found.shard(SECOND) as path:
        assert path.stat().st_size == size(folder, SECOND), "readers see a whole file"


def test_a_wait_ends_with_the_last_byte(memory: Arriving) -> None:
    begin = memory.page.files[0].begin
    clock = Clock((1.0, lambda: memory.bring(0, 500)), (2.0, lambda: memory.bring(0, 501)), (3.0, memory.die))
    found = arrivals(memory, clock)
    found.wait(FIRST, begin, begin + 501)
    assert 2.0 <= found.waited < 2.1
    with found.shard(FIRST) as path:
        assert path.read_bytes()[begin : begin + 501] != bytes(501)


def test_a_slow_store_is_waited_for_as_long_as_anything_comes(memory: Arriving, folder: Path) -> None:
    steps = len(memory.page.parts)
    clock = Clock(*((4.0 * number, lambda number=number: memory.bring(number)) for number in range(steps)))
    found = arrivals(memory, clock)
    found.wait(SECOND, 0, size(folder, SECOND))
    assert found.waited >= 4.0 * (steps - 1) > 5.0


def test_a_wait_without_any_progress_ends_by_itself(memory: Arriving) -> None:
    clock = Clock((1.0, lambda: memory.bring(0, 300)))
    found = arrivals(memory, clock)
    with pytest.raises(ArrivalError, match=r"stopped arriving: nothing for 5 s, with 300 of 6,144 bytes there"):
        found.wait(FIRST, 0, 2000)
    assert clock.now < 7


def test_the_fetchers_own_sentence_is_passed_on_at_once(memory: Arriving) -> None:
    clock = Clock((1.0, lambda: memory.page.fail("The store refuses access to s3://models/llama.", 12)))
    with pytest.raises(ArrivalError, match=r"^The store refuses access to s3://models/llama\.$"):
        arrivals(memory, clock).wait(FIRST, 0, 2000)
    assert clock.now < 1.5


def test_a_fetcher_that_is_gone_is_noticed_at_once(memory: Arriving) -> None:
    clock = Clock((1.0, memory.die))
    with pytest.raises(ArrivalError, match="is gone; it was killed"):
        arrivals(memory, clock).wait(FIRST, 0, 2000)
    assert clock.now < 1.5


def test_a_fetcher_that_has_said_everything_may_go(memory: Arriving, folder: Path) -> None:
    clock = Clock((1.0, memory.bring_all), (1.0, memory.die))
    arrivals(memory, clock).wait(SECOND, 0, size(folder, SECOND))
    assert clock.now < 1.5


def test_a_second_load_gets_a_sentence_and_no_zeros(memory: Arriving) -> None:
    memory.bring_all()
    found = arrivals(memory, Clock())
    memory.give_up()
    for again in (found, arrivals(memory, Clock())):
        with pytest.raises(ArrivalError, match="cannot be loaded a second time"), again.shard(FIRST):
            pass
        with pytest.raises(ArrivalError, match="cannot be loaded a second time"):
            again.header(FIRST)


def test_what_a_reader_has_mapped_stays_when_the_memory_is_given_up(memory: Arriving, folder: Path) -> None:
    memory.bring_all()
    with arrivals(memory, Clock()).shard(FIRST) as path, path.open("rb") as kept:
        memory.give_up()
        assert kept.read() == (folder / FIRST).read_bytes()


def test_other_folders_are_not_ours(memory: Arriving, folder: Path, tmp_path: Path) -> None:
    found = arrivals(memory, Clock())
    (tmp_path / "link").symlink_to(folder)
    assert found.owns(str(folder))
    assert found.owns(f"{tmp_path}/link/")
    assert not found.owns(str(tmp_path))
    assert not found.owns("org/model")


def test_a_shard_that_the_plan_does_not_know(memory: Arriving) -> None:
    with (
        pytest.raises(ArrivalError, match=r"x\.safetensors is not among the weights"),
        arrivals(memory, Clock()).shard("x.safetensors"),
    ):
        pass


def test_a_page_that_is_gone_or_none(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(bytes(8192))
    (tmp_path / "empty").touch()
    for name in ("nothing", "page", "empty"):
        with pytest.raises(ArrivalError, match="cannot be opened"):
            Arrivals(tmp_path / name)


def test_real_time_passes_in_between(memory: Arriving) -> None:
    """Without the clocks of the tests above."""
    child = os.fork()
    if not child:
        time.sleep(0.1)
        memory.bring(0)
        os._exit(0)
    found = Arrivals(memory.path)
    found.wait(FIRST, 0, memory.page.files[0].begin + 1000)
    os.waitpid(child, 0)
    assert 0.05 < found.waited < 5
