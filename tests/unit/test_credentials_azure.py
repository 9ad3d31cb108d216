"""Azure: which host is asked as which account, with what, and what the streamer gets of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import pytest
from obstore.store import AzureStore

from tests.unit.builders import make_plan, shown
from wellhead_runtime.engine_credentials import engine_credentials
from wellhead_storage.credentials.azure import AzureConnection, azure_credentials
from wellhead_storage.errors import InvalidConfiguration, InvalidUri, WellheadError
from wellhead_storage.plan import CredentialsTravel
from wellhead_storage.settings import Settings
from wellhead_storage.stores.folder import ObstoreFolder
from wellhead_storage.stores.opening import Opened, open_store
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from pathlib import Path

KEY = {"AZURE_STORAGE_ACCESS_KEY": "a2V5"}
CHINA, PUBLIC = "blob.core.chinacloudapi.cn", "blob.core.windows.net"


def azure_config(opened: Opened) -> dict[str, Any]:
    """What obstore was told."""
    store = cast("AzureStore", cast("ObstoreFolder", opened.store)._store)
    return dict(store.config)


# Hosts -----------------------------------------------------------------------------------------------------------

# URI, variables → the address that is asked
ADDRESSES: dict[str, tuple[str, dict[str, str], str]] = {
    "the public cloud": ("az://c@aaa/p", {}, f"https://aaa.{PUBLIC}"),
    "China by the URI": (f"https://aaa.{CHINA}/c/p", {}, f"https://aaa.{CHINA}"),
    "China by the data lake's host": ("abfss://c@aaa.dfs.core.chinacloudapi.cn/p", {}, f"https://aaa.{CHINA}"),
    "a DNS zone": (
        "https://aaa.z01.blob.storage.azure.net/c/p",
        {},
        "https://aaa.z01.blob.storage.azure.net",
    ),
    "China by KServe's variable": ("az://c/p", {"AZURE_SERVICE_URL": f"https://aaa.{CHINA}/"}, f"https://aaa.{CHINA}"),
    "China by it, the account twice": (
        "az://c@aaa/p",
        {"AZURE_SERVICE_URL": f"https://AAA.{CHINA}"},
        f"https://aaa.{CHINA}",
    ),
    "China by its suffix": ("az://c@aaa/p", {"AZURE_STORAGE_ENDPOINT_SUFFIX": CHINA}, f"https://aaa.{CHINA}"),
    "the URI's cloud wins over the suffix": (
        "https://aaa.blob.core.usgovcloudapi.net/c/p",
        {"AZURE_STORAGE_ENDPOINT_SUFFIX": CHINA},
        "https://aaa.blob.core.usgovcloudapi.net",
    ),
    "another account's host is ignored": (
        f"https://aaa.{PUBLIC}/c/p",
        {"AZURE_SERVICE_URL": f"https://bbb.{PUBLIC}"},
        f"https://aaa.{PUBLIC}",
    ),
    "and so is its cloud": ("az://c@aaa/p", {"AZURE_SERVICE_URL": f"https://bbb.{CHINA}"}, f"https://aaa.{PUBLIC}"),
    "the account's own variable wins over a host": (
        "az://c/p",
        {"AZURE_ACCOUNT_NAME": "aaa", "AZURE_SERVICE_URL": f"https://bbb.{PUBLIC}"},
        f"https://aaa.{PUBLIC}",
    ),
    "an emulator": (
        f"https://aaa.{PUBLIC}/c/p",
        {"AZURE_SERVICE_URL": "http://azurite:10000/aaa/"},
        "http://azurite:10000/aaa",
    ),
    "a private endpoint with a name like Azure's": (
        "az://c@aaa/p",
        {"AZURE_STORAGE_ENDPOINT": "https://aaa.blob.example.com"},
        "https://aaa.blob.example.com",
    ),
}


@pytest.mark.parametrize("case", ADDRESSES)
def test_which_host_is_asked(case: str) -> None:
    text, environment, address = ADDRESSES[case]
    opened = open_store(parse(text), KEY | environment)
    assert azure_config(opened)["endpoint"] == address
    assert azure_config(opened)["account_name"] == "aaa"
    assert opened.credentials is not None
    assert isinstance(opened.credentials.connection, AzureConnection)
    assert opened.credentials.connection.url == address, "the plan says the same"


@pytest.mark.parametrize("address", ["ftp://host", "host:10000", "https://user@host", "https://[host", "http://"])
def test_an_endpoint_that_is_none(address: str) -> None:
    with pytest.raises(InvalidConfiguration, match="Azure endpoint is not an http or https URL"):
        azure_credentials({"AZURE_SERVICE_URL": address}, "aaa")


@pytest.mark.parametrize("environment", [KEY, {"AZURE_STORAGE_SAS_TOKEN": "sig=hunter2"}, {}])
@pytest.mark.parametrize(
    "text",
    [
        "az://c@aaa/p?endpoint=https://elsewhere.example",
        "abfss://c@aaa.dfs.core.windows.net/p?endpoint=https://elsewhere.example",
        f"https://aaa.{PUBLIC}/c/p?endpoint=http://elsewhere.example",
    ],
)
def test_a_uri_names_no_endpoint(text: str, environment: dict[str, str]) -> None:
    with pytest.raises(InvalidUri, match="The URI of az://c/p names an endpoint") as caught:
        open_store(parse(text), environment)
    assert "AZURE_SERVICE_URL" in caught.value.hint


# Identities ------------------------------------------------------------------------------------------------------

PRINCIPAL = {"AZURE_CLIENT_ID": "id", "AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_SECRET": "hunter2"}
WORKLOAD = {
    "AZURE_CLIENT_ID": "id",
    "AZURE_TENANT_ID": "tenant",
    "AZURE_FEDERATED_TOKEN_FILE": "/var/run/secrets/azure/tokens/azure-identity-token",
    "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
}
AT_CHINA = {"AZURE_AUTHORITY_HOST": "https://login.chinacloudapi.cn"}

# URI, variables → what obstore is told, what the streamer gets
SIGN_INS: dict[str, tuple[str, dict[str, str], dict[str, str], dict[str, str]]] = {
    "a service principal": (
        "az://c@aaa/p",
        PRINCIPAL,
        {"client_id": "id", "tenant_id": "tenant", "client_secret": "hunter2"},
        PRINCIPAL,
    ),
    "KServe's older names": (
        "az://c@aaa/p",
        {"AZ_CLIENT_ID": "id", "AZ_TENANT_ID": "tenant", "AZ_CLIENT_SECRET": "hunter2"},
        {"client_id": "id", "tenant_id": "tenant", "client_secret": "hunter2"},
        PRINCIPAL,
    ),
    "a service principal in China": (
        f"https://aaa.{CHINA}/c/p",
        PRINCIPAL,
        {
            "client_id": "id",
            "tenant_id": "tenant",
            "client_secret": "hunter2",
            "authority_host": "https://login.chinacloudapi.cn",
        },
        PRINCIPAL | AT_CHINA | {"AZURE_STORAGE_ENDPOINT_SUFFIX": CHINA},
    ),
    "a service principal of a named authority": (
        "az://c@aaa/p",
        PRINCIPAL | {"AZURE_AUTHORITY_HOST": "login.example.com/"},
        {
            "client_id": "id",
            "tenant_id": "tenant",
            "client_secret": "hunter2",
            "authority_host": "https://login.example.com",
        },
        PRINCIPAL | {"AZURE_AUTHORITY_HOST": "https://login.example.com"},
    ),
    "workload identity": (
        "az://c@aaa/p",
        WORKLOAD,
        {
            "client_id": "id",
            "tenant_id": "tenant",
            "authority_host": "https://login.microsoftonline.com",
        },
        # The token's file is in the engine's own environment: the webhook injects it into every container.
        {
            "AZURE_CLIENT_ID": "id",
            "AZURE_TENANT_ID": "tenant",
            "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com",
        },
    ),
    "a managed identity by its client id": (
        "az://c@aaa/p",
        {"AZURE_CLIENT_ID": "id"},
        {"client_id": "id", "msi_endpoint": "http://169.254.169.254/metadata/identity/oauth2/token"},
        {"AZURE_CLIENT_ID": "id"},
    ),
    "a key beside workload identity": (
        "az://c@aaa/p",
        WORKLOAD | KEY,
        {"account_key": "a2V5"},
        {"AZURE_STORAGE_ACCOUNT_KEY": "a2V5"},
    ),
}


@pytest.mark.parametrize("case", SIGN_INS)
def test_who_signs_in_and_where(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text, environment, expected, streamer = SIGN_INS[case]
    monkeypatch.delenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    opened = open_store(parse(text), environment)
    config = azure_config(opened)
    told = {name: value for name, value in config.items() if name not in {"account_name", "endpoint", "container_name"}}
    assert told == expected
    assert opened.credentials is not None
    assert opened.credentials.streamer_environment() == {"AZURE_STORAGE_ACCOUNT_NAME": "aaa", **streamer}
    assert "hunter2" not in opened.credentials.connection.model_dump_json(), "the plan holds no secret"


def test_workload_identity_shows_the_pods_token_to_its_authority(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    environment = WORKLOAD | {"AZURE_FEDERATED_TOKEN_FILE": str(token), "AZURE_AUTHORITY_HOST": "https://127.0.0.1:9"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)  # obstore reads the file's name there
    store = open_store(parse("az://c@aaa/p"), environment, Settings(retry_timeout=0)).store
    with pytest.raises(WellheadError, match="Error reading federated token file"):
        store.objects()
    token.write_text("hunter2")
    with pytest.raises(WellheadError, match=r"cannot be reached at https://127\.0\.0\.1:9: it refuses connections"):
        store.objects()


@pytest.mark.parametrize("host", ["http://login.example.com", "https://user@login.example.com"])
def test_no_secret_is_sent_to_an_authority_without_tls(host: str) -> None:
    with pytest.raises(InvalidConfiguration, match="AZURE_AUTHORITY_HOST is not an https URL"):
        azure_credentials(PRINCIPAL | {"AZURE_AUTHORITY_HOST": host}, "aaa")


@pytest.mark.parametrize("missing", ["AZURE_CLIENT_ID", "AZURE_TENANT_ID"])
def test_half_a_service_principal(missing: str) -> None:
    with pytest.raises(InvalidConfiguration, match=re.escape("needs AZURE_CLIENT_ID and AZURE_TENANT_ID")):
        azure_credentials(PRINCIPAL | {missing: ""}, "aaa")


@pytest.mark.parametrize("name", ["AZURE_STORAGE_ANONYMOUS", "AZURE_SKIP_SIGNATURE"])
@pytest.mark.parametrize(
    ("value", "anonymous"), [("true", True), ("1", True), ("Yes", True), ("false", False), ("0", False), ("", False)]
)
def test_anonymous_is_a_flag(name: str, value: str, anonymous: bool) -> None:
    found = azure_credentials({name: value}, "aaa")
    assert found.connection.identity == ("anonymous" if anonymous else "ambient")
    assert azure_credentials({name: value} | KEY, "aaa").connection.identity == "static", "a key wins"


# The engine's container ------------------------------------------------------------------------------------------


def test_the_engine_keeps_to_the_plans_account_and_cloud(tmp_path: Path) -> None:
    link = AzureConnection(account="aaa", suffix=CHINA, client_id="id", identity="ambient")
    plan = make_plan(
        connection=link,
        credentials=CredentialsTravel(handoff="none", identity="ambient"),
    )
    own = PRINCIPAL | {"AZURE_SERVICE_URL": f"https://bbb.{PUBLIC}", "AZURE_STORAGE_ACCOUNT_NAME": "bbb"}
    found = engine_credentials(plan, tmp_path, Settings(), own)
    assert shown(found.secret)["client_secret"] == "hunter2"
    assert found.streamer_environment() == {
        "AZURE_STORAGE_ACCOUNT_NAME": "aaa",
        "AZURE_STORAGE_ENDPOINT_SUFFIX": CHINA,
        **PRINCIPAL,
        **AT_CHINA,
    }
