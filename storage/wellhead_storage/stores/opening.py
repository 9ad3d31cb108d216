"""Which store serves a URI, opened with the credentials of this container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from wellhead_storage.errors import InvalidUri
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Store
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from wellhead_storage.credentials.kinds import Credentials
    from wellhead_storage.stores.folder import ObstoreFolder

F = TypeVar("F", bound="ObstoreFolder")


@dataclass(frozen=True, slots=True)
class Opened:
    """A store, and the credentials it was opened with (None where the engine will need none)."""

    store: Store
    credentials: Credentials | None = None


def open_store(uri: StorageUri, environment: Mapping[str, str], settings: Settings | None = None) -> Opened:
    """Open the store of a URI; no request is made yet.

    Raises:
        InvalidUri: no store serves the scheme by itself.
        InvalidConfiguration, AccessDenied: the credentials are unusable or missing.
    """
    settings = settings or Settings()
    if uri.kind == "s3":
        from wellhead_storage.credentials.s3 import s3_credentials
        from wellhead_storage.stores.s3 import open_s3

        credentials = s3_credentials(environment, uri.parameters)
        return Opened(_patient(open_s3(uri, credentials, settings), settings), credentials)
    if uri.kind == "gs":
        from wellhead_storage.credentials.gcs import gcs_credentials
        from wellhead_storage.stores.gcs import open_gcs

        folder, used = open_gcs(uri, gcs_credentials(environment, uri.parameters), settings)
        return Opened(_patient(folder, settings), used)
    if uri.kind == "az":
        from wellhead_storage.credentials.azure import azure_credentials
        from wellhead_storage.stores.azure import open_azure

        found = azure_credentials(environment, uri.account, uri.parameters)
        return Opened(_patient(open_azure(uri, found, settings), settings), found)
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


def _patient(folder: F, settings: Settings) -> F:
    folder.patience = settings
    return folder
