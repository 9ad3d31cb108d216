"""Which store serves a URI; nothing here makes a request."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import cast

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import AzureStore, S3Store

from tests.support.azurite import ACCOUNT, KEY
from tests.support.web_server import web_server
from wellhead_storage.errors import AccessDenied, InvalidConfiguration, InvalidUri, WellheadError
from wellhead_storage.stores.folder import ObstoreFolder
from wellhead_storage.stores.opening import Opened, open_store
from wellhead_storage.uri import parse

KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "wJal"}


def s3_config(opened: Opened) -> dict[str, object]:
    """What obstore was told."""
    store = cast("S3Store", cast("ObstoreFolder", opened.store)._store)
    return {name.removeprefix("aws_"): value for name, value in store.config.items()}


def signed(opened: Opened) -> str:
    """A URL that shows which credentials sign; nothing is sent."""
    store = cast("S3Store", cast("ObstoreFolder", opened.store)._store)
    return obstore.sign(store, "GET", "x", timedelta(minutes=1))


CONFIGS: dict[str, tuple[str, dict[str, str], dict[str, object]]] = {
    "MinIO": (
        "s3://models/llama",
        KEYS | {"AWS_ENDPOINT_URL": "http://minio:9000"},
        {"endpoint": "http://minio:9000", "virtual_hosted_style_request": False},
    ),
    "MinIO by the URI": (
        "s3://models/llama?endpoint=http://minio:9000&region=eu",
        KEYS,
        {"endpoint": "http://minio:9000", "region": "eu", "virtual_hosted_style_request": False},
    ),
    "an endpoint with the bucket in its host": (
        "s3://models/llama",
        KEYS | {"AWS_ENDPOINT_URL": "https://s3.example:9443", "S3_USER_VIRTUAL_BUCKET": "true"},
        {"endpoint": "https://models.s3.example:9443", "virtual_hosted_style_request": True},
    ),
    "AWS": (
        "s3://models/llama",
        KEYS | {"AWS_DEFAULT_REGION": "eu-1"},
        {"region": "eu-1", "virtual_hosted_style_request": True},
    ),
    "AWS, a bucket with dots": ("s3://my.models/llama", KEYS, {"virtual_hosted_style_request": False}),
    "anonymous": ("s3://models/llama", {"awsAnonymousCredential": "true"}, {"skip_signature": True}),
    "temporary keys": (
        "s3://models/llama",
        KEYS | {"AWS_SESSION_TOKEN": "tok"},
        {"access_key_id": "AKIA", "secret_access_key": "wJal", "session_token": "tok"},
    ),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_s3(case: str) -> None:
    text, environment, expected = CONFIGS[case]
    opened = open_store(parse(text), environment)
    config = s3_config(opened)
    for name, value in expected.items():
        assert str(config[name]).lower() == str(value).lower()
    assert opened.credentials is not None
    assert opened.store.uri == parse(text)


@pytest.mark.parametrize(
    ("environment", "lax"), [({}, False), ({"S3_VERIFY_SSL": "1"}, False), ({"S3_VERIFY_SSL": "0"}, True)]
)
def test_certificates_are_checked_unless_that_is_switched_off(environment: dict[str, str], lax: bool) -> None:
    opened = open_store(parse("s3://models/llama"), KEYS | {"AWS_ENDPOINT_URL": "https://minio:9000"} | environment)
    options = cast("S3Store", cast("ObstoreFolder", opened.store)._store).client_options or {}
    assert str(options.get("allow_invalid_certificates", False)).lower() == str(lax).lower()
    assert str(options["allow_http"]).lower() == "false"


def test_no_credentials_for_a_store_that_is_not_aws_is_said_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(AccessDenied) as caught:
        open_store(parse("s3://models/llama"), {"AWS_ENDPOINT_URL": "http://minio:9000"})
    assert time.monotonic() - began < 5, "no metadata service is asked"
    assert "AWS_ACCESS_KEY_ID" in caught.value.hint
    assert "awsAnonymousCredential" in caught.value.hint


def test_aws_itself_may_have_an_instance_role() -> None:
    opened = open_store(parse("s3://models/llama"), {})
    assert opened.credentials is not None
    assert not opened.credentials.usable


CLOUD = {"AWS_ROLE_ARN": "arn", "AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such/token"}


def test_obstore_reads_no_variables_by_its_own_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would mix the container's key with the storage-config secret that overrides it."""
    stored = '{"type": "s3", "access_key_id": "AK2", "secret_access_key": "s2"}'
    environment = KEYS | {"AWS_SESSION_TOKEN": "tok", "AWS_ENDPOINT_URL": "http://minio:9000", "STORAGE_CONFIG": stored}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    url = signed(open_store(parse("s3://models/llama"), environment))
    assert url.startswith("http://minio:9000/models/x?")
    assert "X-Amz-Credential=AK2%2F" in url
    assert "Security-Token" not in url
    assert {name: os.environ[name] for name in environment} == environment, "they are back afterwards"


def test_a_cloud_identity_keeps_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (CLOUD | {"AWS_SESSION_TOKEN": ""}).items():
        monkeypatch.setenv(name, value)
    store = open_store(parse("s3://models/llama"), CLOUD).store
    assert os.environ["AWS_SESSION_TOKEN"] == ""
    with pytest.raises(WellheadError, match="/no/such/token"):
        store.objects()


def test_a_cloud_identity_is_that_of_the_environment_it_is_opened_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And not the process's, which belongs to the other side of a mirror."""
    process = KEYS | {"AWS_ENDPOINT_URL": "http://minio:9000", "AWS_REGION": "minio", "AWS_SESSION_TOKEN": "tok"}
    for name, value in process.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "token").write_text("token of the pod")
    given = {"AccessKeyId": "OWN", "SecretAccessKey": "s", "Token": "t", "Expiration": "2100-01-01T00:00:00Z"}
    with web_server() as server:
        server.files["/keys"] = json.dumps(given).encode()
        own = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/keys",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
            "AWS_REGION": "eu-1",
        }
        url = signed(open_store(parse("s3://models/llama"), own))
    assert url.startswith("https://models.s3.eu-1.amazonaws.com/x?")
    assert "X-Amz-Credential=OWN%2F" in url
    assert {name: os.environ[name] for name in process} == process
    shown = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    assert "AWS_ENDPOINT_URL=http://minio:9000" in shown
    assert "AWS_CONTAINER" not in shown, "of the process's own environment nothing has changed"


def test_azure_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    own = {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
        "AZURE_CLIENT_ID": "client",
        "AZURE_TENANT_ID": "tenant",
        "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "no-such-token"),
    }
    store = cast("AzureStore", cast("ObstoreFolder", open_store(parse("az://c/m"), own).store)._store)
    with pytest.raises(BaseError):  # which signs with the process's key at once
        obstore.sign(store, "GET", "x", timedelta(minutes=1))


def test_a_ca_bundle_without_a_certificate(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    with pytest.raises(InvalidConfiguration, match=f"The CA bundle {bundle} is unusable"):
        open_store(parse("s3://models/llama"), KEYS | {"AWS_CA_BUNDLE": str(bundle)})


def test_malformed_credentials() -> None:
    with pytest.raises(InvalidConfiguration):
        open_store(parse("s3://models/llama"), {"STORAGE_CONFIG": "x"})


def test_local(tmp_path: Path) -> None:
    opened = open_store(parse(str(tmp_path)), KEYS)
    assert opened.credentials is None, "nothing to hand over"
    assert opened.store.objects() == []


@pytest.mark.parametrize("text", ["pvc://claim/llama", "oci://registry.example/llama:1"])
def test_what_kserve_mounts_itself(text: str) -> None:
    with pytest.raises(InvalidUri, match="mounted by KServe itself"):
        open_store(parse(text), {})


@pytest.mark.parametrize(
    "text",
    ["model-registry://m", "hdfs://n/x", "https://git.example/team/model.git"],
)
def test_what_is_resolved_or_fetched_first_is_no_folder(text: str) -> None:
    with pytest.raises(InvalidUri, match=f"{re.escape(text)} is no folder of a store by itself") as caught:
        open_store(parse(text), {})
    assert caught.value.exit_code == 10
