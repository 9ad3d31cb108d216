"""The control page: what one process writes there, others see, and the kernel says whether the fetcher lives."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from wellhead_storage.control_page import ArrivingFile, ControlPage, ForeignPage, State, hold, is_held

FILES = (
    ArrivingFile("model-1.safetensors", size=2510, begin=10, descriptor=7),
    ArrivingFile("model-2.safetensors", size=80, begin=80, descriptor=8),  # a shard without a tensor
    ArrivingFile("model-10.safetensors", size=1000, begin=100, descriptor=9),
)


@pytest.fixture
def descriptor() -> Iterator[int]:
    memory = os.memfd_create("page")
    ControlPage.write(memory, "/mnt/models", FILES, 90.0, part_bytes=1000)
    yield memory
    os.close(memory)


@pytest.fixture
def page(descriptor: int) -> Iterator[ControlPage]:
    written = ControlPage(descriptor, write=True)
    yield written
    written.close()


@pytest.fixture
def reader(descriptor: int) -> Iterator[ControlPage]:
    read = ControlPage(descriptor)
    yield read
    read.close()


def test_the_file_table_and_its_parts(reader: ControlPage) -> None:
    assert (reader.folder, reader.patience, reader.files) == ("/mnt/models", 90.0, FILES)
    assert [(part.file.name, part.start, part.length) for part in reader.parts] == [
        ("model-1.safetensors", 10, 1000),
        ("model-1.safetensors", 1010, 1000),
        ("model-1.safetensors", 2010, 500),
        ("model-10.safetensors", 100, 900),
    ]
    assert reader.total == 2500 + 900, "headers were there before"
    assert reader.file("model-2.safetensors") == FILES[1]
    assert reader.file("model-3.safetensors") is None


@pytest.mark.parametrize("read_once", [False, True])
def test_whether_the_shards_are_read_once(read_once: bool) -> None:
    memory = os.memfd_create("page")
    ControlPage.write(memory, "/mnt/models", FILES, 90.0, read_once=read_once)
    assert ControlPage(memory).read_once is read_once
    os.close(memory)


def test_a_new_page_says_that_nothing_has_come(reader: ControlPage) -> None:
    assert reader.state is State.RUNNING
    assert not reader.given_up
    assert reader.total_arrived == 0
    assert not reader.covers("model-1.safetensors", 10, 11)
    assert reader.covers("model-1.safetensors", 0, 10), "the header"
    assert reader.covers("model-1.safetensors", 500, 500), "an empty tensor has no byte to wait for"


def test_what_arrives_is_seen_to_the_byte(page: ControlPage, reader: ControlPage) -> None:
    page.advance(0, 1000)
    page.advance(1, 250)
    page.advance(3, 900)
    name = "model-1.safetensors"
    assert reader.covers(name, 10, 1260)
    assert not reader.covers(name, 10, 1261)
    assert reader.covers(name, 1010, 1260)
    assert not reader.covers(name, 1259, 1261)
    assert not reader.covers(name, 2010, 2011)
    assert reader.covers("model-10.safetensors", 0, 1000)
    page.advance(1, 1000)
    page.advance(2, 500)
    assert reader.covers(name, 0, 2510)
    assert reader.total_arrived == reader.total


def test_the_end(page: ControlPage, reader: ControlPage) -> None:
    page.complete()
    assert reader.state is State.COMPLETE


def test_the_moments_of_the_first_byte_and_of_the_last(page: ControlPage, reader: ControlPage) -> None:
    assert (reader.first_byte, reader.last_byte) == (0.0, 0.0)
    before = time.monotonic()
    page.advance(0, 1)
    first = reader.first_byte
    page.advance(0, 2)
    assert reader.first_byte == first >= before
    page.complete()
    assert first <= reader.last_byte <= time.monotonic()


@pytest.mark.parametrize("sentence", ["It is gone.", "Größe unbekannt.", ""])
def test_a_failure_keeps_its_sentence_and_code(page: ControlPage, reader: ControlPage, sentence: str) -> None:
    page.fail(sentence, 12)
    assert reader.state is State.FAILED
    assert reader.failure == (sentence, 12)


def test_a_long_failure_is_cut_off_and_spares_the_counters(page: ControlPage, reader: ControlPage) -> None:
    page.advance(0, 77)
    page.fail("x" * 99_999, 1)
    sentence, _ = reader.failure
    assert set(sentence) == {"x"}
    assert len(sentence) > 2000
    assert reader.arrived(0) == 77


def test_memory_that_is_given_up(page: ControlPage, reader: ControlPage) -> None:
    page.give_up()
    assert reader.given_up
    assert reader.state is State.RUNNING, "another writer's field"


@pytest.mark.parametrize(("offset", "content"), [(0, b"WELLDONE"), (8, b"\x02\0\0\0")])
def test_a_page_of_another_kind_or_version(descriptor: int, offset: int, content: bytes) -> None:
    os.pwrite(descriptor, content, offset)
    with pytest.raises(ForeignPage):
        ControlPage(descriptor)


def test_the_kernel_tells_when_the_fetcher_is_gone(descriptor: int) -> None:
    """Even where it is a zombie whose process id is still taken."""
    reader = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    held = hold(descriptor)
    code = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], pass_fds=[held], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as fetcher:
        os.close(held)
        assert fetcher.stdout is not None
        assert fetcher.stdout.readline() == b"up\n"
        assert is_held(reader)
        assert is_held(reader), "asking changes nothing"
        fetcher.kill()
        os.waitid(os.P_PID, fetcher.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        assert not is_held(reader)
        assert not is_held(reader)
    os.close(reader)
