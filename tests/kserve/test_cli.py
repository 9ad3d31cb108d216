"""`python -m tests.kserve`."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml

from tests.kserve import recorded
from tests.kserve.cli import NOT_MODELLED, REFUSED, main
from tests.kserve.manifests import Manifest

CLUSTER = str(recorded.DATA / "cluster.yaml")
REPOSITORY = Path(__file__).resolve().parents[2]


def case(name: str) -> str:
    return str(recorded.DATA / "cases" / f"{name}.yaml")


def documents(text: str) -> list[Manifest]:
    return list(yaml.safe_load_all(text))


def test_the_pod_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([CLUSTER, case("s3-secret")]) == 0
    assert documents(capsys.readouterr().out) == [recorded.result("s3-secret", "pod")]


def test_several_services_give_several_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([CLUSTER, case("s3-secret"), case("pvc")]) == 0
    assert [each["kind"] for each in documents(capsys.readouterr().out)] == ["Pod", "Pod"]
    assert main([CLUSTER, case("s3-secret"), case("pvc"), "--name", "pvc"]) == 0
    assert documents(capsys.readouterr().out) == [recorded.result("pvc", "pod")]


def test_workloads_and_the_stored_object_can_be_had_too(capsys: pytest.CaptureFixture[str]) -> None:
    llm = str(recorded.DATA / "llm-cluster.yaml")
    assert main([CLUSTER, llm, case("llm-s3"), "-o", "workload"]) == 0
    assert documents(capsys.readouterr().out) == [recorded.result("llm-s3", "deployment-kserve")]
    assert main([CLUSTER, case("s3-secret"), "-o", "service"]) == 0
    assert documents(capsys.readouterr().out)[0]["metadata"]["annotations"]["modelFormat"] == "wellhead"


def test_jobs_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([CLUSTER, case("local-model-cache")]) == 0
    assert [each["kind"] for each in documents(capsys.readouterr().out)] == ["Job", "Job"]


def test_a_refusal_has_kserves_words_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([CLUSTER, case("bad-container-name")]) == REFUSED == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("InferenceService bad-container-name: refused at stage Pod: admission webhook ")
    assert written.err.endswith('ClusterStorageContainer "nowhere" not found\n')


def test_a_choice_at_random_is_made_once_and_for_all_but_not_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    def images(*options: str) -> list[str]:
        assert main([CLUSTER, case("sklearn-unpinned"), *options]) == 0
        return [str(recorded.initializer(pod)["image"]) for pod in documents(capsys.readouterr().out)]

    stock, ours = "kserve/storage-initializer:latest", "registry.example/wellhead-initializer:0.1.0"
    assert images() == images() == [stock]
    assert images("--storage-container", "wellhead") == [ours]
    assert images("--all") == [stock, ours]
    main([CLUSTER, case("sklearn-unpinned")])
    assert "KServe chooses at random between it and wellhead" in capsys.readouterr().err


def test_what_is_not_known_has_an_exit_code_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(yaml.safe_dump(recorded.inference_service({"storageUri": None})))
    assert main([CLUSTER, str(file)]) == NOT_MODELLED == 3
    assert "not known to this stand-in" in capsys.readouterr().err


def test_an_older_kserve_can_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([CLUSTER, case("s3-secret"), "--kserve", "0.18", "--storage-container", "wellhead"]) == REFUSED
    assert "may not have more than one field specified at a time" in capsys.readouterr().err


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(Path(case("pvc")).read_text()))
    assert main([CLUSTER, "-"]) == 0
    assert documents(capsys.readouterr().out) == [recorded.result("pvc", "pod")]


def test_a_folder_counts_with_every_file_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "cluster.yml").write_text(Path(CLUSTER).read_text())
    (tmp_path / "service.yaml").write_text(Path(case("pvc")).read_text())
    (tmp_path / "notes.md").write_text("not: [yaml")
    assert main([str(tmp_path)]) == 0
    assert documents(capsys.readouterr().out) == [recorded.result("pvc", "pod")]


def test_a_kustomization_is_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(REPOSITORY / "servingruntimes" / name) for name in ("default", "samples/s3")]
    assert main(folders) == 0
    (pod,) = documents(capsys.readouterr().out)
    assert recorded.initializer(pod)["image"].startswith("wellhead-initializer:")
    assert recorded.server(pod)["image"].startswith("wellhead-runtime:")
    assert recorded.environment(recorded.initializer(pod))["AWS_ENDPOINT_URL"] == "http://minio.minio.svc:9000"


@pytest.mark.parametrize("content", ["a: [", "just text", "kind: Secret", "- a list"])
def test_what_is_no_manifest_is_an_error(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(content)
    assert main([str(file)]) == 1
    assert capsys.readouterr().err.startswith("cannot read the manifests: ")


def test_without_anything_that_makes_pods_there_is_nothing_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([CLUSTER]) == 1
    assert "nothing to build a pod for" in capsys.readouterr().err


def test_a_file_that_is_missing_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere.yaml")]) == 1
    assert "nowhere.yaml" in capsys.readouterr().err
