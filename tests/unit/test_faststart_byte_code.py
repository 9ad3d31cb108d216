"""An image without byte code is worth a line of the log, and only such an image."""

from __future__ import annotations

import py_compile
from pathlib import Path

import pytest

from wellhead_runtime.faststart.byte_code import warn_where_missing


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for the heavy packages, and no others."""
    for name in ("torch", "vllm"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.setattr("sys.pycache_prefix", None)
    return tmp_path


def test_what_has_byte_code_is_not_mentioned(packages: Path, wellhead_log: pytest.LogCaptureFixture) -> None:
    for source in packages.glob("*/__init__.py"):
        py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    warn_where_missing()
    assert wellhead_log.text == ""


def test_what_lacks_it_is_named(packages: Path, wellhead_log: pytest.LogCaptureFixture) -> None:
    py_compile.compile(str(packages / "torch" / "__init__.py"))
    warn_where_missing()
    assert "no byte code for vllm:" in wellhead_log.text
    assert "compileall" in wellhead_log.text


def test_a_machine_without_them_has_nothing_to_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wellhead_log: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    warn_where_missing()
    assert wellhead_log.text == ""
