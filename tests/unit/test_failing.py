"""How a command ends: one sentence on stderr and in the termination message, and a code that means something."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.forked import Ended, forked, run_forked
from wellhead_storage import failing
from wellhead_storage.errors import InvalidUri, WellheadError
from wellhead_storage.failing import report, write_termination_message

SCRIPT = """
import os, sys, threading, time
from wellhead_storage import errors
from wellhead_storage.failing import interrupt_on_signals, run_to_exit
def command():
    {body}
{before}
run_to_exit(command, os.environ)
"""


def run(body: str, before: str = "", **environment: str) -> Ended:
    return run_forked(SCRIPT.format(body=body, before=before), **environment)


@pytest.mark.parametrize("code", [0, 7, 143])
def test_the_commands_own_code(code: int) -> None:
    finished = run(f"print('hello'); return {code}")
    assert finished == (code, b"hello\n", "")


def test_a_failure_is_the_last_line_and_the_whole_termination_message(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.write_text("something older and longer than the new sentence " * 10)
    finished = run(
        "print('working', file=sys.stderr); raise errors.ObjectNotFound('s3://a/b is\\nmissing.', 'Look again.')",
        WELLHEAD_TERMINATION_LOG=str(log),
    )
    assert finished.code == 11
    assert finished.err == "working\ns3://a/b is missing. Look again.\n"
    assert log.read_text() == "s3://a/b is missing. Look again."


def test_an_unexpected_exception_is_code_1_and_still_a_sentence(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    finished = run("raise RuntimeError('oops')", WELLHEAD_TERMINATION_LOG=str(log))
    assert finished.code == 1
    assert finished.err.splitlines()[-1] == log.read_text() == "Unexpected RuntimeError: oops Please report this."
    assert "Traceback" in finished.err, "a bug shows where it is"


@pytest.mark.parametrize("level", ["debug", "DEBUG"])
def test_tracebacks_of_known_failures_only_at_debug_level(level: str) -> None:
    body = "raise errors.AccessDenied('No.')"
    assert "Traceback" not in run(body).err
    finished = run(body, WELLHEAD_LOG_LEVEL=level)
    assert "Traceback" in finished.err
    assert finished.err.splitlines()[-1] == "No."


def test_ctrl_c_without_a_handler() -> None:
    finished = run("raise KeyboardInterrupt")
    assert (finished.code, finished.err) == (143, "Interrupted.\n")


def test_threads_that_hang_do_not_keep_the_process() -> None:
    began = time.monotonic()
    finished = run("threading.Thread(target=time.sleep, args=(60,)).start(); raise errors.StoreUnavailable('Gone.')")
    assert finished.code == 16
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_a_sentence(tmp_path: Path, number: signal.Signals) -> None:
    script = SCRIPT.format(
        body="print('up', flush=True)\n    while True: time.sleep(0.05)", before="interrupt_on_signals()"
    )
    log = tmp_path / "termination-log"
    with forked(script, WELLHEAD_TERMINATION_LOG=str(log)) as process:
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        code, _, err = process.wait()
    assert code == 143
    assert err == f"Stopped by {number.name} before the model was ready.\n"
    assert log.read_text() == err.strip()


def test_a_second_signal_does_not_break_the_tidying_up() -> None:
    body = """
    try:
        print('up', flush=True); time.sleep(60)
    finally:
        os.kill(os.getpid(), 15); os.kill(os.getpid(), 2); print('tidied', flush=True)
    """
    finished = run(body, "interrupt_on_signals(); threading.Timer(0.1, os.kill, (os.getpid(), 15)).start()")
    assert finished.code == 143
    assert finished.out == b"up\ntidied\n"


# The termination message -----------------------------------------------------------------------------------------


def named(path: Path) -> dict[str, str]:
    return {"WELLHEAD_TERMINATION_LOG": str(path)}


def test_outside_a_pod_no_file_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failing, "TERMINATION_LOG", tmp_path / "termination-log")
    write_termination_message("It broke.", {})
    write_termination_message("It broke.", {"WELLHEAD_TERMINATION_LOG": " "})
    assert list(tmp_path.iterdir()) == []


def test_in_a_pod_the_file_is_there_and_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setattr(failing, "TERMINATION_LOG", path)
    write_termination_message("It broke.", {})
    assert path.read_text() == "It broke."


def test_a_file_that_cannot_be_written_is_no_second_failure(
    tmp_path: Path, wellhead_log: pytest.LogCaptureFixture
) -> None:
    write_termination_message("It broke.", named(tmp_path / "no" / "folder"))
    assert "cannot be written" in wellhead_log.text


@given(st.text(st.characters(), max_size=30), st.integers(0, 3000))
def test_any_sentence_fits_what_the_kubelet_keeps(tmp_path: Path, text: str, repeats: int) -> None:
    """It keeps the last 4096 bytes: a longer one would lose its beginning, where the object is named."""
    path = tmp_path / "termination-log"
    sentence = f"s3://models/llama: {text * repeats}"
    write_termination_message(sentence, named(path))
    content = path.read_bytes()
    assert len(content) <= 4096
    assert content.startswith(b"s3://models/llama: ")
    content.decode("utf-8")


def test_report_returns_the_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "end"
    assert report(InvalidUri("Bad.", "Write it well."), named(path)) == 10
    assert report(WellheadError("Odd."), {"WELLHEAD_TERMINATION_LOG": os.devnull}) == 1
    assert capsys.readouterr().err == "Bad. Write it well.\nOdd.\n"
    assert path.read_text() == "Bad. Write it well."
