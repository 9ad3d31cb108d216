"""`wellhead doctor NAME`: reads of a cluster (a stand-in for its API server), and what it does when it may not."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kserve import Cluster, recorded
from tests.kserve.manifests import Manifest
from tests.support.fake_cluster import PLURALS, FakeCluster, fake_cluster
from tests.unit.builders import REPOSITORY, python
from tests.unit.examining import doctor
from tests.unit.manifests import MANIFESTS, bundle, rendered
from wellhead_cluster.doctor.api import connect
from wellhead_cluster.doctor.known import CLUSTER_SCOPED
from wellhead_storage.errors import StoreUnavailable

CONTROLLER: Manifest = {
    "kind": "Deployment",
    "metadata": {"name": "kserve-controller-manager", "namespace": "kserve"},
    "spec": {"template": {"spec": {"containers": [{"name": "manager", "image": "kserve/kserve-controller:v0.20.0"}]}}},
}


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    """With KServe, Wellhead and two samples in the namespace team-a."""
    sample = [*bundle("samples/s3").values(), *bundle("samples/llm-gcs").values()]
    installed = [*bundle("default").values(), *rendered(MANIFESTS / "llm").values()]
    with fake_cluster() as server:
        objects = [*Cluster.with_stock([*installed, *sample]).objects, CONTROLLER]
        server.objects = [stored(each) for each in objects]
        yield server


def stored(manifest: Manifest) -> Manifest:
    """As the API server keeps it: with a namespace, and secrets encoded."""
    metadata = dict(manifest["metadata"])
    if manifest["kind"] not in CLUSTER_SCOPED:
        metadata.setdefault("namespace", "team-a")
    if manifest["kind"] != "Secret":
        return {**manifest, "metadata": metadata}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in manifest["stringData"].items()}
    return {"kind": "Secret", "metadata": metadata, "data": data}


def ask(cluster: FakeCluster, folder: Path, *arguments: str, **changes: Any) -> Any:
    config = cluster.kubeconfig(folder, **changes)
    return doctor(*arguments, environment={"KUBECONFIG": str(config), "HOME": str(folder)})


def report(cluster: FakeCluster, folder: Path, *arguments: str) -> Any:
    finished = ask(cluster, folder, *arguments, "--json")
    assert finished.stdout, finished.stderr
    return json.loads(finished.stdout)["reports"][0]


def levels(found: Any) -> dict[str, set[str]]:
    topics: dict[str, set[str]] = {}
    for each in found["findings"]:
        topics.setdefault(each["topic"], set()).add(each["level"])
    return topics


def test_a_faultless_service(cluster: FakeCluster, tmp_path: Path) -> None:
    found = report(cluster, tmp_path, "llama", "-n", "team-a")
    assert {level for each in levels(found).values() for level in each} == {"ok"}
    assert found["assumed"] == []
    assert (found["kind"], found["namespace"], found["name"]) == ("InferenceService", "team-a", "llama")


def test_it_only_reads(cluster: FakeCluster, tmp_path: Path) -> None:
    report(cluster, tmp_path, "llama")
    assert {method for method, _ in cluster.asked} == {"GET"}
    secrets = {path for _, path in cluster.asked if "/secrets" in path}
    assert secrets == {"/api/v1/namespaces/team-a/secrets/s3-models"}, "those that the service uses, each by its name"


def test_an_llm_service_when_there_is_no_other(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.objects = [each for each in cluster.objects if each["kind"] != "InferenceService"]
    found = report(cluster, tmp_path, "llama")
    assert found["kind"] == "LLMInferenceService"
    assert {level for each in levels(found).values() for level in each} == {"ok"}


def test_what_does_not_exist_is_an_error(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.objects = [each for each in cluster.objects if each["metadata"]["name"] != "s3-models"]
    finished = ask(cluster, tmp_path, "llama")
    assert finished.returncode == 23
    assert "ERROR" in finished.stdout
    assert "ServiceAccount s3-models of the predictor does not exist" in " ".join(finished.stdout.split())
    assert finished.stderr.startswith("Found by wellhead doctor: InferenceService team-a/llama: 1 error")


@pytest.mark.parametrize(
    ("plural", "topic"),
    [
        ("clusterstoragecontainers", "storage container"),
        ("clusterservingruntimes", "runtime"),
        ("servingruntimes", "runtime"),
        ("secrets", "secrets"),
        ("serviceaccounts", "service account"),
        ("localmodelcaches", "local cache"),
        ("deployments", "KServe"),
    ],
)
def test_what_may_not_be_read_is_unknown_and_names_the_permission(
    cluster: FakeCluster, tmp_path: Path, plural: str, topic: str
) -> None:
    cluster.forbidden = {plural}
    finished = ask(cluster, tmp_path, "llama", "--json")
    assert finished.returncode == 0, "not an error"
    findings = json.loads(finished.stdout)["reports"][0]["findings"]
    if plural == "servingruntimes":  # the cluster's own is found by its name all the same
        assert [each["level"] for each in findings if each["topic"] == topic] == ["ok"]
        return
    [found] = [each for each in findings if each["topic"] == topic and each["level"] == "unknown"]
    assert f"needs permission to {'get' if topic in {'secrets', 'service account', 'KServe'} else 'list'} {plural}" in (
        found["why"].lower()
    )


def test_a_service_that_may_not_be_read(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.forbidden = {"inferenceservices", "llminferenceservices"}
    finished = ask(cluster, tmp_path, "llama")
    assert finished.returncode == 12
    assert "needs permission to get inferenceservices in namespace team-a" in finished.stderr


def test_a_service_that_is_not_there(cluster: FakeCluster, tmp_path: Path) -> None:
    finished = ask(cluster, tmp_path, "nowhere")
    assert (finished.returncode, finished.stdout) == (11, "")
    assert "team-a/nowhere" in finished.stderr


def test_a_token_that_is_not_accepted(cluster: FakeCluster, tmp_path: Path) -> None:
    finished = ask(cluster, tmp_path, "llama", token="an-old-token")
    assert finished.returncode == 12
    assert "does not accept who you are" in finished.stderr
    assert "an-old-token" not in finished.stderr + finished.stdout


def test_an_api_server_that_fails(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.status = 503
    assert ask(cluster, tmp_path, "llama").returncode == 16


def test_a_cluster_that_is_not_reached_is_given_up_within_seconds(cluster: FakeCluster, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    begin = time.monotonic()
    finished = ask(cluster, tmp_path, "llama", url=closed)
    assert finished.returncode == 16
    assert closed in finished.stderr
    assert time.monotonic() - begin < 10


def test_without_a_kubeconfig(tmp_path: Path) -> None:
    finished = doctor("llama", environment={"HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "none")})
    assert finished.returncode == 19
    assert "There is no usable kubeconfig" in finished.stderr


def test_without_the_client_it_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['kubernetes'] = None; sys.argv = ['wellhead', 'doctor', 'llama']; "
    finished = python("-c", hidden + "from wellhead_cluster.cli import main; main()")
    assert finished.returncode == 19
    assert "pip install 'wellhead[cluster]'" in finished.stderr


def test_no_secret_is_shown(cluster: FakeCluster, tmp_path: Path) -> None:
    shown = []
    for each in cluster.objects:
        if each["kind"] == "Secret":
            each["data"] = {key: base64.b64encode(b"do-not-show-me").decode() for key in each["data"]}
    for extra in ([], ["--json"]):
        finished = ask(cluster, tmp_path, "llama", *extra)
        shown.append(finished.stdout + finished.stderr)
    assert all(text and "do-not-show-me" not in text for text in shown)


def test_the_roles_in_the_manual_are_what_is_read(cluster: FakeCluster, tmp_path: Path) -> None:
    """Every kind that is asked for has its rule, and no rule is for more than reading."""
    page = (REPOSITORY / "docs" / "doctor.md").read_text()
    [block] = [block for block in page.split("```") if block.startswith("yaml\napiVersion: rbac")]
    rules = [rule for role in yaml.safe_load_all(block.removeprefix("yaml")) for rule in role.get("rules", [])]
    allowed = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    report(cluster, tmp_path, "llama")
    cluster.objects = [each for each in cluster.objects if each["kind"] != "InferenceService"]
    report(cluster, tmp_path, "llama")
    used = set()
    for _, path in cluster.asked:
        plural, named = next((part, index) for index, part in enumerate(path.split("/")) if part in PLURALS), path
        used.add((plural[0], "get" if not named.endswith(plural[0]) else "list"))
    assert used == allowed


def test_recorded_objects_read_the_same_from_a_cluster_as_from_files(cluster: FakeCluster, tmp_path: Path) -> None:
    *others, service = recorded.case("bad-container-scheme")
    objects = [*recorded.cluster(*others).objects, CONTROLLER, service]
    cluster.objects = [stored(each) for each in objects]
    found = levels(report(cluster, tmp_path, "bad-container-scheme"))
    assert "error" in found["storage container"]


def test_a_server_that_never_answers_is_given_up(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config = cluster.kubeconfig(tmp_path, url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(config))
        monkeypatch.setattr("wellhead_cluster.doctor.api._READ", 0.2)
        api, namespace = connect()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            api.get("InferenceService", "llama", namespace)
