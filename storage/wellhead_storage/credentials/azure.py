"""Azure Blob Storage: key, SAS, service principal, workload identity, or none → `AzureCredentials` → the streamer.

KServe's variables (kserve.md 6.1) and those of Azure's own libraries, which the streamer shares
(vllm-and-streamer.md 6.6). Account and cloud come from the URI where it names them, the endpoint from variables only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from wellhead_storage.azure_hosts import PUBLIC, AzureHost, authority_of, azure_host
from wellhead_storage.credentials.certificates import web_ca_bundle
from wellhead_storage.credentials.s3 import Identity
from wellhead_storage.errors import InvalidConfiguration

_TRUE = {"1", "true", "yes", "on"}


class AzureConnection(BaseModel):
    """The non-secret half. May be written to the plan.

    Attributes:
        account: storage account.
        endpoint_url: of an emulator or a private endpoint, account included; None means Azure itself.
        suffix: of Azure's host names, `blob.core.windows.net` in the public cloud.
        client_id: of a service principal or a federated identity.
        tenant_id: its tenant.
        authority_host: where these two sign in, with scheme, without trailing slash; None for the public cloud's.
        verify_tls: always, here.
        ca_bundle: path of a PEM file, or None.
        identity: where the authorization comes from.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["az"] = "az"
    account: str
    endpoint_url: str | None = None
    suffix: str = PUBLIC
    client_id: str | None = None
    tenant_id: str | None = None
    authority_host: str | None = None
    verify_tls: bool = True
    ca_bundle: str | None = None
    identity: Identity = "ambient"

    @property
    def url(self) -> str:
        """The account's address."""
        return self.endpoint_url or f"https://{self.account}.{self.suffix}"


class AzureSecret(BaseModel):
    """The secret half: one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account_key: SecretStr | None = None
    sas_token: SecretStr | None = None
    client_secret: SecretStr | None = None


class AzureCredentials(BaseModel):
    """Connection and, for `identity == "static"`, the secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connection: AzureConnection
    secret: AzureSecret | None = None

    @property
    def usable(self) -> bool:
        """Whether something here can authorize, or says that nothing needs to be."""
        return self.connection.identity != "ambient"

    @property
    def needs_file(self) -> bool:
        """The streamer reads everything from variables."""
        return False

    def secret_file(self) -> bytes:
        """Nothing."""
        return b""

    def streamer_environment(self, secret_file: Path | None = None) -> dict[str, str]:
        """Variables for the Run:ai streamer; `secret_file` is not used."""
        link = self.connection
        env = {"AZURE_STORAGE_ACCOUNT_NAME": link.account}
        if link.suffix != PUBLIC:
            env["AZURE_STORAGE_ENDPOINT_SUFFIX"] = link.suffix
        if link.client_id:
            env["AZURE_CLIENT_ID"] = link.client_id
        if link.tenant_id:
            env["AZURE_TENANT_ID"] = link.tenant_id
        if link.authority_host:
            env["AZURE_AUTHORITY_HOST"] = link.authority_host
        if link.ca_bundle:
            env["SSL_CERT_FILE"] = env["REQUESTS_CA_BUNDLE"] = link.ca_bundle
        names = {
            "account_key": "AZURE_STORAGE_ACCOUNT_KEY",
            "sas_token": "AZURE_STORAGE_SAS_TOKEN",
            "client_secret": "AZURE_CLIENT_SECRET",
        }
        for field, value in self.secret or ():
            if value is not None:
                env[names[field]] = value.get_secret_value()
        return env


SECRET_VARIABLES = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET")


def azure_credentials(environment: Mapping[str, str], account: str, suffix: str = "") -> AzureCredentials:
    """Collect Azure credentials from a container's environment; empty values count as unset.

    An endpoint that is a host of Azure only says account and cloud where the URI does not: the one of another account
    would get this account's credentials.

    Args:
        environment: variables as KServe or Azure's tools set them.
        account: from the URI, or empty.
        suffix: from the URI, or empty.

    Raises:
        InvalidConfiguration: no account is named, half a service principal is given, or an address is none.
    """
    given = {name: value.strip() for name, value in environment.items() if value and value.strip()}

    def first(*names: str) -> str | None:
        return next((given[name] for name in names if name in given), None)

    endpoint, hosted = _endpoint(first("AZURE_SERVICE_URL", "AZURE_STORAGE_ENDPOINT"))
    account = account or first("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT") or ""
    account = account.lower() or (hosted.account if hosted else "")
    if not account:
        raise InvalidConfiguration(
            "The Azure storage account is not named.",
            "Write az://container@account/path, or set AZURE_STORAGE_ACCOUNT_NAME.",
        )
    client, tenant = first("AZURE_CLIENT_ID", "AZ_CLIENT_ID"), first("AZURE_TENANT_ID", "AZ_TENANT_ID")
    secret = _secret(first)
    if secret and secret.client_secret and not (client and tenant):
        raise InvalidConfiguration(
            "A service principal needs AZURE_CLIENT_ID and AZURE_TENANT_ID beside its secret.", "Complete the secret."
        )
    suffix = suffix or first("AZURE_STORAGE_ENDPOINT_SUFFIX") or ""
    if hosted and hosted.account == account:
        suffix = suffix or hosted.suffix
    suffix = suffix or PUBLIC
    identity: Identity = "ambient"
    if (first("AZURE_STORAGE_ANONYMOUS", "AZURE_SKIP_SIGNATURE") or "").lower() in _TRUE and not secret:
        identity = "anonymous"
    elif secret:
        identity = "static"
    elif client and tenant and first("AZURE_FEDERATED_TOKEN_FILE"):
        identity = "web-identity"
    signs_in = identity == "web-identity" or bool(secret and secret.client_secret)
    return AzureCredentials(
        connection=AzureConnection(
            account=account,
            endpoint_url=endpoint,
            suffix=suffix,
            client_id=client if signs_in or identity == "ambient" else None,
            tenant_id=tenant if signs_in else None,
            authority_host=_authority(first("AZURE_AUTHORITY_HOST"), suffix) if signs_in else None,
            ca_bundle=web_ca_bundle(environment),
            identity=identity,
        ),
        secret=secret,
    )


def _secret(first: Callable[..., str | None]) -> AzureSecret | None:
    """The order is the streamer's: SAS, key, then a principal."""
    if sas := first("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"):
        return AzureSecret(sas_token=SecretStr(sas.removeprefix("?")))
    if key := first("AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_ACCOUNT_KEY"):
        return AzureSecret(account_key=SecretStr(key))
    if password := first("AZURE_CLIENT_SECRET", "AZ_CLIENT_SECRET"):
        return AzureSecret(client_secret=SecretStr(password))
    return None


def _authority(given: str | None, suffix: str) -> str | None:
    if not given:
        return authority_of(suffix)
    url = given if "://" in given else f"https://{given}"  # as Azure's own libraries read it
    if not url.startswith("https://") or "@" in url:
        raise InvalidConfiguration(
            "AZURE_AUTHORITY_HOST is not an https URL, and would be sent the client's secret.",
            "Write it as https://host.",
        )
    return url.rstrip("/")


def _endpoint(text: str | None) -> tuple[str | None, AzureHost | None]:
    """A private endpoint or an emulator; or the account and cloud that a host of Azure names."""
    if not text:
        return None, None
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable:
        raise InvalidConfiguration("The Azure endpoint is not an http or https URL.", "Write it as https://host.")
    hosted = azure_host(parts.hostname or "")
    return (None, hosted) if hosted else (text.rstrip("/"), None)
