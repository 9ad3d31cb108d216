"""Inspected model classes: made with the image, in the engine's cache before it asks, and never a reason to fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.builders import python
from wellhead_runtime.faststart.model_infos import FOLDER, cache_root, edition, seed

NAME = "vllm-model_executor-models-llama-LlamaForCausalLM.json"
# As much of vLLM's registry as is used: two classes, of which one fails, and one that is chosen by hardware.
REGISTRY = """
import json, os, pathlib
def _run_in_subprocess(function):
    raise AssertionError("a process for each class")
class Lazy:
    def __init__(self, module_name):
        self.module_name = module_name
    def inspect_model_cls(self):
        if "needy" in self.module_name:
            raise ImportError("No module named 'x'\\nand more")
        folder = pathlib.Path(os.environ["VLLM_CACHE_ROOT"], "modelinfos")
        folder.mkdir(exist_ok=True)
        (folder / (self.module_name.replace(".", "-") + "-Class.json")).write_text(
            json.dumps(_run_in_subprocess(lambda: "inspected")))
class ModelRegistry:
    models = {
        "Good": Lazy("vllm.model_executor.models.good"),
        "Needy": Lazy("vllm.model_executor.models.needy"),
        "Hardware": Lazy("vllm.models.hardware"),
    }
"""


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / NAME).write_text("of this version")
    return folder


@pytest.mark.parametrize(
    ("environment", "root"),
    [
        ({"VLLM_CACHE_ROOT": "/cache/vllm", "HOME": "/home/x"}, "/cache/vllm"),
        ({"XDG_CACHE_HOME": "/xdg", "HOME": "/home/x"}, "/xdg/vllm"),
        ({"VLLM_CACHE_ROOT": "", "HOME": "/home/x"}, "/home/x/.cache/vllm"),
    ],
)
def test_the_engines_cache_is_where_vllm_looks(environment: dict[str, str], root: str) -> None:
    assert cache_root(environment) == Path(root)


def test_builds_and_versions_are_kept_apart() -> None:
    assert (
        len({edition("cpu", "0.32.0"), edition("cuda", "0.32.0"), edition("cuda", "0.32.1"), edition("cuda", "")}) == 4
    )


def test_a_new_pod_finds_them(shipped: Path, tmp_path: Path) -> None:
    root = tmp_path / "home" / ".cache" / "vllm"
    assert seed(shipped, root) == 1
    assert (root / FOLDER / NAME).read_text() == "of this version"


def test_what_another_version_left_is_replaced_and_the_rest_stays(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / NAME).write_text("of another version")
    (tmp_path / FOLDER / "own.json").write_text("the engine's own")
    assert seed(shipped, tmp_path) == 1
    assert (tmp_path / FOLDER / NAME).read_text() == "of this version"
    assert (tmp_path / FOLDER / "own.json").read_text() == "the engine's own"


def test_what_is_there_is_not_written_again(shipped: Path, tmp_path: Path) -> None:
    seed(shipped, tmp_path)
    before = (tmp_path / FOLDER / NAME).stat()
    assert seed(shipped, tmp_path) == 1
    after = (tmp_path / FOLDER / NAME).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_an_image_without_them_starts_as_ever(tmp_path: Path) -> None:
    assert seed(tmp_path / "none", tmp_path / "root") == 0
    assert not (tmp_path / "root").exists()


def test_a_place_that_cannot_be_written_is_said_and_no_more(
    shipped: Path, tmp_path: Path, wellhead_log: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "root").write_text("a file where the folder should be")
    assert seed(shipped, tmp_path / "root") == 0
    assert "inspect the model's class anew" in wellhead_log.text


def test_the_image_has_every_class_that_can_be_inspected(tmp_path: Path) -> None:
    models = tmp_path / "vllm" / "model_executor" / "models"
    models.mkdir(parents=True)
    for folder in (models, models.parent, models.parent.parent):
        (folder / "__init__.py").touch()
    (models / "registry.py").write_text(REGISTRY)
    made = tmp_path / "made"
    finished = python(
        "-m", "wellhead_runtime.faststart.inspecting", str(made), environment={"PYTHONPATH": str(tmp_path)}
    )
    assert finished.returncode == 0, finished.stderr
    [entry] = made.glob("*/*.json")
    assert json.loads(entry.read_text()) == "inspected"
    assert entry.name == "vllm-model_executor-models-good-Class.json"
    assert entry.stat().st_mode & 0o777 == 0o644
    assert finished.stdout.splitlines()[1:] == ["not inspected: Needy: ImportError: No module named 'x'"]
