"""Which store serves a URI, opened with the credentials of this container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wellhead_storage.credentials.s3 import S3Credentials, s3_credentials
from wellhead_storage.errors import InvalidUri
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Store
from wellhead_storage.uri import StorageUri


@dataclass(frozen=True, slots=True)
class Opened:
    """A store, and the credentials it was opened with (None where the engine will need none)."""

    store: Store
    credentials: S3Credentials | None = None


def open_store(uri: StorageUri, environment: Mapping[str, str], settings: Settings | None = None) -> Opened:
    """Open the store of a URI; no request is made yet.

    Raises:
        InvalidUri: no store serves the scheme by itself.
        InvalidConfiguration, AccessDenied: the credentials are unusable or missing.
    """
    settings = settings or Settings()
    if uri.kind == "s3":
        from wellhead_storage.stores.s3 import open_s3

        credentials = s3_credentials(environment, uri.parameters)
        return Opened(open_s3(uri, credentials, settings), credentials)
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
        f"{uri.scheme}:// is not served by this release of Wellhead.",
        "Served are s3://, hf://, file:// and absolute paths, and runai_streamer:// in front of them.",
    )
