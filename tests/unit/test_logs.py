"""Logging: text for people, JSON for collectors, always on stderr, never through anybody else's handlers."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest

from wellhead_storage.logs import configure, log
from wellhead_storage.settings import Settings


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = log.handlers, log.propagate, log.level
    yield
    log.handlers, log.propagate = before[0], before[1]
    log.setLevel(before[2])


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings())
    log.info("ready: %s", "/mnt/models")
    shown = capsys.readouterr()
    assert re.fullmatch(r"\d\d:\d\d:\d\d wellhead INFO ready: /mnt/models\n", shown.err)
    assert shown.out == ""


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(log_format="json"))
    log.warning("two\nlines of %s", "s3://models/llama")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, "one line per record, whatever it holds"
    record = json.loads(lines[0])
    assert record["message"] == "two\nlines of s3://models/llama"
    assert (record["level"], record["logger"]) == ("WARNING", "wellhead")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["time"])


@pytest.mark.parametrize(("level", "shown"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(capsys: pytest.CaptureFixture[str], level: str, shown: int) -> None:
    configure(Settings.model_validate({"log_level": level}))
    for write in (log.debug, log.info, log.warning, log.error):
        write("line")
    assert len(capsys.readouterr().err.splitlines()) == shown


def test_configuring_again_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        configure(Settings())
    log.info("once")
    assert capsys.readouterr().err.count("once") == 1


def test_nothing_reaches_the_root_logger(caplog: pytest.LogCaptureFixture) -> None:
    configure(Settings())
    with caplog.at_level(logging.DEBUG):
        log.error("ours")
    assert caplog.records == []
