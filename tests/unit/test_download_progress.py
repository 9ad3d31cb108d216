"""How far a download is: a bar for people at a terminal, lines for everybody else, figures for programs."""

from __future__ import annotations

import json
import logging
import os
import pty
import select
import subprocess
import sys
import time

import pytest

from wellhead_storage.download.progress import meters
from wellhead_storage.logs import configure, log
from wellhead_storage.settings import Settings

GIB = 2**30

ON_A_TERMINAL = """
import time
from wellhead_storage.download.progress import meters
from wellhead_storage.logs import configure, log
from wellhead_storage.settings import Settings
settings = Settings()
configure(settings)
make = meters(settings)
first, second = make("/mnt/models/a", 2**30, 0), make("/mnt/models/b", 2**29, 2**28)
for step in range(1, 9):
    time.sleep(0.1)
    first.show(step * 2**26)
    second.show(2**28 + step * 2**24)
log.info("a line meanwhile")
first.close()
second.close()
print("the end")
"""


def test_a_line_has_the_figures_that_people_want(caplog: pytest.LogCaptureFixture) -> None:
    meter = meters(Settings())("/mnt/models", 4 * GIB, GIB)
    time.sleep(0.1)
    with caplog.at_level(logging.INFO, "wellhead"):
        meter.show(2 * GIB)
    meter.close()
    [line] = caplog.messages
    assert line.startswith("fetched 2.0 GiB of 4.0 GiB for /mnt/models, ")
    assert "/s, " in line
    assert line.endswith(" s left")


def test_nothing_is_promised_before_anything_came(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "wellhead"):
        meters(Settings())("/mnt/models", 4 * GIB, GIB).show(GIB)
    assert caplog.messages == ["fetched 1.0 GiB of 4.0 GiB for /mnt/models, 0.0 KiB/s"]


def test_nothing_is_promised_of_what_has_no_known_end(caplog: pytest.LogCaptureFixture) -> None:
    meter = meters(Settings())("/mnt/models", 0, 0)
    time.sleep(0.1)
    with caplog.at_level(logging.INFO, "wellhead"):
        meter.show(GIB)
    [line] = caplog.messages
    assert line.startswith("fetched 1.0 GiB of ? for /mnt/models, ")
    assert line.endswith("/s")


def test_more_than_was_expected_takes_no_negative_time(caplog: pytest.LogCaptureFixture) -> None:
    meter = meters(Settings())("/mnt/models", GIB, 0)
    time.sleep(0.1)
    with caplog.at_level(logging.INFO, "wellhead"):
        meter.show(2 * GIB)
    assert caplog.messages[0].endswith(", 0 s left")


def test_programs_get_fields(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(log_format="json")
    handlers = log.handlers
    try:
        configure(settings)
        meter = meters(settings)("/mnt/models", 4 * GIB, 0)
        time.sleep(0.1)
        meter.show(GIB)
    finally:
        log.handlers, log.propagate = handlers, True
    entry = json.loads(capsys.readouterr().err)
    assert (entry["folder"], entry["bytes_done"], entry["bytes_total"]) == ("/mnt/models", GIB, 4 * GIB)
    assert 0 < entry["bytes_per_second"] < 11 * GIB
    assert entry["seconds_left"] == round(3 * GIB / entry["bytes_per_second"])


def on_a_terminal() -> tuple[str, str]:
    """What a child shows on a terminal of its own, and its stdout."""
    ours, theirs = pty.openpty()
    try:
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        environment.pop("NO_COLOR", None)
        with subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL], stdout=subprocess.PIPE, stderr=theirs, env=environment
        ) as child:
            os.close(theirs)
            shown = b""
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                if not select.select([ours], [], [], 0.1)[0]:
                    continue
                try:
                    data = os.read(ours, 65536)
                except OSError:  # the other side was closed
                    break
                if not data:
                    break
                shown += data
            out, _ = child.communicate(timeout=10)
            assert child.returncode == 0, shown
    finally:
        os.close(ours)
    return shown.decode(), out.decode()


def test_a_terminal_gets_a_live_bar_for_each_folder() -> None:
    shown, out = on_a_terminal()
    assert out == "the end\n"
    for words in ("/mnt/models/a", "/mnt/models/b", "/s", "GiB", "a line meanwhile"):
        assert words in shown
    assert shown.count("\x1b[2K") > 3, "the bars are drawn over"
