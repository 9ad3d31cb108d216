"""Files of an earlier edition go when the new one is there, and not before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.builders import make_plan
from wellhead_storage.manifest import MANIFEST_NAME, Manifest, ManifestFile
from wellhead_storage.plan import PlannedFile, Weights, plan_path, write_plan
from wellhead_storage.predecessor import remove_stale, retire_predecessor

OLD = {"config.json", "model-00001-of-00002.safetensors", "1_Pooling/config.json"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that an earlier run prepared, and that holds something of somebody else's."""
    for name in (*OLD, "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
    weights = Weights(
        uri="s3://b/m", layout="safetensors", total_bytes=3, files=(PlannedFile(name=next(iter(OLD)), size=3),)
    )
    write_plan(tmp_path, make_plan(weights=weights))
    files = tuple(ManifestFile(name=name, size=3) for name in OLD)
    manifest = Manifest(kind="download", source="s3://b/m", asked="s3://b/m", files=files)
    (tmp_path / MANIFEST_NAME).write_text(manifest.model_dump_json())
    return tmp_path


def test_the_plan_goes_first_and_the_names_are_remembered(folder: Path) -> None:
    names = retire_predecessor(folder)
    assert names >= OLD
    assert not plan_path(folder).exists()
    assert set(json.loads((folder / ".wellhead/earlier.json").read_text())) == names
    assert retire_predecessor(folder) == names, "a run that failed in between forgets nothing"


def test_a_fresh_folder_is_left_alone(tmp_path: Path) -> None:
    assert retire_predecessor(tmp_path) == set()
    assert list(tmp_path.iterdir()) == []


def test_what_the_new_edition_lacks_goes(folder: Path) -> None:
    names = retire_predecessor(folder)
    remove_stale(folder, names, {"config.json"})
    left = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert left == [".wellhead/manifest.json", "config.json", "notes.txt"]
    assert not (folder / "1_Pooling").exists(), "the new edition may have a file of that name"


def test_what_a_killed_process_had_not_renamed_yet_goes(folder: Path) -> None:
    (folder / ".wellhead/.plan.json.30007.tmp").write_text("ha")
    (folder / ".notes.tmp").touch()
    retire_predecessor(folder)
    assert not list((folder / ".wellhead").glob(".*"))
    assert (folder / ".notes.tmp").exists(), "somebody else's"


@pytest.mark.parametrize("text", ["", "{", "{}", "[1, null]", '"x"'])
def test_a_damaged_list_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ".wellhead").mkdir()
    (tmp_path / ".wellhead/earlier.json").write_text(text)
    assert retire_predecessor(tmp_path) == set()
