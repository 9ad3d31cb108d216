"""A model given as a URI: prepared by `wellhead init` in a child process, with its own sentence where it fails."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.checkpoint import tiny_checkpoint
from tests.unit.forked import forked, run_forked
from wellhead_runtime.preparing import PreparationFailed, model_folder, prepare_uri
from wellhead_storage.plan import read_plan
from wellhead_storage.settings import Settings


def test_the_folder_of_a_uri() -> None:
    settings = Settings()
    one, two = model_folder("s3://models/llama", settings), model_folder("s3://models/llama-2", settings)
    assert one == model_folder("s3://models/llama", settings), "a restarted container finds it again"
    assert one != two
    assert one.parent == two.parent


def test_a_folder_that_was_named() -> None:
    assert model_folder("s3://models/llama", Settings(model_dir=Path("/data"))) == Path("/data")


@pytest.mark.usefixtures("signals_restored")
def test_a_model_is_prepared_for_this_engine(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tiny_checkpoint(tmp_path / "source", shards=2, tensor_bytes=128)
    prepare_uri(f"runai_streamer://{source}", tmp_path / "models", {"WELLHEAD_LOG_LEVEL": "info"})
    plan = read_plan(tmp_path / "models")
    assert plan is not None, "although nothing said WELLHEAD_ENGINE=vllm"
    assert plan.loader == "runai_streamer"
    assert "ready: " in capfd.readouterr().err, "its log passes through, the last line too"


@pytest.mark.usefixtures("signals_restored")
def test_its_failure_is_ours(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "termination-log"
    with pytest.raises(PreparationFailed) as caught:
        prepare_uri("file:///no/such/model", tmp_path / "models", {"WELLHEAD_TERMINATION_LOG": str(log)})
    assert caught.value.exit_code == 11
    assert str(caught.value).startswith("/no/such/model does not exist in this container.")
    assert "/no/such/model does not exist" not in capfd.readouterr().err, "this process says it, once"
    assert not log.exists(), "and this process writes the termination message"


# A child that does as the test says, in place of `python -m wellhead_runtime init`.
SCRIPT = """
import os, sys
from pathlib import Path
from wellhead_runtime.preparing import prepare_uri
from wellhead_storage.failing import run_to_exit
sys.executable = sys.argv[1]
def command():
    prepare_uri("s3://models/llama", Path("/models"), os.environ)
    return 0
run_to_exit(command, os.environ)
"""


def stand_in(tmp_path: Path, body: str) -> str:
    path = tmp_path / "init"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_how_the_child_is_called(tmp_path: Path) -> None:
    body = 'echo "$@" "$WELLHEAD_ENGINE" "$WELLHEAD_HANDOFF" "$WELLHEAD_MODE" "$WELLHEAD_TERMINATION_LOG"'
    finished = run_forked(SCRIPT, stand_in(tmp_path, body), WELLHEAD_MODE="stream")
    assert finished.code == 0
    assert finished.out == b"-m wellhead_runtime init s3://models/llama /models vllm shared stream /dev/null\n"


def test_its_log_passes_through_in_order(tmp_path: Path) -> None:
    finished = run_forked(SCRIPT, stand_in(tmp_path, "for n in 1 2 3; do echo line $n >&2; done"))
    assert finished.err == "line 1\nline 2\nline 3\n"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("echo log >&2; echo It broke. >&2; exit 13", 13, "log\nIt broke.\n"),
        ("exit 13", 13, "wellhead init ended with code 13.\n"),
        ("kill -9 $$", 1, "wellhead init ended with code -9.\n"),
    ],
)
def test_how_it_ends(tmp_path: Path, body: str, code: int, words: str) -> None:
    finished = run_forked(SCRIPT, stand_in(tmp_path, body))
    assert (finished.code, finished.err) == (code, words)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_reaches_the_child(tmp_path: Path, number: signal.Signals) -> None:
    body = "trap 'echo Stopped by us. >&2; exit 143' TERM; echo up; while :; do sleep 0.05; echo working >&2; done"
    with forked(SCRIPT, stand_in(tmp_path, body), PATH="/usr/bin:/bin") as process:
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        code, _, err = process.wait()
    assert code == 143
    assert err.splitlines()[-1] == f"Stopped by {number.name} before the model was ready."
    assert "Stopped by us" not in err, "one sentence is enough"
