"""Whatever keys a store lists: they become files inside the destination, or the call is refused by name."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import event, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.unit.memory_store import MemoryStore
from wellhead_storage.download.fetch import fetch
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.errors import IntegrityError, ObjectNotFound
from wellhead_storage.paths import FOLDER
from wellhead_storage.settings import Settings
from wellhead_storage.survey import list_objects

SEGMENTS = st.one_of(
    st.sampled_from(
        ["..", ".", "", "a", "b", ".wellhead", "config.json", "\x00", "\n", "\x7f", "\x1b[2J", "\ud800", "~"]
    ),
    st.text(max_size=8),
    st.text("é", min_size=120, max_size=140),
    st.just("x" * 255),
    st.just("x" * 256),
)
KEYS = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join)
LONG = "/".join(["k" * 204] * 5)  # 1,024 bytes, the most that S3 allows


def test_the_longest_key_is_as_long_as_one_can_be() -> None:
    assert len(LONG.encode()) == 1024


@hypothesis_settings(max_examples=400)
@given(st.dictionaries(KEYS, st.binary(max_size=3), min_size=1, max_size=6))
@example({LONG: b"x"})
@example({"a": b"file", "a/b": b"folder"})
@example({"a": b"", "a/b": b"the first is a folder's marker"})
@example({"../../etc/passwd": b"x"})
@example({"/etc/passwd": b"x"})
@example({"ok": b"x", "a\x00b": b"x"})
def test_no_listing_writes_outside_the_destination(content: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        around = Path(folder)
        destination = around / "deep" / "models"
        staging, transfer = Staging(destination), Transfer(Settings(retry_timeout=0))
        staging.open()
        store = MemoryStore(content)
        try:
            objects = [item for item in list_objects(store, destination) if item.name.partition("/")[0] != FOLDER]
            fetch(store, objects, staging, transfer)
            staging.publish()
        except (IntegrityError, ObjectNotFound) as error:
            event(type(error).__name__)
            assert str(error).isprintable()
            assert not [path for path in destination.rglob("*") if path.is_file() and ".wellhead" not in path.parts]
        else:
            event("written")
            written = {path.relative_to(destination).as_posix() for path in destination.rglob("*") if path.is_file()}
            assert written == {item.name for item in objects}
            assert all((destination / item.name).read_bytes() == content[item.name] for item in objects)
        finally:
            transfer.abandon()
        outside = {path for path in around.rglob("*") if destination not in (path, *path.parents)}
        assert outside == {around / "deep"}
