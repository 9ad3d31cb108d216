"""S3: every dialect in which a container may receive credentials, one model, and the streamer's environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import make_credentials, make_secret, shown
from wellhead_storage.credentials.s3 import SECRET_VARIABLES, S3Connection, S3Credentials, s3_credentials
from wellhead_storage.errors import InvalidConfiguration

KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "wJal"}
STORED = {
    "type": "s3",
    "access_key_id": "AK2",
    "secret_access_key": "s2",
    "endpoint_url": "https://two.example:9000",
    "bucket": "models",
    "region": "eu-2",
}

# environment → facts of the connection; everything else has its default
DIALECTS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "KServe: keys and endpoint": (
        KEYS
        | {
            "S3_USE_HTTPS": "0",
            "S3_ENDPOINT": "minio.minio.svc:9000",
            "AWS_ENDPOINT_URL": "http://minio.minio.svc:9000",
            "AWS_DEFAULT_REGION": "eu-1",
        },
        {"identity": "static", "endpoint_url": "http://minio.minio.svc:9000", "region": "eu-1"},
    ),
    "KServe: S3_ENDPOINT alone is https": (
        KEYS | {"S3_ENDPOINT": "s3.example:9443"},
        {"identity": "static", "endpoint_url": "https://s3.example:9443"},
    ),
    "KServe: S3_ENDPOINT with S3_USE_HTTPS=1": (
        KEYS | {"S3_ENDPOINT": "s3.example", "S3_USE_HTTPS": "1"},
        {"identity": "static", "endpoint_url": "https://s3.example"},
    ),
    "KServe: S3_ENDPOINT with S3_USE_HTTPS=0": (
        KEYS | {"S3_ENDPOINT": "minio:9000", "S3_USE_HTTPS": "0"},
        {"identity": "static", "endpoint_url": "http://minio:9000"},
    ),
    "KServe: a scheme in S3_ENDPOINT wins over S3_USE_HTTPS": (
        KEYS | {"S3_ENDPOINT": "http://minio:9000", "S3_USE_HTTPS": "1"},
        {"identity": "static", "endpoint_url": "http://minio:9000"},
    ),
    "KServe: everything at once": (
        KEYS
        | {
            "S3_USE_HTTPS": "1",
            "S3_ENDPOINT": "s3.internal.example:9443",
            "AWS_ENDPOINT_URL": "https://s3.internal.example:9443",
            "S3_VERIFY_SSL": "0",
            "awsAnonymousCredential": "false",
            "AWS_DEFAULT_REGION": "eu-west-3",
            "S3_USER_VIRTUAL_BUCKET": "false",
            "S3_USE_ACCELERATE": "false",
        },
        {
            "identity": "static",
            "endpoint_url": "https://s3.internal.example:9443",
            "verify_tls": False,
            "virtual_hosted": False,
            "region": "eu-west-3",
        },
    ),
    "KServe: anonymous, beside the keys it always injects": (
        KEYS | {"awsAnonymousCredential": "true"},
        {"identity": "anonymous"},
    ),
    "KServe: virtual bucket": (
        {"S3_USER_VIRTUAL_BUCKET": "true", "AWS_ENDPOINT_URL": "https://s3.example"},
        {"virtual_hosted": True, "endpoint_url": "https://s3.example"},
    ),
    "KServe: accelerate": (
        {"S3_USE_ACCELERATE": "true"},
        {"virtual_hosted": True, "endpoint_url": "https://s3-accelerate.amazonaws.com"},
    ),
    "KServe: accelerate without bucket in the host is the user's word": (
        {"S3_USE_ACCELERATE": "1", "S3_USER_VIRTUAL_BUCKET": "0"},
        {"virtual_hosted": False, "endpoint_url": "https://s3-accelerate.amazonaws.com"},
    ),
    "KServe: an endpoint wins over accelerate": (
        {"S3_USE_ACCELERATE": "true", "AWS_ENDPOINT_URL": "https://s3.example"},
        {"endpoint_url": "https://s3.example"},
    ),
    "AWS: session token": (KEYS | {"AWS_SESSION_TOKEN": "tok"}, {"identity": "static"}),
    "AWS: the service's own endpoint variable wins": (
        {"AWS_ENDPOINT_URL_S3": "https://one", "AWS_ENDPOINT_URL": "https://two", "S3_ENDPOINT": "three"},
        {"endpoint_url": "https://one"},
    ),
    "AWS: boto3's region variable wins": (
        {"AWS_REGION": "cluster", "AWS_DEFAULT_REGION": "bucket"},
        {"region": "bucket"},
    ),
    "AWS: region of the EKS webhook": ({"AWS_REGION": "cluster"}, {"region": "cluster"}),
    "AWS: a slash at the endpoint's end": ({"AWS_ENDPOINT_URL": "https://one/"}, {"endpoint_url": "https://one"}),
    "IRSA": (
        {"AWS_ROLE_ARN": "arn:aws:iam::1:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/token", "AWS_REGION": "eu"},
        {"identity": "web-identity", "region": "eu"},
    ),
    "IRSA with stale keys: the keys win, as in every AWS SDK": (
        KEYS | {"AWS_ROLE_ARN": "arn", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/token"},
        {"identity": "static"},
    ),
    "half of IRSA is nothing": ({"AWS_ROLE_ARN": "arn"}, {}),
    "EKS Pod Identity": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials"},
        {"identity": "pod-identity"},
    ),
    "ECS": ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2"}, {"identity": "pod-identity"}),
    "OpenShift AI connection": (
        KEYS | {"AWS_S3_ENDPOINT": "https://ai.example", "AWS_S3_BUCKET": "models", "AWS_DEFAULT_REGION": "us-1"},
        {"identity": "static", "endpoint_url": "https://ai.example", "region": "us-1"},
    ),
    "OpenShift AI connection without a scheme": (
        KEYS | {"AWS_S3_ENDPOINT": "minio:9000", "S3_USE_HTTPS": "0"},
        {"identity": "static", "endpoint_url": "http://minio:9000"},
    ),
    "storage-config": (
        {"STORAGE_CONFIG": json.dumps(STORED)},
        {"identity": "static", "endpoint_url": "https://two.example:9000", "region": "eu-2"},
    ),
    "storage-config: all its switches, as text": (
        {"STORAGE_CONFIG": json.dumps({"type": "s3", "verify_ssl": "false", "anonymous": "True"})},
        {"identity": "anonymous", "verify_tls": False},
    ),
    "storage-config: all its switches, as JSON": (
        {"STORAGE_CONFIG": json.dumps({"type": "s3", "verify_ssl": False, "anonymous": True})},
        {"identity": "anonymous", "verify_tls": False},
    ),
    "storage-config: numbers": (
        {"STORAGE_CONFIG": '{"verify_ssl": 0, "anonymous": 1}'},
        {"identity": "anonymous", "verify_tls": False},
    ),
    "storage-config: empty values are unset": (
        KEYS | {"STORAGE_CONFIG": json.dumps({"access_key_id": "", "region": None}), "AWS_DEFAULT_REGION": "eu"},
        {"identity": "static", "region": "eu"},
    ),
    "storage-config wins over variables": (
        KEYS | {"AWS_ENDPOINT_URL": "http://one", "AWS_DEFAULT_REGION": "eu-1", "STORAGE_CONFIG": json.dumps(STORED)},
        {"identity": "static", "endpoint_url": "https://two.example:9000", "region": "eu-2"},
    ),
    "storage-config: parameters win over the secret": (
        {"STORAGE_CONFIG": json.dumps(STORED), "STORAGE_OVERRIDE_CONFIG": '{"region": "eu-3", "type": "s3"}'},
        {"identity": "static", "endpoint_url": "https://two.example:9000", "region": "eu-3"},
    ),
    "storage-config: parameters alone": ({"STORAGE_OVERRIDE_CONFIG": '{"region": "eu-3"}'}, {"region": "eu-3"}),
    "storage-config of another type says nothing about S3": (
        KEYS | {"STORAGE_CONFIG": json.dumps({"type": "hdfs", "region": "x", "endpoint_url": "x"})},
        {"identity": "static"},
    ),
    "storage-config: an endpoint without a scheme": (
        {"STORAGE_CONFIG": '{"endpoint_url": "minio:9000"}', "S3_USE_HTTPS": "0"},
        {"endpoint_url": "http://minio:9000"},
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects(dialect: str) -> None:
    environment, facts = DIALECTS[dialect]
    found = s3_credentials(environment)
    assert found.connection == S3Connection(**facts)
    assert (found.secret is not None) == (facts.get("identity") == "static")
    assert found.usable == (facts.get("identity") is not None)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_empty_variables_count_as_unset(dialect: str) -> None:
    environment, _ = DIALECTS[dialect]
    every = {name for variables, _ in DIALECTS.values() for name in variables}
    noisy = dict.fromkeys(every, " ") | {name: f" {value}\n" for name, value in environment.items()}
    assert s3_credentials(noisy) == s3_credentials(environment)


def test_the_secret_half() -> None:
    assert shown(s3_credentials(KEYS).secret) == {
        "access_key_id": "AKIA",
        "secret_access_key": "wJal",
        "session_token": None,
    }
    assert shown(s3_credentials(KEYS | {"AWS_SESSION_TOKEN": "tok"}).secret)["session_token"] == "tok"
    assert shown(s3_credentials(KEYS | {"STORAGE_CONFIG": json.dumps(STORED)}).secret) == {
        "access_key_id": "AK2",
        "secret_access_key": "s2",
        "session_token": None,
    }


def test_a_session_token_is_never_mixed_with_other_keys() -> None:
    """The variable belongs to the variables' key pair, not to that of the storage-config secret."""
    environment = KEYS | {"AWS_SESSION_TOKEN": "tok", "STORAGE_CONFIG": json.dumps(STORED)}
    assert shown(s3_credentials(environment).secret)["session_token"] is None
    only_region = KEYS | {"AWS_SESSION_TOKEN": "tok", "STORAGE_CONFIG": '{"region": "eu"}'}
    assert shown(s3_credentials(only_region).secret)["session_token"] == "tok"


def test_a_storage_config_with_its_own_session_token() -> None:
    stored = STORED | {"session_token": "tok2"}
    assert shown(s3_credentials({"STORAGE_CONFIG": json.dumps(stored)}).secret)["session_token"] == "tok2"


# What the URI says -----------------------------------------------------------------------------------------------

URI_QUERIES: list[tuple[dict[str, str], str | None, str | None]] = [
    ({"endpoint": "http://uri:9000", "region": "uri"}, "http://uri:9000", "uri"),
    ({"endpoint": "http://uri:9000", "defaultRegion": "uri"}, "http://uri:9000", "uri"),
    ({"endpoint_url": "http://uri:9000"}, "http://uri:9000", "eu-2"),
    ({"Endpoint": "http://uri:9000"}, "http://uri:9000", "eu-2"),
    ({"endpoint": "uri.example"}, "https://uri.example", "eu-2"),
    ({"region": "one", "defaultRegion": "two"}, "https://two.example:9000", "one"),
    ({"endpoint": "", "region": ""}, "https://two.example:9000", "eu-2"),
    ({"something": "else"}, "https://two.example:9000", "eu-2"),
    ({}, "https://two.example:9000", "eu-2"),
]


@pytest.mark.parametrize(("query", "endpoint", "region"), URI_QUERIES)
def test_the_uri_wins_over_everything(query: dict[str, str], endpoint: str | None, region: str | None) -> None:
    environment = KEYS | {"AWS_ENDPOINT_URL": "http://one", "STORAGE_CONFIG": json.dumps(STORED)}
    link = s3_credentials(environment, query).connection
    assert (link.endpoint_url, link.region) == (endpoint, region)


# The CA bundle ---------------------------------------------------------------------------------------------------


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "cabundle.crt"
    path.write_text("-----BEGIN CERTIFICATE-----\n")
    return path


def test_a_ca_bundle_by_path(bundle: Path) -> None:
    assert s3_credentials({"AWS_CA_BUNDLE": str(bundle)}).connection.ca_bundle == str(bundle)


@pytest.mark.parametrize("marker", ["CA_BUNDLE_CONFIGMAP_NAME", "AWS_CA_BUNDLE_CONFIGMAP"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_ca_bundle_as_kserve_mounts_it(bundle: Path, marker: str, slash: str) -> None:
    environment = {"CA_BUNDLE_VOLUME_MOUNT_POINT": f"{bundle.parent}{slash}", marker: "some-config-map"}
    assert s3_credentials(environment).connection.ca_bundle == str(bundle)


def test_a_mount_point_without_a_config_map_means_nothing(bundle: Path) -> None:
    assert s3_credentials({"CA_BUNDLE_VOLUME_MOUNT_POINT": str(bundle.parent)}).connection.ca_bundle is None


def test_a_path_wins_over_the_mount_point(bundle: Path) -> None:
    environment = {
        "AWS_CA_BUNDLE": str(bundle),
        "CA_BUNDLE_VOLUME_MOUNT_POINT": "/nowhere",
        "CA_BUNDLE_CONFIGMAP_NAME": "x",
    }
    assert s3_credentials(environment).connection.ca_bundle == str(bundle)


def test_a_ca_bundle_in_the_storage_config(bundle: Path) -> None:
    environment = {"STORAGE_CONFIG": json.dumps({"ca_bundle": str(bundle)}), "AWS_CA_BUNDLE": "/nowhere"}
    assert s3_credentials(environment).connection.ca_bundle == str(bundle)


# Refusals --------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no key id": ({"AWS_SECRET_ACCESS_KEY": "hunter2"}, "AWS_ACCESS_KEY_ID is missing"),
    "no key": ({"AWS_ACCESS_KEY_ID": "hunter2"}, "AWS_SECRET_ACCESS_KEY is missing"),
    "half a pair in the storage-config": (
        {"STORAGE_CONFIG": '{"access_key_id": "hunter2"}'},
        "AWS_SECRET_ACCESS_KEY is missing",
    ),
    "a storage-config that is no JSON": ({"STORAGE_CONFIG": "hunter2"}, "STORAGE_CONFIG is not a JSON object"),
    "a storage-config that is a list": ({"STORAGE_CONFIG": '["hunter2"]'}, "STORAGE_CONFIG is not a JSON object"),
    "a storage-config nested beyond reason": ({"STORAGE_CONFIG": "[" * 100_000}, "STORAGE_CONFIG is not a JSON object"),
    "parameters that are no JSON": (
        {"STORAGE_CONFIG": "{}", "STORAGE_OVERRIDE_CONFIG": "hunter2"},
        "STORAGE_OVERRIDE_CONFIG is not a JSON object",
    ),
    "a switch that is none": ({"S3_VERIFY_SSL": "hunter2"}, "verify_ssl is neither true nor false"),
    "anonymous, perhaps": ({"awsAnonymousCredential": "hunter2"}, "anonymous is neither true nor false"),
    "a virtual bucket, perhaps": ({"S3_USER_VIRTUAL_BUCKET": "hunter2"}, "virtual_bucket is neither true nor false"),
    "acceleration, perhaps": ({"S3_USE_ACCELERATE": "hunter2"}, "accelerate is neither true nor false"),
    "https, perhaps": ({"S3_ENDPOINT": "minio", "S3_USE_HTTPS": "hunter2"}, "use_https is neither true nor false"),
    "an endpoint of another scheme": ({"AWS_ENDPOINT_URL": "ftp://minio/hunter2"}, "endpoint minio is not an http"),
    "an endpoint without a host": ({"AWS_ENDPOINT_URL": "https://?hunter2"}, "(no host) is not an http"),
    "an endpoint with a password": (
        {"AWS_ENDPOINT_URL": "https://user:hunter2@minio"},
        "for minio carries a user name",
    ),
    "an endpoint that is no URL": ({"AWS_ENDPOINT_URL": "https://[hunter2"}, "is not an http or https URL"),
    "an endpoint that is no host name": (
        {"AWS_ENDPOINT_URL": "https://u:hunter2@a\u2100b"},
        "is not an http or https URL",
    ),
    "an endpoint with a port that is none": (
        {"AWS_ENDPOINT_URL": "http://minio:hunter2"},
        "is not an http or https URL",
    ),
    "an endpoint with a port that cannot be": (
        {"AWS_ENDPOINT_URL": "http://minio:90000"},
        "is not an http or https URL",
    ),
    "a CA bundle that is not there": ({"AWS_CA_BUNDLE": "/no/such.crt"}, "/no/such.crt does not exist"),
    "a CA bundle that is a folder": ({"AWS_CA_BUNDLE": "/"}, "CA bundle / does not exist"),
    "a mounted CA bundle that is not there": (
        {"CA_BUNDLE_VOLUME_MOUNT_POINT": "/no", "CA_BUNDLE_CONFIGMAP_NAME": "x"},
        "/no/cabundle.crt does not exist",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    environment, words = REFUSED[case]
    with pytest.raises(InvalidConfiguration) as caught:
        s3_credentials(environment)
    assert words in caught.value.problem
    assert "hunter2" not in str(caught.value), "what may be a secret is not repeated"
    assert caught.value.exit_code == 19


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", True),
        ("TRUE", True),
        ("Yes", True),
        ("on", True),
        ("0", False),
        ("False", False),
        ("no", False),
        ("OFF", False),
    ],
)
def test_switches(text: str, value: bool) -> None:
    assert s3_credentials({"S3_VERIFY_SSL": text}).connection.verify_tls is value


# Addressing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "virtual_hosted", "in_host"),
    [
        (None, None, True),
        (None, False, False),
        (None, True, True),
        ("http://minio:9000", None, False),
        ("http://minio:9000", True, True),
        ("http://minio:9000", False, False),
    ],
)
def test_addressing_style_follows_the_endpoint(
    endpoint: str | None, virtual_hosted: bool | None, in_host: bool
) -> None:
    link = S3Connection(endpoint_url=endpoint, virtual_hosted=virtual_hosted)
    assert link.bucket_in_host is in_host
    streamer = S3Credentials(connection=link).streamer_environment()
    assert streamer["RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING"] == str(int(in_host))


# The streamer's environment --------------------------------------------------------------------------------------

STREAMER: dict[str, tuple[S3Credentials, dict[str, str]]] = {
    "AWS with cloud identity": (make_credentials("web-identity"), {"RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "1"}),
    "MinIO with keys": (
        make_credentials(endpoint_url="http://minio:9000", secret=make_secret("AK", "sk")),
        {
            "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
            "AWS_ENDPOINT_URL": "http://minio:9000",
            "AWS_ACCESS_KEY_ID": "AK",
            "AWS_SECRET_ACCESS_KEY": "sk",
            "AWS_EC2_METADATA_DISABLED": "true",
        },
    ),
    "AWS with temporary keys, region and CA": (
        make_credentials(region="eu-1", ca_bundle="/ca.pem", secret=make_secret("AK", "sk", "tok")),
        {
            "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "1",
            "AWS_REGION": "eu-1",
            "AWS_DEFAULT_REGION": "eu-1",
            "AWS_CA_BUNDLE": "/ca.pem",
            "AWS_ACCESS_KEY_ID": "AK",
            "AWS_SECRET_ACCESS_KEY": "sk",
            "AWS_SESSION_TOKEN": "tok",
            "AWS_EC2_METADATA_DISABLED": "true",
        },
    ),
    "anonymous": (
        make_credentials("anonymous", endpoint_url="https://s3.example"),
        {
            "RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "0",
            "AWS_ENDPOINT_URL": "https://s3.example",
            "RUNAI_STREAMER_S3_UNSIGNED": "1",
        },
    ),
}


@pytest.mark.parametrize("case", STREAMER)
def test_the_streamers_environment(case: str) -> None:
    credentials, expected = STREAMER[case]
    assert credentials.streamer_environment() == expected


def test_the_table_of_secret_variables_is_complete() -> None:
    secret = make_secret("clear-1", "clear-2", "clear-3")
    environment = make_credentials(
        secret=secret, region="eu", ca_bundle="/ca", endpoint_url="https://x"
    ).streamer_environment()
    assert {name for name, value in environment.items() if value.startswith("clear-")} == set(SECRET_VARIABLES)


VALUES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12)
VARIABLES = sorted({name for variables, _ in DIALECTS.values() for name in variables})


@given(
    st.dictionaries(st.sampled_from(VARIABLES), VALUES),
    st.dictionaries(st.sampled_from(["endpoint", "region"]), VALUES),
)
def test_any_environment_gives_credentials_or_a_sentence(environment: dict[str, str], query: dict[str, str]) -> None:
    try:
        found = s3_credentials(environment, query)
    except InvalidConfiguration as error:
        assert error.hint
        return
    assert (found.secret is not None) == (found.connection.identity == "static")
    link = found.connection
    assert link.endpoint_url is None or link.endpoint_url.lower().startswith(("http://", "https://"))
    assert all(found.streamer_environment().values())
