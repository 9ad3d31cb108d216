"""For a runtime that does not say it reads plans, Wellhead leaves what KServe's own initializer would leave."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.storage.model import Model

if TYPE_CHECKING:
    from tests.storage.pod import Pod
    from tests.support.seaweedfs import SeaweedFS

EVERYTHING = {
    "README.md": b"# a model",
    ".gitattributes": b"",
    "original/consolidated.00.pth": b"weights",
    "1/model.onnx": b"weights",
    "deep/er/still/file": b"x",
    "model.joblib": b"scikit-learn",
}


@pytest.mark.parametrize(("engine", "mode"), [(None, None), ("", ""), ("  ", "stream")])
def test_every_object_is_downloaded_and_nothing_else_is_left(
    pod: Pod, model: Model, engine: str | None, mode: str | None
) -> None:
    for name, content in EVERYTHING.items():
        model.put(name, content)
    outcome = pod.init(model.uri, WELLHEAD_ENGINE=engine, WELLHEAD_MODE=mode)
    assert outcome.exit_code == 0, outcome.stderr
    assert "no annotation wellhead.dev/engine: vllm" in outcome.stderr
    assert pod.files == {**model.files, **EVERYTHING}
    assert sorted(path.name for path in pod.destination.iterdir() if path.name.startswith(".")) == [".gitattributes"]


SCIKIT_LEARN = {"model.joblib": b"\x80\x04", "conda.yaml": b"name: x\n", "MLmodel": b"{}", "code/score.py": b"pass\n"}
STOCK = "import sys; from kserve_storage import Storage; Storage.download(sys.argv[1], sys.argv[2])"


def test_a_scikit_learn_model_comes_as_with_kserves_own(
    pod: Pod, store: SeaweedFS, model: Model, tmp_path: Path
) -> None:
    model.delete(*model.files)
    for name, content in SCIKIT_LEARN.items():
        model.put(name, content)
    assert pod.init(model.uri, WELLHEAD_ENGINE=None).exit_code == 0
    environment = store.environment() | {"PATH": "/usr/bin", "HOME": str(tmp_path)}
    stock = [sys.executable, "-c", STOCK, model.uri, str(tmp_path / "stock")]
    subprocess.run(stock, env=environment, check=True, capture_output=True, timeout=60)
    paths = [path for path in (tmp_path / "stock").rglob("*") if path.is_file()]
    left = {path.relative_to(tmp_path / "stock").as_posix(): path.read_bytes() for path in paths}
    assert left == SCIKIT_LEARN
    assert pod.files == left
    assert not [path.name for path in pod.destination.iterdir() if path.name.startswith(".")]


def test_a_checkpoint_with_faults_is_the_engines_affair(pod: Pod, model: Model) -> None:
    model.delete("model-00002-of-00003.safetensors")
    model.put("model-00001-of-00003.safetensors", b"garbage")
    assert pod.init(model.uri, WELLHEAD_ENGINE=None).exit_code == 0
    assert pod.files["model-00001-of-00003.safetensors"] == b"garbage"


def test_what_an_earlier_pod_uploaded_of_ours_stays_in_the_store(pod: Pod, model: Model) -> None:
    model.put(".wellhead/plan.json", b"not a plan")
    model.put(".wellhead/partial/x", b"x")
    assert pod.init(model.uri, WELLHEAD_ENGINE=None).exit_code == 0
    assert not (pod.destination / ".wellhead").exists()
    assert pod.files == model.files


def test_an_object_with_the_name_of_our_folder_stays_in_the_store(pod: Pod, model: Model) -> None:
    model.put(".wellhead", b"x")
    assert pod.init(model.uri, WELLHEAD_ENGINE=None).exit_code == 0
    assert not (pod.destination / ".wellhead").exists()


def test_an_unknown_engine_is_refused(pod: Pod, llama: Model) -> None:
    outcome = pod.init(llama.uri, WELLHEAD_ENGINE="triton")
    assert outcome.exit_code == 19
    assert outcome.sentence.startswith("WELLHEAD_ENGINE='triton' is not valid")
    assert pod.is_untouched
