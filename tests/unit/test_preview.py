"""Where `wellhead plan` works: any temporary folder, else memory, else it says what to set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.checkpoint import tiny_checkpoint
from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.preview import preview
from wellhead_storage.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def no_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an init container, whose root is read-only; pytest's own folder (`tmp_path`) is made before that."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", list)


@pytest.mark.usefixtures("no_temporary_folder")
def test_memory_stands_in_for_a_temporary_folder(tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    found = preview(str(tiny_checkpoint(tmp_path / "model")), Settings(engine="vllm", memory_dir=memory), {})
    assert found.plan.mode == "local"
    assert list(memory.iterdir()) == []


@pytest.mark.usefixtures("no_temporary_folder")
def test_a_container_without_any_says_what_to_set(tmp_path: Path) -> None:
    settings = Settings(engine="vllm", memory_dir=tmp_path / "none")
    with pytest.raises(InvalidConfiguration, match="no folder for temporary files") as caught:
        preview(str(tiny_checkpoint(tmp_path / "model")), settings, {})
    assert "TMPDIR" in caught.value.hint


def test_documents_come_along_as_far_as_they_are_wanted(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "model")
    (folder / "README.md").write_text("# A model")
    found = preview(str(folder), Settings(engine="vllm"), {}, {"README.md": 3, "LICENSE": 10})
    assert found.documents == {"README.md": b"# A"}
    assert preview(str(folder), Settings(engine="vllm"), {}).documents == {}
