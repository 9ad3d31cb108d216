"""`wellhead doctor` on service accounts, secrets, and what streams with them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve.manifests import Manifest
from tests.kserve.recorded import NAMESPACE, account, inference_service, secret
from tests.unit.examining import NOT_GIVEN, findings, only, situation
from tests.unit.manifests import bundle
from wellhead_cluster.doctor.situation import Situation

KEYS = {"AWS_ACCESS_KEY_ID": "key-id-value", "AWS_SECRET_ACCESS_KEY": "secret-value"}
GPU = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}


def with_secret(data: dict[str, str], uri: str = "s3://models/llama", **annotations: str) -> Situation:
    named = {f"serving.kserve.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return with_account(account("reader", "creds"), secret("creds", data, **named), uri=uri)


def with_account(*manifests: Manifest, uri: str = "s3://models/llama", **predictor: Any) -> Situation:
    service = inference_service({"storageUri": uri, **GPU}, **{"serviceAccountName": "reader", **predictor})
    return situation(service, *bundle("default").values(), *manifests)


def test_whole_keys_are_sealed_for_the_engine() -> None:
    found = with_secret(KEYS)
    assert only(found, "secrets", "ok").seen == "Secret creds: S3 keys"
    assert "handed over sealed" in only(found, "hand-over", "ok").seen
    assert "S3 keys" in only(found, "credentials", "ok").seen


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "x"}, "has no AWS_ACCESS_KEY_ID"),
        ({**KEYS, "AWS_ACCESS_KEY_ID": ""}, "has no AWS_ACCESS_KEY_ID"),
        ({"AZURE_CLIENT_ID": "x", "AZURE_CLIENT_SECRET": "y"}, "has no AZURE_TENANT_ID"),
    ],
)
def test_half_a_secret_is_an_error(data: dict[str, str], words: str) -> None:
    assert words in only(with_secret(data), "secrets", "error").seen


@pytest.mark.parametrize(
    ("data", "fix"),
    [
        (
            {"accessKey": "a", "secretKey": "b"},
            "accessKey for AWS_ACCESS_KEY_ID and secretKey for AWS_SECRET_ACCESS_KEY",
        ),
        ({"AWS_ACCES_KEY_ID": "a", "AWS_SECRET_ACCESS_KEYS": "b"}, "AWS_SECRET_ACCESS_KEYS for AWS_SECRET_ACCESS_KEY"),
        ({"HUGGINGFACE_TOKEN": "a"}, "HUGGINGFACE_TOKEN for HF_TOKEN"),
        ({"key.json": "{}"}, "key.json for gcloud-application-credentials.json"),
    ],
)
def test_keys_that_kserve_does_not_read_are_guessed(data: dict[str, str], fix: str) -> None:
    assert fix in only(with_secret(data), "secrets", "warning").fix


def test_an_annotation_that_kserve_does_not_know() -> None:
    found = only(with_secret(KEYS, s3_use_https="0"), "secrets", "warning")
    assert (found.seen.split()[-6], found.fix) == (
        "serving.kserve.io/s3-use-https,",
        "Did you mean serving.kserve.io/s3-usehttps?",
    )


def test_a_connection_of_openshift_ai_lacks_the_endpoint_for_kserve() -> None:
    connection = {**KEYS, "AWS_S3_ENDPOINT": "https://minio:9000", "AWS_S3_BUCKET": "models"}
    assert "connection of OpenShift AI's" in only(with_secret(connection), "secrets", "warning").seen
    assert not findings(with_secret(connection, s3_endpoint="minio:9000"), "secrets", "warning")


def test_a_secret_for_another_store() -> None:
    found = findings(with_secret({"HF_TOKEN": "hf_value"}), "credentials", "warning")
    assert [each.seen for each in found] == [
        "no credentials for S3 are found",
        "the service account has a Hugging Face token, and the model is in S3",
    ]


def test_what_our_own_reader_of_credentials_refuses() -> None:
    bad = with_secret({**KEYS, "S3_VERIFY_SSL": "perhaps"})
    assert only(bad, "credentials", "error").seen == "The S3 setting verify_ssl is neither true nor false."
    google = with_secret({"gcloud-application-credentials.json": "not-json"}, "gs://models/llama")
    assert "is no key file" in only(google, "credentials", "error").seen


def test_an_endpoint_without_keys_cannot_work() -> None:
    role = {"eks.amazonaws.com/role-arn": "arn", "serving.kserve.io/s3-endpoint": "minio:9000"}
    assert "serves both containers" in only(with_account(account("reader", **role)), "credentials", "ok").seen
    nothing = with_account(account("reader"), uri="s3://models/llama?endpoint=http://minio:9000")
    assert "an endpoint that is not the cloud's own" in only(nothing, "credentials", "error").seen


def test_a_service_account_that_does_not_exist() -> None:
    assert (
        "ServiceAccount reader of the predictor does not exist" in only(with_account(), "service account", "error").seen
    )


def test_an_azure_identity_needs_its_label() -> None:
    identity = account("reader", **{"azure.workload.identity/client-id": "id"})
    assert "lack the label" in only(with_account(identity, uri="az://c@account/m"), "service account", "error").seen
    labelled = with_account(identity, uri="az://c@account/m", labels={"azure.workload.identity/use": "true"})
    assert not findings(labelled, "service account", "error")


@pytest.mark.parametrize(
    ("mode", "level", "outcome"), [("auto", "warning", "downloaded"), ("stream", "error", "the service fails")]
)
@pytest.mark.parametrize("where", ["pod", "account"])
def test_without_its_token_a_pod_gets_nothing_sealed(where: str, mode: str, level: Any, outcome: str) -> None:
    says: dict[str, Any] = {"automountServiceAccountToken": False}
    own = {**account("reader", "creds"), **(says if where == "account" else {})}
    service = inference_service(GPU, serviceAccountName="reader", **(says if where == "pod" else {}))
    service["metadata"]["annotations"] = {"wellhead.dev/mode": mode}
    found = only(situation(service, *bundle("default").values(), own, secret("creds", KEYS)), "hand-over", level)
    assert outcome in found.why
    assert "automountServiceAccountToken: true" in found.snippet


def test_a_server_with_keys_of_its_own_needs_no_token() -> None:
    service = inference_service(
        {**GPU, "envFrom": [{"secretRef": {"name": "creds"}}]},
        serviceAccountName="reader",
        automountServiceAccountToken=False,
    )
    found = situation(service, *bundle("default").values(), account("reader", "creds"), secret("creds", KEYS))
    assert "has credentials of its own" in only(found, "hand-over", "ok").seen


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (None, "has no entry minio (it has: other)"),
        ("no json", "is not a JSON object"),
        ('{"type": "s3", "bucket": 1}', "values that are no strings: bucket"),
        ('{"bucket": "b"}', "does not say which type"),
        ('{"type": "ftp"}', "storage type ftp is none of"),
        ('{"type": "s3"}', "names no bucket"),
    ],
)
def test_an_entry_of_storage_config_that_kserve_refuses(entry: str | None, words: str) -> None:
    config = secret("storage-config", {"other": "{}", **({} if entry is None else {"minio": entry})})
    service = inference_service({"storageUri": None, "storage": {"key": "minio", "path": "llama"}, **GPU})
    found = situation(service, *bundle("default").values(), config)
    assert words in only(found, "secrets", "error").seen


def test_a_bundle_that_is_not_there() -> None:
    found = with_secret(KEYS, s3_cabundle_configmap="authority")
    assert "ConfigMap authority with the certificates does not exist" in only(found, "credentials", "error").seen


def test_what_was_not_given_is_not_known() -> None:
    service = inference_service(GPU, serviceAccountName="reader")
    found = situation(service, *bundle("default").values(), rest=NOT_GIVEN)
    assert NOT_GIVEN in only(found, "service account", "unknown").why
    assert not findings(found, "", "error")
    half = situation(service, *bundle("default").values(), account("reader", "creds"), rest=NOT_GIVEN)
    assert "Secret creds" in only(half, "secrets", "unknown").why
    assert not findings(half, "", "error")


def test_namespaces_do_not_mix() -> None:
    elsewhere = {**secret("creds", KEYS), "metadata": {"name": "creds", "namespace": "other"}}
    found = with_account(account("reader", "creds"), elsewhere)
    assert found.known.namespace == NAMESPACE
    assert only(found, "secrets", "error").seen == "Secret creds does not exist"
