"""vLLM finds the plug-in by its entry point, and pays nothing for it where no weights arrive."""

from __future__ import annotations

import importlib
import tomllib

import pytest

from tests.unit.builders import REPOSITORY, python
from wellhead_runtime.overlap import plugin
from wellhead_runtime.overlap.arrivals import VARIABLE


def test_the_entry_point_is_there() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    module, _, name = project["entry-points"]["vllm.general_plugins"][plugin.NAME].partition(":")
    assert getattr(importlib.import_module(module), name) is plugin.register


def test_elsewhere_it_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    plugin.register()  # vLLM is not installed where this runs: an import of it would fail


def test_it_is_cheap_in_every_process_of_the_engine() -> None:
    code = "import sys, wellhead_runtime.overlap.plugin; print(*sys.modules)"
    loaded = python("-c", code).stdout.split()
    assert "wellhead_runtime.overlap.plugin" in loaded
    assert not {"obstore", "stamina", "wellhead_storage.stores.folder", "rich"} & set(loaded)
