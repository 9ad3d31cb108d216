"""One initializer at a time in one folder, whoever dies in between."""

from __future__ import annotations

import errno
import fcntl
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from wellhead_storage.download import lock as module
from wellhead_storage.download.lock import locked
from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.logs import log

HOLDER = """
import sys, time
from pathlib import Path
from wellhead_storage.download.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_it_leaves_nothing(folder: Path) -> None:
    with locked(folder):
        assert (folder / ".wellhead" / "lock").exists()
    assert list(folder.iterdir()) == []


def test_what_others_put_there_stays(folder: Path) -> None:
    with locked(folder):
        (folder / ".wellhead" / "plan.json").write_text("{}")
    assert [path.name for path in (folder / ".wellhead").iterdir()] == ["plan.json"]


def test_a_second_process_waits_says_so_and_goes_on_when_the_first_is_killed(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        killer = threading.Timer(0.5, holder.kill)
        killer.start()
        begin = time.monotonic()
        with caplog.at_level(logging.INFO, "wellhead"), locked(folder):
            assert time.monotonic() - begin > 0.4
        killer.join()
    assert caplog.messages == [f"waiting: another process of Wellhead is at work in {folder}"]


def test_many_at_once_never_overlap(folder: Path) -> None:
    """The holder removes its file, so that others may be locking one that is gone."""
    inside, overlaps, turns = 0, 0, 0

    def work() -> None:
        nonlocal inside, overlaps, turns
        for _ in range(5):
            with locked(folder):
                inside += 1
                overlaps += inside > 1
                turns += 1
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (overlaps, turns) == (0, 30)
    assert list(folder.iterdir()) == []


def test_waiting_can_be_given_up(folder: Path) -> None:
    def give_up() -> None:
        raise KeyboardInterrupt

    with locked(folder), pytest.raises(KeyboardInterrupt), locked(folder, give_up):
        raise AssertionError("there is no place for two")


def test_a_file_system_without_locks_is_warned_about(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(folder):
        pass
    assert "cannot be locked" in caplog.text
    assert "make sure that only one process uses it" in caplog.text


def test_a_file_in_place_of_the_folder_is_called_by_its_name(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(InvalidConfiguration, match=rf"^{folder} cannot be written"), locked(folder):
        raise AssertionError("there is no folder")


def test_the_waiting_line_is_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAY_EVERY", 0.0)
    said: list[str] = []
    monkeypatch.setattr(log, "info", lambda text, *_: said.append(text))

    def check() -> None:
        if len(said) >= 3:
            raise KeyboardInterrupt

    with locked(folder), pytest.raises(KeyboardInterrupt), locked(folder, check):
        raise AssertionError("there is no place for two")
    assert len(said) == 3
