"""vLLM finds the plug-in by its entry point, and pays nothing for it where no weights are loaded."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

from tests.unit.builders import REPOSITORY, python
from wellhead_runtime.overlap import plugin
from wellhead_runtime.overlap.arrivals import VARIABLE


def test_the_entry_point_is_there() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["vllm.general_plugins"][plugin.NAME].partition(":")
    assert getattr(importlib.import_module(module), name) is plugin.register


def test_where_no_weights_arrive_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    plugin.register()  # vLLM is not installed where this runs: an import of it would fail


def test_it_is_cheap_in_every_process_of_the_engine() -> None:
    code = "import sys, wellhead_runtime.overlap.plugin; print(*sys.modules)"
    loaded = python("-c", code).stdout.split()
    assert "wellhead_runtime.overlap.plugin" in loaded
    assert not {"obstore", "stamina", "wellhead_storage.stores.folder", "rich"} & set(loaded)


# A vLLM that says when its loaders are imported, and who registers there.
LOADERS = """
print("imported")
def register_model_loader(name):
    return lambda loader: print("registered", name, loader)
"""
OURS = """
import sys, types
from wellhead_runtime.overlap import plugin
loader = types.ModuleType("wellhead_runtime.overlap.loader")
loader.OverlapLoader = "ours"
sys.modules[loader.__name__] = loader
"""


@pytest.fixture
def vllm(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "vllm/model_executor/model_loader"
    folder.mkdir(parents=True)
    for package in (folder.parent.parent, folder.parent):
        (package / "__init__.py").touch()
    (folder / "__init__.py").write_text(LOADERS)
    return {VARIABLE: "/proc/1/fd/9", "PYTHONPATH": str(tmp_path)}


def said(program: str, environment: dict[str, str]) -> list[str]:
    ended = python("-c", OURS + program, environment=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_a_process_that_loads_nothing_does_not_import_the_loaders_for_it(vllm: dict[str, str]) -> None:
    assert said("plugin.register(); print('serving')", vllm) == ["serving"]


@pytest.mark.parametrize(
    "how", ["import vllm.model_executor.model_loader", "from vllm.model_executor import model_loader"]
)
def test_one_that_imports_them_finds_the_format_there(vllm: dict[str, str], how: str) -> None:
    program = (
        f"plugin.register(); {how}; {how}; print('loading', len([f for f in sys.meta_path if 'ellhead' in str(f)]))"
    )
    assert said(program, vllm) == ["imported", "registered wellhead ours", "loading 0"]


def test_so_does_one_that_had_them_before(vllm: dict[str, str]) -> None:
    program = "import vllm.model_executor.model_loader; plugin.register(); print('loading')"
    assert said(program, vllm) == ["imported", "registered wellhead ours", "loading"]


def test_an_import_that_fails_does_so_as_ever(vllm: dict[str, str]) -> None:
    program = """
import os, shutil; shutil.rmtree(os.environ["PYTHONPATH"] + "/vllm/model_executor/model_loader")
plugin.register()
try: import vllm.model_executor.model_loader
except ModuleNotFoundError as error: print(error)
"""
    assert said(program, vllm) == ["No module named 'vllm.model_executor.model_loader'"]
