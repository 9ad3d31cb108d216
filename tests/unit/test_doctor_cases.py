"""Recorded cases and the repository's samples: every fault is named, and nothing else is called one."""

from __future__ import annotations

import pytest

from tests.kserve import Cluster, recorded
from tests.kserve.manifests import Manifest
from tests.unit.examining import faults, findings, in_cluster, only, recorded_situation
from tests.unit.manifests import MANIFESTS, bundle, rendered
from wellhead_cluster.doctor.situation import SERVICES, Situation

# What every service of the recordings has, which ask for no GPU and whose runtime has a variable of no meaning.
USUAL = {("warning", "accelerators"), ("warning", "settings")}
NO_KEYS = ("warning", "credentials")
DICE = ("warning", "storage container")
EXPECTED: dict[str, set[tuple[str, str]]] = {
    "az-secret": {("error", "credentials")},
    "bad-container-name": {("error", "storage container"), NO_KEYS},
    "bad-container-scheme": {("error", "storage container"), NO_KEYS},
    "bad-format": {("error", "runtime"), DICE, NO_KEYS},
    "bad-jinja": {("error", "placeholders"), NO_KEYS},
    "bad-port-name": {("error", "service"), ("warning", "runtime")},
    "bad-runtime": {("error", "runtime"), DICE, NO_KEYS},
    "bad-scheme": {("error", "URI"), ("error", "storage container")},
    "bad-secret": {("error", "secrets"), NO_KEYS},
    "bad-uri-and-uris": {("error", "service"), DICE, NO_KEYS},
    "html-escaping": {("warning", "placeholders"), NO_KEYS},
    "llm-gs-refused": {("error", "LLM configs"), NO_KEYS},
    "llm-gs-self": {NO_KEYS},
    "llm-pvc": {("error", "claims")},
    "pvc": {("error", "claims")},
    "mode-bad-value": {("error", "settings"), NO_KEYS},
    "oci-native": {("error", "URI")},
    "own-initializer": {("error", "credentials")},
    "s3-default-sa": {NO_KEYS},
    "sklearn-unpinned": {DICE},
    "storage-uris": {("error", "claims"), ("error", "service"), ("warning", "service")},
    "storage-uris-unpinned": {("error", "claims"), ("error", "service"), ("warning", "service"), DICE},
    "user-overrides": {("warning", "runtime")},
}
CASES = [name for kind in SERVICES for name in recorded.cases(kind)]
SAMPLES = sorted(path.name for path in (MANIFESTS / "samples").iterdir() if path.name != "llm-s3-account")
CACHING: Manifest = {
    "kind": "ConfigMap",
    "metadata": {"name": "inferenceservice-config", "namespace": "kserve"},
    "data": {"localModel": '{"enabled": true}'},
}


def of_case(name: str) -> Situation:
    *others, service = recorded.case(name)
    return recorded_situation(service, *others)


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_service_has_the_faults_that_it_has(name: str) -> None:
    assert faults(of_case(name)) - USUAL == EXPECTED.get(name, set()) - USUAL
    if name == "mode-bad-value":
        assert "'fastest' is not valid" in only(of_case(name), "settings", "error").seen


@pytest.mark.parametrize(
    ("name", "topic", "words"),
    [
        ("bad-container-name", "storage container", "there is no ClusterStorageContainer nowhere"),
        ("bad-container-scheme", "storage container", "wellhead-only-wrapper does not list s3:// URIs"),
        ("bad-format", "runtime", "no runtime selects itself for format 'Wellhead'"),
        ("bad-jinja", "placeholders", "{{ messages[0] }}"),
        ("bad-port-name", "service", "2 ports of the predictor's server are called http1"),
        ("bad-runtime", "runtime", "there is no ServingRuntime and no ClusterServingRuntime nowhere"),
        ("bad-secret", "secrets", "Secret nowhere does not exist"),
        ("pvc", "claims", "PersistentVolumeClaim models-claim does not exist"),
        ("llm-gs-refused", "LLM configs", "KServe's initializer is on, and does not know gs://"),
        ("oci-native", "URI", "oci+native:// is switched off"),
        ("own-initializer", "credentials", "AWS_SECRET_ACCESS_KEY is missing"),
        ("storage-uris", "service", "the server reads /mnt/models, and storageUris fill /mnt/models/base"),
    ],
)
def test_an_error_names_what_it_is_about(name: str, topic: str, words: str) -> None:
    found = only(of_case(name), topic, "error")
    assert words in found.seen
    assert found.why
    assert found.fix


def test_a_format_in_other_letters_is_recognised() -> None:
    assert only(of_case("bad-format"), "runtime", "error").fix.startswith("Write wellhead:")


def test_an_annotation_that_does_not_reach_an_llms_pods() -> None:
    found = [each for each in findings(of_case("llm-s3"), "settings", "warning") if "metadata" in each.seen]
    assert ["does not reach the pods" in each.seen for each in found] == [True]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_faultless(name: str) -> None:
    objects = bundle(f"samples/{name}")
    installed = [*bundle("default").values(), *rendered(MANIFESTS / "llm").values()]
    caching = [CACHING] if name == "local-model-cache" else []
    cluster = Cluster.with_stock([*installed, *objects.values(), *caching])
    services = [each for each in objects.values() if each["kind"] in SERVICES]
    assert services
    for service in services:
        assert [each for each in findings(in_cluster(service, cluster)) if each.level != "ok"] == []


@pytest.mark.parametrize("name", CASES)
def test_no_value_of_a_secret_is_shown(name: str) -> None:
    secrets = [each for each in recorded.cluster(*recorded.case(name)).objects if each["kind"] == "Secret"]
    hidden = {text for each in secrets for text in each["stringData"].values() if len(text) > 6}
    shown = "".join(each.model_dump_json() for each in findings(of_case(name)))
    assert not [text for text in hidden if text in shown and text not in {"example", "cabundle"}]
