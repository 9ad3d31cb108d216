"""What a restarted container believes of an unfinished download: only what is certainly on the disk."""

from __future__ import annotations

import errno
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wellhead_storage.download import journal as module
from wellhead_storage.download.journal import Journal
from wellhead_storage.download.parts import PART_BYTES, Part, split
from wellhead_storage.stores.interface import Checksum, StoredObject

SOURCE = "s3://models/llama"
BIG = StoredObject("folder/größe\u2028.bin", 3 * PART_BYTES, etag='"v1"')
SMALL = StoredObject("config.json", 5, etag='"v2"', checksum=Checksum("md5", "0" * 32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "partial.jsonl"


def written(path: Path) -> Journal:
    """A journal with one part of a big file, and a small file that is verified."""
    journal = Journal(path)
    journal.begin(SOURCE, [])
    for item in (BIG, SMALL):
        journal.add_pin(item)
    journal.add_done(split([BIG])[1])
    journal.add_done(split([SMALL])[0])
    journal.add_verified(SMALL)
    return journal


def test_what_was_written_is_read(path: Path) -> None:
    written(path)
    again = Journal(path)
    assert again.files[BIG.name].done == {PART_BYTES}
    assert not again.files[BIG.name].verified
    assert again.files[SMALL.name].verified
    assert again.matches(BIG)
    assert again.matches(SMALL)


def test_starting_over_forgets_the_parts(path: Path) -> None:
    written(path).add_pin(BIG)
    assert Journal(path).files[BIG.name].done == set()


def test_rewriting_keeps_what_is_known(path: Path) -> None:
    written(path).add_pin(BIG)
    Journal(path).begin(SOURCE, [BIG, SMALL])
    assert Journal(path).files == written(path.with_name("other")).files | {BIG.name: Journal(path).files[BIG.name]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    path = tmp_path_factory.mktemp("journal") / "partial.jsonl"
    written(path)
    return path, path.read_bytes()


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_journal_cut_anywhere_claims_nothing_more(whole: tuple[Path, bytes], data: st.DataObject) -> None:
    """A killed process leaves its last line half written."""
    path, content = whole
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    full = {BIG.name: {PART_BYTES}, SMALL.name: {0}}
    for name, progress in Journal(path).files.items():
        assert progress.done <= full[name]
        assert not progress.verified or name == SMALL.name


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_else_counts_as_empty(whole: tuple[Path, bytes], content: bytes) -> None:
    whole[0].write_bytes(content)
    assert Journal(whole[0]).files == {}


@pytest.mark.parametrize(
    "line", ["[]", "5", "null", '{"done": "unknown", "start": 0}', '{"pin": ["x"], "of": []}', '{"pin": "x", "of": 7}']
)
def test_a_strange_line_ends_the_reading(path: Path, line: str) -> None:
    written(path)
    with path.open("a") as file:
        file.write(f"{line}\n" + json.dumps({"verified": BIG.name}) + "\n")
    assert not Journal(path).files[BIG.name].verified


def test_a_machine_that_was_restarted_may_have_lost_what_was_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path)
    monkeypatch.setattr(module, "boot_id", lambda: "another boot")
    assert Journal(path).files == {}


def test_another_source_has_other_marks(path: Path) -> None:
    """Two web servers may have files of one name, one size and one date; only a checksum says that they are equal."""
    written(path)
    journal = Journal(path)
    journal.begin("s3://models/other", [BIG, SMALL])
    assert journal.files.keys() == Journal(path).files.keys() == {SMALL.name}
    journal.begin(SOURCE, [BIG, SMALL])
    assert Journal(path).files.keys() == {SMALL.name}, "what was forgotten is not remembered"


@pytest.mark.parametrize("wanted", [[], [SMALL], [SMALL, replace(BIG, etag='"v2"')]])
def test_what_is_not_wanted_any_more_is_forgotten(path: Path, wanted: list[StoredObject]) -> None:
    written(path)
    Journal(path).begin(SOURCE, wanted)
    assert Journal(path).files.keys() == {item.name for item in wanted if item == SMALL}


@pytest.mark.parametrize("step", ["write_text", "replace"])
def test_a_beginning_that_is_cut_short_leaves_the_old_journal(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    written(path)
    before = path.read_bytes()
    original = getattr(Path, step)

    def cut(self: Path, argument: object) -> None:
        original(self, argument[:9] if isinstance(argument, str) else self)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, step, cut)
    with pytest.raises(OSError, match="Input/output"):
        Journal(path).begin(SOURCE, [BIG, SMALL])
    assert path.read_bytes() == before
    monkeypatch.undo()
    Journal(path).remove()
    assert list(path.parent.iterdir()) == []


def test_lines_of_many_threads_stay_apart(path: Path) -> None:
    item = StoredObject("many.bin", 200 * PART_BYTES, etag='"v"')
    journal = Journal(path)
    journal.begin(SOURCE, [])
    journal.add_pin(item)
    parts = split([item])

    def work(mine: list[Part]) -> None:
        for part in mine:
            journal.add_done(part)

    threads = [threading.Thread(target=work, args=(parts[number::8],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Journal(path).files[item.name].done == {part.start for part in parts}
