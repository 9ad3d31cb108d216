"""Every way in which a pod may be told where its store is and how to sign, end to end."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from tests.storage.model import Model
from tests.storage.pod import Pod
from tests.support.seaweedfs import SeaweedFS

S3_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "S3_ENDPOINT",
    "S3_USE_HTTPS",
)


def only(store: SeaweedFS, *names: str, **others: str) -> dict[str, str | None]:
    """The pod's S3 variables, all unset but `names`, plus `others`."""
    given = store.environment(reader=True)
    return {name: given[name] if name in names else None for name in S3_VARIABLES} | others


KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def streams(pod: Pod, uri: str, environment: dict[str, str | None]) -> bool:
    outcome = pod.init(uri, **environment)
    assert outcome.exit_code == 0, outcome.stderr
    return pod.plan.mode == "stream"


def test_endpoint_without_scheme(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    assert streams(pod, llama.uri, only(store, *KEYS, "S3_ENDPOINT", S3_USE_HTTPS="0"))
    assert pod.plan.connection is not None
    assert pod.plan.connection.endpoint_url == store.endpoint_url


def test_openshift_ai_connection(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    assert streams(pod, llama.uri, only(store, *KEYS, AWS_S3_ENDPOINT=store.endpoint_url))


def test_endpoint_in_the_uri(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    uri = f"{llama.uri}?endpoint={store.endpoint_url}&defaultRegion=eu-west-3"
    assert streams(pod, uri, only(store, *KEYS, AWS_ENDPOINT_URL="http://127.0.0.1:1"))
    assert pod.plan.connection is not None
    assert pod.plan.connection.region == "eu-west-3"
    assert pod.plan.weights.uri == llama.uri


def test_storage_config(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    given = store.environment(reader=True)
    config = {
        "type": "s3",
        "access_key_id": given["AWS_ACCESS_KEY_ID"],
        "secret_access_key": "overridden",
        "endpoint_url": store.endpoint_url,
        "bucket": "models",
    }
    override = {"secret_access_key": given["AWS_SECRET_ACCESS_KEY"], "region": "us-east-1"}
    variables = {"STORAGE_CONFIG": json.dumps(config), "STORAGE_OVERRIDE_CONFIG": json.dumps(override)}
    assert streams(pod, llama.uri, only(store, **variables))
    assert "credentials.sealed" in pod.own_files


def test_a_host_name_as_endpoint_is_addressed_by_path(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    port = urlsplit(store.endpoint_url).port
    assert streams(pod, llama.uri, only(store, *KEYS, AWS_ENDPOINT_URL=f"http://localhost:{port}"))
    assert pod.plan.connection is not None
    assert not pod.plan.connection.bucket_in_host


def test_anonymous_requests_are_not_signed(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    # The test's store lets nobody in without a key: that it refuses shows that nothing was signed.
    outcome = pod.init(llama.uri, awsAnonymousCredential="true")
    assert outcome.exit_code == 12
    assert outcome.sentence.startswith("The store refuses access to s3://models/llama:")
