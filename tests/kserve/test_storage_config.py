"""The `storage` block of a service and the secret storage-config."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kserve import Refused, build, recorded
from tests.kserve.manifests import Manifest

DENIED = 'admission webhook "inferenceservice.kserve-webhook-server.pod-mutator" denied the request: '


def pod_with(storage: Manifest, *manifests: Manifest, uri: str | None = None, **predictor: Any) -> Manifest:
    service = recorded.inference_service({"storageUri": uri, "storage": storage}, **predictor)
    return build(recorded.cluster(*manifests), service).pod


def refusal(storage: Manifest, *manifests: Manifest, uri: str | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        pod_with(storage, *manifests, uri=uri)
    return caught.value


def entries(**values: object) -> Manifest:
    return recorded.secret("storage-config", {name: json.dumps(value) for name, value in values.items()})


def injected(pod: Manifest) -> list[str]:
    names = list(recorded.environment(recorded.initializer(pod)))
    return [name for name in names if not name.startswith(("WELLHEAD_", "HF_"))]


def test_parameters_travel_beside_the_entry() -> None:
    pod = pod_with({"key": "minio", "parameters": {"region": "eu", "bucket": "b<1>"}}, uri="s3://models/llama")
    environment = recorded.environment(recorded.initializer(pod))
    assert injected(pod) == ["STORAGE_CONFIG", "STORAGE_OVERRIDE_CONFIG"]
    assert environment["STORAGE_CONFIG"] == {"secretKeyRef": {"name": "storage-config", "key": "minio"}}
    assert environment["STORAGE_OVERRIDE_CONFIG"] == '{"bucket":"b\\u003c1\\u003e","region":"eu"}'
    annotations = pod["metadata"]["annotations"]
    assert annotations["internal.serving.kserve.io/storage-spec-param"] == environment["STORAGE_OVERRIDE_CONFIG"]


def test_secrets_of_the_account_and_roles_have_no_say() -> None:
    for account in ("s3-reader", "s3-irsa"):
        pod = pod_with({"key": "minio"}, uri="s3://models/llama", serviceAccountName=account)
        assert injected(pod) == ["STORAGE_CONFIG"]


@pytest.mark.parametrize(
    ("storage", "uri"),
    [
        ({"key": "minio", "path": "/llama/7b"}, "s3://models/llama/7b"),
        ({"key": "minio", "path": "llama", "parameters": {"bucket": "other"}}, "s3://other/llama"),
        ({"key": "minio", "path": "llama", "parameters": {"type": "s3", "bucket": "other"}}, "s3://other/llama"),
        ({"key": "hdfs", "path": "llama"}, "hdfs://llama"),
        ({"path": "llama", "parameters": {"type": "webhdfs"}}, "webhdfs://llama"),
        ({"path": "llama"}, "s3://fallback/llama"),
    ],
)
def test_a_path_gets_scheme_and_bucket(storage: Manifest, uri: str) -> None:
    config = entries(
        minio={"type": "s3", "bucket": "models"}, hdfs={"type": "hdfs"}, default={"type": "s3", "bucket": "fallback"}
    )
    pod = pod_with(storage, config)
    assert recorded.initializer(pod)["args"] == [uri, "/mnt/models"]
    source = pod["metadata"]["annotations"]["internal.serving.kserve.io/storage-initializer-sourceuri"]
    assert source.startswith("<scheme-placeholder>://llama")


def test_a_name_of_a_storage_container_is_ignored_with_a_path() -> None:
    """The runtime's pin counts."""
    pod = pod_with({"key": "minio", "path": "llama"}, storageContainerName="nowhere")
    assert recorded.initializer(pod)["image"] == "registry.example/wellhead-initializer:0.1.0"


def test_a_ca_bundle_of_the_entry_comes_first_and_is_mounted() -> None:
    pod = pod_with({"key": "with-ca"}, uri="s3://models/llama")
    assert injected(pod) == [
        *("AWS_CA_BUNDLE_CONFIGMAP", "STORAGE_CONFIG"),
        *("CA_BUNDLE_CONFIGMAP_NAME", "CA_BUNDLE_VOLUME_MOUNT_POINT"),
    ]
    assert recorded.named(pod["spec"]["volumes"], "cabundle-cert")["configMap"]["name"] == "s3-ca"
    mount = recorded.named(recorded.initializer(pod)["volumeMounts"], "cabundle-cert")
    assert mount == {"name": "cabundle-cert", "mountPath": "/etc/ssl/custom-certs", "readOnly": True}


def test_with_a_type_among_the_parameters_nobody_looks_into_the_entry() -> None:
    pod = pod_with({"key": "with-ca", "parameters": {"type": "s3"}}, uri="s3://models/llama")
    assert injected(pod) == ["STORAGE_CONFIG", "STORAGE_OVERRIDE_CONFIG"]


def test_an_annotation_names_another_secret() -> None:
    other = recorded.secret("other", {"minio": '{"type": "s3", "bucket": "elsewhere"}'})
    service = recorded.inference_service({"storageUri": None, "storage": {"key": "minio", "path": "llama"}})
    service["metadata"]["annotations"] = {"serving.kserve.io/storageSecretName": "other"}
    pod = build(recorded.cluster(other), service).pod
    assert recorded.initializer(pod)["args"][0] == "s3://elsewhere/llama"


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ({"key": "nowhere"}, "specified storage key nowhere not found in storage secret storage-config"),
        ({}, "unable to determine storage type"),
        ({"key": "untyped"}, "unable to determine storage type"),
        (
            {"key": "gs"},
            "storage type must be one of [s3, hdfs, webhdfs]. storage type [gs] is not supported",
        ),
        (
            {"key": "numbers"},
            "invalid json encountered in key numbers of storage secret storage-config: "
            "json: cannot unmarshal number into Go value of type string",
        ),
    ],
)
def test_an_entry_that_says_too_little_is_refused(storage: Manifest, words: str) -> None:
    config = entries(untyped={}, gs={"type": "gs"}, numbers={"type": "s3", "verify_ssl": 1})
    refused = refusal(storage, config, uri="s3://models/llama")
    assert (refused.stage, refused.message) == ("Pod", DENIED + words)


def test_a_path_without_a_bucket_is_refused() -> None:
    """With a type among the parameters KServe does not read the entry's bucket."""
    words = "format [s3] requires a bucket but one wasn't found in storage data or parameters"
    assert refusal({"key": "own", "path": "llama"}, entries(own={"type": "s3"})).message == DENIED + words
    typed = {"key": "own", "path": "llama", "parameters": {"type": "s3"}}
    assert refusal(typed, entries(own={"type": "s3", "bucket": "b"})).message == DENIED + words


def test_an_entry_that_is_no_json_is_refused() -> None:
    refused = refusal({"key": "own"}, recorded.secret("storage-config", {"own": "{"}), uri="s3://models/llama")
    assert refused.message.startswith(f"{DENIED}invalid json encountered in key own of storage secret storage-config: ")


def test_a_secret_that_does_not_exist_is_refused_where_a_key_is_asked_for() -> None:
    service = recorded.inference_service({"storage": {"key": "minio"}})
    service["metadata"]["namespace"] = "empty"
    with pytest.raises(Refused) as caught:
        build(recorded.cluster(), service)
    words = 'can\'t read storage secret storage-config: secrets "storage-config" not found'
    assert caught.value.message == DENIED + words


def test_a_key_without_uri_or_path_leads_to_no_initializer() -> None:
    assert "initContainers" not in pod_with({"key": "minio"})["spec"]


def test_a_uri_and_a_path_are_refused() -> None:
    refused = refusal({"path": "llama"}, uri="s3://models/llama")
    assert (refused.stage, refused.message) == ("reconcile", "must provide only one of storageUri and storage.path")
