"""One distribution, three typed packages, one command."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.unit.builders import REPOSITORY
from wellhead_storage import __version__

PACKAGES = ("wellhead_storage", "wellhead_runtime", "wellhead_cluster")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_are_typed_and_documented(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__doc__
    assert module.__file__ is not None
    assert (Path(module.__file__).parent / "py.typed").is_file()


def test_the_packages_are_in_the_wheels_list(project: dict[str, Any]) -> None:
    listed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {Path(folder).name for folder in listed} == set(PACKAGES)
    assert all((REPOSITORY / folder / "__init__.py").is_file() for folder in listed)


def test_the_version_has_one_place(project: dict[str, Any]) -> None:
    assert "version" in project["project"]["dynamic"]
    assert __version__ in (REPOSITORY / project["tool"]["hatch"]["version"]["path"]).read_text()


def test_the_command_exists(project: dict[str, Any]) -> None:
    for target in project["project"]["scripts"].values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_installed_distribution_is_this_one() -> None:
    assert metadata.version("wellhead") == __version__
    assert {entry.name for entry in metadata.distribution("wellhead").entry_points} == {"wellhead"}


def test_the_initializer_needs_no_engine(project: dict[str, Any]) -> None:
    required = " ".join(project["project"]["dependencies"]).lower()
    assert not [name for name in ("torch", "vllm", "kserve", "streamer", "boto") if name in required]


def test_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the build backend is not installed here")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("wellhead-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for package in PACKAGES:
        folder = REPOSITORY / package.removeprefix("wellhead_") / package
        sources = {f"{package}/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*.py")}
        assert sources | {f"{package}/py.typed"} <= names
    assert not [name for name in names if name.startswith("tests/") or "__pycache__" in name]
