"""Every way in which a pod may be told where its store is and how to sign, end to end."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.storage.model import Model
from tests.storage.pod import Pod
from tests.storage.signed import put_policy
from tests.support.counting_proxy import counting_proxy
from tests.support.expect import a
from tests.support.seaweedfs import SeaweedFS
from wellhead_storage.credentials.s3 import S3Connection

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
    assert a(S3Connection, pod.plan.connection).region == "eu-west-3"
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
    assert not a(S3Connection, pod.plan.connection).bucket_in_host


def test_anonymous_requests_are_not_signed(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    # The test's store lets nobody in without a key: that it refuses shows that nothing was signed.
    outcome = pod.init(llama.uri, awsAnonymousCredential="true")
    assert outcome.exit_code == 12
    assert outcome.sentence.startswith("The store refuses access to s3://models/llama:")


def test_the_storage_config_wins_over_every_variable(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    """A session token of another pair of keys would spoil the signature, if it were only left standing."""
    given = store.environment(reader=True)
    config = {
        "type": "s3",
        "access_key_id": given["AWS_ACCESS_KEY_ID"],
        "secret_access_key": given["AWS_SECRET_ACCESS_KEY"],
        "endpoint_url": store.endpoint_url,
    }
    others = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "of-something-else")
    others["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
    assert streams(pod, llama.uri, only(store, STORAGE_CONFIG=json.dumps(config), **others))


def test_a_storage_config_for_another_kind_of_store_changes_nothing(pod: Pod, llama: Model) -> None:
    config = {"type": "gs", "access_key_id": "of-something-else", "secret_access_key": "of-something-else"}
    assert streams(pod, llama.uri, {"STORAGE_CONFIG": json.dumps(config)})


def test_an_endpoint_for_s3_alone_wins_over_the_general_one(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    endpoints = {"AWS_ENDPOINT_URL_S3": store.endpoint_url, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    assert streams(pod, llama.uri, only(store, *KEYS, **endpoints))


def test_empty_variables_are_absent_ones(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    """Optional keys of a secret arrive like this."""
    names = ("AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_CA_BUNDLE")
    empty = dict.fromkeys((*names, "STORAGE_CONFIG", "S3_VERIFY_SSL", "awsAnonymousCredential"), "")
    assert streams(pod, llama.uri, only(store, *KEYS, "S3_ENDPOINT", "S3_USE_HTTPS", **empty))


def test_blanks_around_a_value_do_not_count(pod: Pod, llama: Model, store: SeaweedFS) -> None:
    """Editors leave line ends in secrets."""
    assert streams(pod, llama.uri, {name: f" {value}\n" for name, value in store.environment(reader=True).items()})
    assert pod.plan.connection is not None
    assert pod.plan.connection.endpoint_url == store.endpoint_url


@pytest.fixture(scope="module")
def public(store: SeaweedFS, checkpoint: Path) -> str:
    """A model in a bucket that everybody may read."""
    store.create_bucket("public")
    store.put_folder("public", "llama", checkpoint)
    put_policy(store, "public", "Allow", "s3:GetObject", "s3:ListBucket")
    return "s3://public/llama"


def test_a_public_bucket_needs_no_keys_no_token_and_nothing_of_ours(pod: Pod, public: str, store: SeaweedFS) -> None:
    environment = only(store, AWS_ENDPOINT_URL=store.endpoint_url, awsAnonymousCredential="True")
    ours = [name for name in pod.environment if name.startswith("WELLHEAD_") and name != "WELLHEAD_TERMINATION_LOG"]
    assert streams(pod, f"runai_streamer://{public}", environment | dict.fromkeys(ours))
    assert (pod.plan.credentials.handoff, pod.plan.credentials.identity) == ("none", "anonymous")
    assert pod.own_files == ["plan.json"]


def test_a_public_bucket_named_by_a_storage_config(pod: Pod, public: str, store: SeaweedFS) -> None:
    config = {"type": "s3", "endpoint_url": store.endpoint_url, "anonymous": "True"}
    assert streams(pod, public, only(store, STORAGE_CONFIG=json.dumps(config)))
    assert pod.plan.credentials.identity == "anonymous"


def test_anonymous_means_unsigned_even_where_there_are_keys(pod: Pod, public: str, store: SeaweedFS) -> None:
    with counting_proxy(store.endpoint_url) as proxy:
        environment = store.environment(proxy.endpoint_url)
        assert streams(pod, public, {**environment, "awsAnonymousCredential": "true"})
        assert not [request for request in proxy.requests if request.signed]
