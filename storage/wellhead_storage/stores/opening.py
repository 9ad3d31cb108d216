"""Which store serves a URI, opened with the credentials of this container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wellhead_storage.credentials.azure import azure_credentials
from wellhead_storage.credentials.gcs import GcsCredentials, gcs_credentials
from wellhead_storage.credentials.s3 import S3Credentials, s3_credentials
from wellhead_storage.errors import InvalidUri
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Store
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from wellhead_storage.credentials.kinds import Credentials


@dataclass(frozen=True, slots=True)
class Opened:
    """An open store.

    Attributes:
        store: the folder.
        credentials: what it was opened with; None where the engine will need none.
        preflight: asks the store what speaks against streaming, in sentences; None where there is nothing to ask.
    """

    store: Store
    credentials: Credentials | None = None
    preflight: Callable[[], list[str]] | None = None


def open_store(uri: StorageUri, environment: Mapping[str, str], settings: Settings | None = None) -> Opened:
    """Open the store of a URI; no request is made yet.

    Raises:
        InvalidUri: no store serves the scheme by itself, or the URI names an endpoint that it may not name.
        InvalidConfiguration, AccessDenied: the credentials are unusable or missing.
    """
    settings = settings or Settings()
    if uri.kind == "s3":
        return open_with(uri, s3_credentials(environment, uri.parameters), environment, settings)
    if uri.kind == "gs":
        refuse_endpoint(uri)
        return open_with(uri, gcs_credentials(environment), environment, settings)
    if uri.kind == "az":
        refuse_endpoint(uri)
        return open_with(uri, azure_credentials(environment, uri.account, uri.suffix), environment, settings)
    if uri.kind == "hf":
        from wellhead_storage.stores.hugging_face import open_hugging_face

        return Opened(open_hugging_face(uri, environment, settings))
    if uri.kind == "http":
        from wellhead_storage.stores.http import open_http

        return Opened(open_http(uri, environment, settings))
    if uri.kind == "file":
        from wellhead_storage.stores.local import open_local

        return Opened(open_local(uri, Path(uri.key)))
    if uri.kind == "mounted":
        raise InvalidUri(
            f"{uri.scheme}:// is mounted by KServe itself and needs no initializer.",
            "Use it as storageUri, or name the mounted path.",
        )
    raise InvalidUri(
        f"{uri.location} is no folder of a store by itself.", "Give it to `wellhead init`, which resolves it first."
    )


def open_with(uri: StorageUri, credentials: Credentials, environment: Mapping[str, str], settings: Settings) -> Opened:
    """Open a streamable store with these credentials; `environment` tells of the cloud's identity, where that signs.

    Raises:
        InvalidConfiguration, AccessDenied: the credentials are unusable or missing.
    """
    if isinstance(credentials, S3Credentials):
        from wellhead_storage.stores.s3 import open_s3

        return Opened(open_s3(uri, credentials, settings, environment), credentials)
    if isinstance(credentials, GcsCredentials):
        from wellhead_storage.stores.gcs import open_gcs

        folder, used = open_gcs(uri, credentials, settings)
        return Opened(folder, used, folder.obstacles)
    from wellhead_storage.stores.azure import open_azure

    return Opened(*open_azure(uri, credentials, settings, environment))


def refuse_endpoint(uri: StorageUri) -> None:
    """URIs may come from people who must not see the credentials (docs/threat-model.md).

    Raises:
        InvalidUri: a `gs://` or `az://` URI names an endpoint.
    """
    if uri.kind in _ELSEWHERE and "endpoint" in uri.parameters:
        danger, instead = _ELSEWHERE[uri.kind]
        raise InvalidUri(
            f"The URI of {uri.location} names an endpoint, which only s3:// URIs may do: {danger}.",
            f"Drop ?endpoint= from the URI; {instead}.",
        )


_ELSEWHERE = {
    "gs": (
        "a token sent there is good for all of Google's cloud",
        "STORAGE_EMULATOR_HOST on the container names an emulator",
    ),
    "az": (
        "a SAS or token sent there is good at Azure for whoever has it",
        "AZURE_SERVICE_URL on the container names a private endpoint or an emulator",
    ),
}
