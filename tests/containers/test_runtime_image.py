"""What our Dockerfile makes of an image with vLLM, and how the result runs in a restricted pod."""

from __future__ import annotations

import json
import re
from importlib.metadata import distributions
from typing import TYPE_CHECKING

import pytest

from tests.containers.images import VERSION
from tests.containers.kubelet import Outcome, finished
from tests.containers.pod import Memory, Pod
from tests.containers.vllm_image import PYDANTIC, STREAMER, STUBS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.containers.images import Image

HOME = "/home/wellhead"
USERS = {"the image's user": 2000, "a user from OpenShift's range": 1_000_650_000}


def run(
    image: Image, folder: Path, *command: str, user: int | None = None, environment: Mapping[str, str] | None = None
) -> Outcome:
    """Run a command with the volumes of our ClusterServingRuntime."""
    volumes = [Memory(path) for path in ("/tmp", HOME, "/var/cache/wellhead")]
    pod = Pod(image, command=command, memories=volumes, user=user, environment=environment or {})
    return finished(pod, folder)


def installed(image: Image) -> dict[str, str]:
    (packages,) = image.root.glob("opt/venv/lib/python3*/site-packages")
    found = distributions(path=[str(packages)])
    return {re.sub(r"[-_.]+", "-", each.name).lower(): each.version for each in found}


def test_it_says_how_to_run_it(runtime: Image) -> None:
    config = runtime.config
    assert config["Entrypoint"] == ["wellhead", "serve"]
    assert not config.get("Cmd")
    assert re.fullmatch(r"[1-9]\d*:0", config["User"])
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert runtime.environment["PATH"].startswith("/opt/wellhead/bin:/opt/venv/bin:")


def test_it_replaces_nothing_of_vllm_s_image_but_the_streamer(runtime: Image) -> None:
    versions = installed(runtime)
    assert versions["pydantic"] == PYDANTIC
    for package, version in STUBS.items():
        expected = STREAMER if package.startswith("runai-") else version
        assert versions[package] == expected, package
    assert {"wellhead", "obstore", "cryptography", "typer"} <= versions.keys()


def test_nothing_of_the_build_stays(runtime: Image) -> None:
    for folder in ("deps", "dist", "src", "tmp/deps", "tmp/dist", "tmp/image.txt"):
        assert not (runtime.root / folder).exists()


def test_everything_has_byte_code(runtime: Image) -> None:
    """Of vLLM too: compiling it again at every start costs half a minute (reference/overlap.md)."""
    (packages,) = runtime.root.glob("opt/venv/lib/python3*/site-packages")
    for package in ("vllm/entrypoints/cli", "pydantic", "wellhead_runtime", "runai_model_streamer"):
        for source in (packages / package).glob("*.py"):
            assert list(source.parent.glob(f"__pycache__/{source.stem}.cpython-*.pyc")), source


def test_a_start_compiles_nothing_and_writes_no_byte_code(runtime: Image, tmp_path: Path) -> None:
    """Even where it could: as root, on a root that can be written. Both processes, up to the engine's command."""
    pod = Pod(
        runtime,
        command=("wellhead", "serve", "org/model", "--stand-in=end"),
        environment={"PYTHONVERBOSE": "1"},
        user=0,
        read_only=False,
    )
    outcome = finished(pod, tmp_path)
    assert "vLLM ended before it was ready (exit code 0)" in outcome.message, outcome.stderr[-2000:]
    # Byte code that was read is named in quotes (importlib/_bootstrap_external.py).
    told = outcome.stderr.splitlines()
    assert any(re.match(r"# code object from '.*/vllm/entrypoints/cli/.*\.pyc'", line) for line in told)
    assert [line for line in told if re.match(r"# code object from /", line)] == [], "compiled from source"
    assert [line for line in told if line.startswith("# wrote")] == []
    assert "no byte code" not in outcome.stderr


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_any_user_has_a_name_and_a_home(runtime: Image, tmp_path: Path, user: int) -> None:
    program = """
import getpass, pathlib
home = pathlib.Path.home()
(home / "x").touch()
print(getpass.getuser(), home)
"""
    outcome = run(runtime, tmp_path, "python3", "-c", program, user=user)
    assert outcome.stdout.split() == ["wellhead", HOME], outcome.stderr


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_wellhead_runs_on_vllm_s_own_packages(runtime: Image, tmp_path: Path, user: int) -> None:
    outcome = run(runtime, tmp_path, "wellhead", "--version", user=user)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.startswith("wellhead ")


def test_the_version_is_answered_without_vllm(runtime: Image, tmp_path: Path) -> None:
    outcome = run(runtime, tmp_path, "vllm", "--version")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.split()[-1] == STUBS["vllm"]
    assert outcome.seconds < 3


def test_other_commands_reach_the_real_vllm(runtime: Image, tmp_path: Path) -> None:
    outcome = run(runtime, tmp_path, "vllm", "bench", "latency", "--model=x y")
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads(outcome.stdout) == {"real vllm": ["bench", "latency", "--model=x y"]}


def test_vllm_serve_becomes_wellhead_serve(runtime: Image, tmp_path: Path) -> None:
    """With no model there: the sentence is Wellhead's, and KServe's user reads it."""
    outcome = run(runtime, tmp_path, "vllm", "serve", "/mnt/models", "--port=8080")
    assert outcome.exit_code == 11, outcome.stderr
    assert "/mnt/models" in outcome.message
    assert outcome.message.strip() == outcome.stderr.strip().splitlines()[-1]
