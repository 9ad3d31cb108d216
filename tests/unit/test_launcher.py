"""The `vllm` that stands first on the runtime image's PATH."""

from __future__ import annotations

import os
import sys
import time
from typing import NoReturn

import pytest

from tests.unit.builders import python
from wellhead_runtime import cli, launcher
from wellhead_runtime.machine import installed_engine


class Left(Exception):
    """This process would have become another one, or ended."""


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What the launcher would do instead of coming back."""
    calls: list[tuple[str, list[str]]] = []

    def execv(path: str, argv: list[str]) -> NoReturn:
        calls.append((path, argv))
        raise Left

    def serve_to_exit(argv: list[str]) -> NoReturn:
        calls.append(("wellhead serve", argv))
        raise Left

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(cli, "serve_to_exit", serve_to_exit)
    return calls


def launch(monkeypatch: pytest.MonkeyPatch, *argv: str) -> None:
    monkeypatch.setattr(sys, "argv", ["vllm", *argv])
    with pytest.raises(Left):
        launcher.main()


@pytest.mark.parametrize("option", ["--version", "-v"])
def test_the_version_is_answered_by_this_process(
    monkeypatch: pytest.MonkeyPatch,
    called: list[tuple[str, list[str]]],
    capsys: pytest.CaptureFixture[str],
    option: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["vllm", option])
    launcher.main()
    assert capsys.readouterr().out == f"{installed_engine()[1]}\n"
    assert called == []


def test_the_version_is_answered_without_importing_vllm() -> None:
    """KServe's script asks before every start, and vLLM's own answer takes ten seconds."""
    script = (
        "import sys; sys.argv = ['vllm', sys.argv[1]]; from wellhead_runtime.launcher import main; main(); "
        "assert not {'vllm', 'torch', 'pydantic'} & set(sys.modules); print('still this process')"
    )
    finished = python("-c", script, "--version")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == f"{installed_engine()[1]}\nstill this process\n"


def test_the_version_in_a_fraction_of_a_second() -> None:
    times = []
    for _ in range(3):
        began = time.monotonic()
        finished = python("-m", "wellhead_runtime.launcher", "--version")
        times.append(time.monotonic() - began)
        assert finished.stdout == f"{installed_engine()[1]}\n"
    assert min(times) < 1.0


@pytest.mark.parametrize(
    "argv",
    [
        ["/mnt/models", "--served-model-name", "llama", "publishers/team-a/models/llama", "--port", "8000"],
        ["/mnt/models", "--headless"],
        ["--model=/mnt/models"],
        [],
    ],
)
def test_serve_is_wellhead_serve(
    monkeypatch: pytest.MonkeyPatch, called: list[tuple[str, list[str]]], argv: list[str]
) -> None:
    launch(monkeypatch, "serve", *argv)
    assert called == [("wellhead serve", argv)]


@pytest.mark.parametrize(
    "argv",
    [
        ["bench", "serve", "--model", "x"],
        ["chat"],
        ["collect-env"],
        ["serve", "--help"],
        ["serve", "--help=all"],
        ["serve", "/mnt/models", "-h"],
        ["--help"],
        ["--version", "--verbose"],
        [],
    ],
)
def test_everything_else_is_vllms_own(
    monkeypatch: pytest.MonkeyPatch, called: list[tuple[str, list[str]]], argv: list[str]
) -> None:
    launch(monkeypatch, *argv)
    assert called == [(sys.executable, [sys.executable, "-m", "wellhead_runtime.engine", *argv])]
