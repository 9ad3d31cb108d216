"""`wellhead doctor -f`: files, folders and standard input; the page, the JSON and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.builders import REPOSITORY, python
from tests.unit.examining import doctor
from tests.unit.manifests import MANIFESTS, bundle
from wellhead_cluster.doctor.findings import Reports

SAMPLE = MANIFESTS / "samples" / "s3"


def write(folder: Path, *manifests: Any) -> Path:
    path = folder / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(manifests))
    return path


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    return write(tmp_path, *bundle("default").values(), *bundle("samples/s3").values())


def test_a_file_alone_leaves_much_unknown_and_nothing_wrong() -> None:
    finished = doctor("-f", str(SAMPLE / "inference-service.yaml"))
    assert finished.returncode == 0
    assert "0 errors, 0 warnings" in finished.stdout
    assert "unknown" in finished.stdout
    assert "ERROR" not in finished.stdout
    assert finished.stderr == ""


def test_the_manuals_page_is_real(tmp_path: Path) -> None:
    service = bundle("samples/s3")["InferenceService", "llama"]
    predictor = service["spec"]["predictor"]
    model = {**predictor["model"], "args": ["--tensor-parallel-size=2"]}
    changed = {**service, "spec": {"predictor": {**predictor, "storageContainerName": None, "model": model}}}
    secret = {**bundle("samples/s3")["Secret", "s3-models"], "stringData": {"accessKey": "x", "secretKey": "y"}}
    account = bundle("samples/s3")["ServiceAccount", "s3-models"]
    path = write(tmp_path, *bundle("base").values(), account, changed, secret)
    finished = doctor("-f", str(path), "--kserve", "0.20", environment={"COLUMNS": "110"})
    assert finished.returncode == 23
    page = (REPOSITORY / "docs" / "doctor.md").read_text()
    [block] = [block for block in page.split("```") if block.startswith("\nInferenceService ")]
    assert block.split() == finished.stdout.split()


def test_all_that_the_service_needs(everything: Path) -> None:
    finished = doctor("-f", str(everything), "--complete", "--kserve=0.20", "--strict")
    assert finished.returncode == 0, finished.stdout
    assert finished.stdout.splitlines()[-1] == "0 errors, 0 warnings, 0 things not known"


def test_standard_input_and_several_files(everything: Path) -> None:
    code = "import sys; sys.argv[0] = 'wellhead'; from wellhead_cluster.cli import main; main()"
    command = [sys.executable, "-c", code, "doctor", "-f", "-", "-f", str(everything.parent), "--json"]
    text = (SAMPLE / "inference-service.yaml").read_text()
    finished = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=True)
    assert len(Reports.model_validate_json(finished.stdout).reports) == 2


def test_json_is_the_published_model(everything: Path) -> None:
    finished = doctor("-f", str(everything), "--json")
    [report] = Reports.model_validate_json(finished.stdout).reports
    assert (report.kind, report.name, report.worst) == ("InferenceService", "llama", "unknown")
    assert any("ClusterStorageContainer default" in text for text in report.assumed)


def test_warnings_fail_only_where_they_count(tmp_path: Path) -> None:
    service = bundle("samples/s3")["InferenceService", "llama"]
    annotations = {"annotations": {**service["metadata"]["annotations"], "wellhead.dev/mod": "stream"}}
    path = write(tmp_path, {**service, "metadata": {**service["metadata"], **annotations}})
    assert doctor("-f", str(path)).returncode == 0
    strict = doctor("-f", str(path), "--strict")
    assert strict.returncode == 23
    assert "1 warning" in strict.stderr


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("kind: [", 19, "is no valid YAML at line 1"),
        ("just text", 19, "no Kubernetes object"),
        ("kind: Secret\nmetadata: {name: s}\nstringData: {a: b", 19, "is no valid YAML"),
        ("kind: ConfigMap\nmetadata: {name: c}", 11, "hold no InferenceService"),
        (None, 11, "There is no file or folder"),
    ],
)
def test_files_that_cannot_be_examined(tmp_path: Path, content: str | None, code: int, words: str) -> None:
    path = tmp_path / "file.yaml"
    if content is not None:
        path.write_text(content)
    finished = doctor("-f", str(path))
    assert (finished.returncode, finished.stdout) == (code, "")
    assert words in finished.stderr


def test_a_kustomization_has_to_be_rendered_first() -> None:
    finished = doctor("-f", str(SAMPLE))
    assert finished.returncode == 19
    assert f"kubectl kustomize {SAMPLE} | wellhead doctor -f -" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "words"), [([], "Nothing to examine is named"), (["-f", "x", "--model-size=big"], "is no quantity")]
)
def test_a_call_that_says_too_little(arguments: list[str], words: str) -> None:
    finished = doctor(*arguments)
    assert finished.returncode == 19
    assert words in finished.stderr


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        {"predictor": None},
        {"predictor": {"model": "text"}},
        {"predictor": {"model": {"modelFormat": "x", "storageUri": 7, "args": "x", "env": {"a": 1}}}},
        {"predictor": {"storageUris": "x", "containers": [None, 3]}},
        {"model": 3, "baseRefs": "x", "template": [], "prefill": {"template": {"containers": 1}}},
    ],
)
@pytest.mark.parametrize("kind", ["InferenceService", "LLMInferenceService"])
def test_a_shape_that_the_api_server_would_refuse_never_ends_in_a_traceback(
    tmp_path: Path, kind: str, spec: object
) -> None:
    path = write(
        tmp_path, {"kind": kind, "metadata": {"name": "odd", "annotations": {"wellhead.dev/mode": True}}, "spec": spec}
    )
    finished = doctor("-f", str(path), "--complete", "--json")
    assert finished.returncode in {0, 23}, finished.stderr
    assert json.loads(finished.stdout)["reports"][0]["findings"]
    assert "Traceback" not in finished.stderr


def test_the_command_costs_other_commands_nothing() -> None:
    heavy = "('yaml', 'kubernetes', 'rich')"
    code = f"import wellhead_cluster.cli, sys; print(*(name for name in sys.modules if name.startswith({heavy})))"
    finished = python("-c", code)
    assert (finished.returncode, finished.stdout) == (0, "\n")
