"""The command line as a user meets it, in processes of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.checkpoint import tiny_checkpoint
from tests.unit.builders import python
from tests.unit.builders import wellhead as fresh_wellhead
from tests.unit.forked import Ended, run_forked
from wellhead_storage import __version__
from wellhead_storage.plan import read_plan

# Nothing of this belongs into an init container that starts in a fraction of a second.
HEAVY = ["torch", "vllm", "kserve", "rich", "pydantic_settings", "asyncio", "transformers", "huggingface_hub", "boto3"]

MAIN = "import sys; sys.argv[0] = 'wellhead'; from wellhead_runtime.cli import main; main()"


def wellhead(*arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
    """The console script, with nothing in the environment but what is given."""
    return run_forked(MAIN, *arguments, **(environment or {}))


def test_version() -> None:
    for finished in (fresh_wellhead("--version"), python("-c", MAIN, "--version")):
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, f"wellhead {__version__}\n", "")


def test_help_names_the_commands() -> None:
    finished = wellhead("--help")
    assert finished.code == 0
    for command in ("init", "serve"):
        assert f"  {command} " in finished.out.decode()


@pytest.mark.parametrize("command", ["init", "serve"])
def test_help_of_commands(command: str) -> None:
    finished = wellhead(command, "--help")
    assert finished.code == 0
    assert f" {command} [OPTIONS]" in finished.out.decode().splitlines()[0]
    assert finished.err == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["init"], "Missing argument"),
        (["init", "s3://models/llama"], "in pairs"),
        (["init", "s3://models/llama", "/mnt/models", "s3://models/adapter"], "in pairs"),
        (["nonsense"], "No such command"),
        (["init", "--nonsense", "a", "b"], "No such option"),
    ],
)
def test_wrong_usage_is_code_2(arguments: list[str], words: str) -> None:
    finished = wellhead(*arguments)
    assert finished.code == 2
    assert words in finished.err
    assert "Traceback" not in finished.err


def test_init_prepares_a_folder(tmp_path: Path) -> None:
    source = tiny_checkpoint(tmp_path / "source", shards=2, tensor_bytes=128)
    environment = {"WELLHEAD_ENGINE": "vllm", "WELLHEAD_MODES": "typo", "WELLHEAD_X_PORT": "tcp://10.0.0.1:80"}
    finished = wellhead("init", str(source), str(tmp_path / "models"), environment=environment)
    assert finished.code == 0, finished.err
    assert finished.out == b""
    assert "WELLHEAD_MODES is no setting of Wellhead" in finished.err
    assert "WELLHEAD_X_PORT" not in finished.err
    plan = read_plan(tmp_path / "models")
    assert plan is not None
    assert plan.mode == "local"


def test_files_of_init_can_be_read_by_the_engines_user(tmp_path: Path) -> None:
    source = tiny_checkpoint(tmp_path / "source", shards=1, tensor_bytes=128)
    script = f"import os; os.umask(0o077); {MAIN}"
    environment = {"WELLHEAD_ENGINE": "vllm", "WELLHEAD_MODE": "download"}
    finished = run_forked(script, "init", str(source), str(tmp_path / "models"), **environment)
    assert finished.code == 0, finished.err
    for path in (tmp_path / "models").rglob("*"):
        assert path.stat().st_mode & 0o444 == 0o444
        assert path.is_file() or path.stat().st_mode & 0o111 == 0o111


def test_logs_are_json_where_that_was_asked_for(tmp_path: Path) -> None:
    source = tiny_checkpoint(tmp_path / "source", shards=1, tensor_bytes=128)
    environment = {"WELLHEAD_ENGINE": "vllm", "WELLHEAD_LOG_FORMAT": "json"}
    finished = wellhead("init", str(source), str(tmp_path / "models"), environment=environment)
    records = [json.loads(line) for line in finished.err.splitlines()]
    assert records[-1]["message"].startswith(f"ready: {tmp_path}/models")
    assert {record["level"] for record in records} == {"INFO"}


FAILURES: dict[str, tuple[list[str], dict[str, str], int, str]] = {
    "a bad URI": (["init", "ftp://models/llama", "{}/models"], {}, 10, "unknown scheme ftp://"),
    "no credentials": (
        ["init", "s3://models/llama", "{}/models"],
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        12,
        "There are no credentials for s3://models/llama",
    ),
    "a bad setting": (["init", "/x", "{}/models"], {"WELLHEAD_MODE": "sideways"}, 19, "WELLHEAD_MODE='sideways'"),
    "a folder that cannot be": (["init", "{}", "/dev/null/models"], {}, 19, "/dev/null/models"),
    "serve without a model": (["serve", "--port=8080"], {}, 18, "No model is named"),
    "serve an empty folder": (["serve", "{}"], {}, 11, "is empty"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failures_are_one_sentence_and_a_code(tmp_path: Path, case: str) -> None:
    arguments, environment, code, words = FAILURES[case]
    (tmp_path / "empty").mkdir()
    log = tmp_path / "termination-log"
    finished = wellhead(
        *(word.format(tmp_path / "empty") if "models" not in word else word.format(tmp_path) for word in arguments),
        environment=environment | {"WELLHEAD_TERMINATION_LOG": str(log)},
    )
    assert finished.code == code, finished.err
    sentence = finished.err.splitlines()[-1]
    assert words in sentence
    assert log.read_text() == sentence
    assert "Traceback" not in finished.err


# What is imported ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "modules",
    [
        "wellhead_storage.cli, wellhead_storage.initialize, wellhead_storage.stores.s3, wellhead_storage.stores.local",
        "wellhead_runtime.cli, wellhead_runtime.serve, wellhead_runtime.engine, wellhead_runtime.launcher",
    ],
)
def test_nothing_heavy_is_imported(modules: str) -> None:
    finished = python("-c", f"import sys, {modules}; print([name for name in {HEAVY} if name in sys.modules])")
    assert finished.stdout == "[]\n", finished.stderr


def test_the_command_line_itself_waits_with_everything_it_may_not_need() -> None:
    modules = ["obstore", "cryptography", "pythonjsonlogger", "yaml", "wellhead_storage.initialize", *HEAVY]
    finished = python("-c", f"import sys, wellhead_cluster.cli; print([n for n in {modules} if n in sys.modules])")
    assert finished.stdout == "[]\n", finished.stderr
