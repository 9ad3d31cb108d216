"""Credentials: what every kind of secret becomes in the initializer, and that the server gets none of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kserve import Refused, build, recorded
from tests.kserve.manifests import Manifest

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
DENIED = 'admission webhook "inferenceservice.kserve-webhook-server.pod-mutator" denied the request: '
CONFIG = {"kind": "ConfigMap", "metadata": {"name": "inferenceservice-config", "namespace": "kserve"}}


def pod_with(*manifests: Manifest, account: str = "own", service: Manifest | None = None, **predictor: Any) -> Manifest:
    service = service or recorded.inference_service()
    service["spec"]["predictor"] |= {"serviceAccountName": account, **predictor}
    return build(recorded.cluster(*manifests), service).pod


def injected(pod: Manifest) -> dict[str, Any]:
    """What the initializer has beyond our storage container's variables and the Hugging Face defaults."""
    environment = recorded.environment(recorded.initializer(pod))
    return {
        name: value for name, value in environment.items() if not name.startswith(("WELLHEAD_", "HF_HUB", "HF_XET"))
    }


def from_secret(data: dict[str, str], **annotations: str) -> dict[str, Any]:
    pod = pod_with(recorded.secret("own", data, **annotations), recorded.account("own", "own"))
    return injected(pod)


def reference(key: str, secret: str = "own") -> Manifest:
    return {"secretKeyRef": {"name": secret, "key": key}}


def settings(environment: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in environment.items() if isinstance(value, str)}


def test_the_server_gets_no_credential() -> None:
    pod = pod_with(account="s3-full")
    assert not recorded.environment(recorded.server(pod)).keys() & {"AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"}


@pytest.mark.parametrize(
    ("data", "annotations", "expected"),
    [
        ({}, {}, {}),
        ({"S3_ENDPOINT": "minio:9000"}, {}, {"S3_ENDPOINT": "minio:9000", "AWS_ENDPOINT_URL": "https://minio:9000"}),
        (
            {"S3_ENDPOINT": "minio:9000", "S3_USE_HTTPS": "0"},
            {},
            {"S3_USE_HTTPS": "0", "S3_ENDPOINT": "minio:9000", "AWS_ENDPOINT_URL": "http://minio:9000"},
        ),
        (
            {"S3_ENDPOINT": "http://minio:9000", "S3_USE_HTTPS": "1"},
            {},
            {"S3_USE_HTTPS": "0", "S3_ENDPOINT": "minio:9000", "AWS_ENDPOINT_URL": "http://minio:9000"},
        ),
        (
            {"S3_ENDPOINT": "data:9000"},
            {"serving.kserve.io/s3-endpoint": "annotation:9000"},
            {"S3_ENDPOINT": "annotation:9000", "AWS_ENDPOINT_URL": "https://annotation:9000"},
        ),
        ({}, {"serving.kserve.io/s3-usehttps": "0"}, {"S3_USE_HTTPS": "0"}),
        (
            {},
            {
                "serving.kserve.io/s3-cabundle": "/etc/own/ca.pem",
                "serving.kserve.io/s3-useanoncredential": "true",
                "serving.kserve.io/s3-useaccelerate": "true",
                "serving.kserve.io/s3-usevirtualbucket": "true",
                "serving.kserve.io/s3-verifyssl": "0",
                "serving.kserve.io/s3-region": "eu-west-1",
            },
            {
                "S3_VERIFY_SSL": "0",
                "awsAnonymousCredential": "true",
                "AWS_DEFAULT_REGION": "eu-west-1",
                "S3_USER_VIRTUAL_BUCKET": "true",
                "S3_USE_ACCELERATE": "true",
                "AWS_CA_BUNDLE": "/etc/own/ca.pem",
            },
        ),
    ],
)
def test_s3_settings(data: dict[str, str], annotations: dict[str, str], expected: dict[str, str]) -> None:
    environment = from_secret({**KEYS, **data}, **annotations)
    assert {name: environment[name] for name in KEYS} == {name: reference(name) for name in KEYS}
    assert list(settings(environment).items()) == list(expected.items())


def test_what_no_secret_says_kserves_settings_may() -> None:
    credentials = (
        '{"s3": {"s3AccessKeyIDName": "AWS_ACCESS_KEY_ID", "s3SecretAccessKeyName": "AWS_SECRET_ACCESS_KEY", '
        '"s3Endpoint": "shared:9000", "s3Region": "eu-west-3"}}'
    )
    config = {**CONFIG, "data": {"credentials": credentials}}
    own = recorded.secret("own", KEYS, **{"serving.kserve.io/s3-region": "us-east-1"})
    environment = settings(injected(pod_with(config, own, recorded.account("own", "own"))))
    assert environment["S3_ENDPOINT"] == "shared:9000"
    assert environment["AWS_DEFAULT_REGION"] == "us-east-1"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"AZURE_STORAGE_ACCESS_KEY": "k"}, {"AZURE_STORAGE_ACCESS_KEY": reference("AZURE_STORAGE_ACCESS_KEY")}),
        (
            {"AZURE_CLIENT_ID": "c", "AZURE_STORAGE_ACCESS_KEY": "k"},
            {
                "AZURE_TENANT_ID": reference("AZURE_TENANT_ID"),
                "AZURE_CLIENT_ID": reference("AZURE_CLIENT_ID"),
                "AZURE_STORAGE_ACCESS_KEY": reference("AZURE_STORAGE_ACCESS_KEY"),
            },
        ),
        (
            {"AZ_CLIENT_ID": "c", "AZ_CLIENT_SECRET": "s", "AZ_TENANT_ID": "t", "AZ_SUBSCRIPTION_ID": "u"},
            {
                "AZURE_SUBSCRIPTION_ID": reference("AZ_SUBSCRIPTION_ID"),
                "AZURE_TENANT_ID": reference("AZ_TENANT_ID"),
                "AZURE_CLIENT_ID": reference("AZ_CLIENT_ID"),
                "AZURE_CLIENT_SECRET": reference("AZ_CLIENT_SECRET"),
            },
        ),
        (
            {"AZURE_ACCESS_TOKEN": "t", "AZURE_ACCESS_EXPIRES_ON_SECONDS": "9", "AZURE_ACCOUNT_NAME": "a"},
            {
                "AZURE_TENANT_ID": reference("AZURE_TENANT_ID"),
                "AZURE_ACCESS_TOKEN": reference("AZURE_ACCESS_TOKEN"),
                "AZURE_ACCESS_EXPIRES_ON_SECONDS": reference("AZURE_ACCESS_EXPIRES_ON_SECONDS"),
                "AZURE_ACCOUNT_NAME": reference("AZURE_ACCOUNT_NAME"),
            },
        ),
        ({"https-host": "models.example", "headers": "A: b\n"}, {"models.example-headers": "A: b\n"}),
        ({"https-host": "models.example"}, {}),
        ({"HF_TOKEN": "t"}, {"HF_TOKEN": reference("HF_TOKEN")}),
        ({"MODELSCOPE_API_TOKEN": "t"}, {"MODELSCOPE_API_TOKEN": reference("MODELSCOPE_API_TOKEN")}),
        ({"something": "else"}, {}),
        ({**KEYS, "HF_TOKEN": "t"}, {name: reference(name) for name in KEYS}),
    ],
)
def test_what_a_secret_becomes(data: dict[str, str], expected: dict[str, Any]) -> None:
    assert list(from_secret(data).items()) == list(expected.items())


def test_a_hdfs_secret_is_a_folder() -> None:
    pod = pod_with(recorded.secret("own", {"HDFS_NAMENODE": "n"}), recorded.account("own", "own"))
    mount = recorded.named(recorded.initializer(pod)["volumeMounts"], "hdfs-secrets")
    assert mount == {"name": "hdfs-secrets", "mountPath": "/var/secrets/kserve-hdfscreds", "readOnly": True}
    volume = recorded.named(pod["spec"]["volumes"], "hdfs-secrets")
    assert volume["secret"] == {"secretName": "own", "defaultMode": 420}


def test_secrets_may_hold_base64() -> None:
    own = recorded.secret("own", {})
    own["data"] = {"HF_TOKEN": "dA=="}
    assert injected(pod_with(own, recorded.account("own", "own"))) == {"HF_TOKEN": reference("HF_TOKEN")}


def test_every_secret_of_the_account_counts_in_its_order() -> None:
    environment = injected(pod_with(account="several"))
    assert list(environment)[:2] == ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    assert list(environment)[-2:] == ["HF_TOKEN", "models.example-headers"]


def test_two_s3_secrets_the_later_values_win_but_not_the_later_keys() -> None:
    """KServe exchanges plain values only."""
    secrets = [
        recorded.secret("a", {**KEYS, "S3_ENDPOINT": "a:9000"}),
        recorded.secret("b", {**KEYS, "S3_ENDPOINT": "b:9000", "AWS_DEFAULT_REGION": "r"}),
    ]
    environment = injected(pod_with(*secrets, recorded.account("own", "a", "b")))
    assert environment["AWS_ACCESS_KEY_ID"] == reference("AWS_ACCESS_KEY_ID", "a")
    values = {"S3_ENDPOINT": "b:9000", "AWS_ENDPOINT_URL": "https://b:9000", "AWS_DEFAULT_REGION": "r"}
    assert settings(environment) == values


def test_an_annotation_names_the_only_secret() -> None:
    service = recorded.inference_service()
    service["metadata"]["annotations"] = {"serving.kserve.io/storageSecretName": "hf-token"}
    assert injected(pod_with(account="s3-reader", service=service)) == {"HF_TOKEN": reference("HF_TOKEN", "hf-token")}


def test_a_role_gives_settings_and_secrets_override_them() -> None:
    role = {"eks.amazonaws.com/role-arn": "arn", "serving.kserve.io/s3-endpoint": "role:9000"}
    own = recorded.secret("own", {**KEYS, "S3_ENDPOINT": "secret:9000"})
    assert settings(injected(pod_with(recorded.account("own", **role)))) == {
        "S3_ENDPOINT": "role:9000",
        "AWS_ENDPOINT_URL": "https://role:9000",
    }
    environment = injected(pod_with(own, recorded.account("own", "own", **role)))
    assert list(environment) == ["S3_ENDPOINT", "AWS_ENDPOINT_URL", *KEYS]
    assert environment["AWS_ENDPOINT_URL"] == "https://secret:9000"


def test_settings_on_an_account_without_a_role_are_ignored() -> None:
    account = recorded.account("own", **{"serving.kserve.io/s3-endpoint": "x:9000"})
    assert injected(pod_with(account)) == {}


def test_a_secret_that_is_missing_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        pod_with(recorded.account("own", "nowhere"))
    assert (caught.value.stage, caught.value.message) == ("Pod", f'{DENIED}secrets "nowhere" not found')


def test_an_account_that_is_missing_is_refused_by_kubernetes() -> None:
    with pytest.raises(Refused) as caught:
        pod_with(account="nowhere")
    assert caught.value.stage == "Pod"
    assert caught.value.message == (
        'pods "llama-predictor-0" is forbidden: error looking up service account team-a/nowhere: '
        'serviceaccount "nowhere" not found'
    )


def test_secrets_of_another_namespace_do_not_count() -> None:
    own = recorded.secret("own", KEYS)
    own["metadata"]["namespace"] = "elsewhere"
    with pytest.raises(Refused, match='secrets "own" not found'):
        pod_with(own, recorded.account("own", "own"))
