"""Google Cloud Storage through obstore."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote

import obstore

from wellhead_storage.credentials.gcs import GcsConnection, GcsCredentials
from wellhead_storage.logs import log
from wellhead_storage.settings import Settings
from wellhead_storage.stores.ambient import variables_hidden
from wellhead_storage.stores.client import client_options, retry_config, unusable_bundle
from wellhead_storage.stores.failures import CLIENT_ERRORS, explain
from wellhead_storage.stores.folder import ObstoreFolder
from wellhead_storage.stores.gcs_metadata import metadata_server_answers, metadata_token
from wellhead_storage.stores.heads import head
from wellhead_storage.stores.interface import Checksum, StoredObject
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from obstore.store import GCSConfig, GCSStore

_GOOGLE = "https://storage.googleapis.com"
_HASH = re.compile(r"(crc32c|md5)=([A-Za-z0-9+/=]+)")


class GcsFolder(ObstoreFolder):
    """A folder in GCS, whose objects all have a crc32c, most an MD5 too."""

    def __init__(self, uri: StorageUri, store: GCSStore, prefix: str, link: GcsConnection) -> None:
        super().__init__(uri, store, prefix)
        self._signer, self._link = store, link

    def checksum(self, item: StoredObject) -> Checksum | None:
        """The `x-goog-hash` of one HEAD; none where it cannot be asked for."""
        url, headers = self._address(self._key(item.name))
        found = dict(_HASH.findall(head(url, ca_bundle=self._link.ca_bundle, headers=headers).get("x-goog-hash", "")))
        for algorithm in ("crc32c", "md5"):
            if algorithm in found:
                try:
                    return Checksum(algorithm, base64.b64decode(found[algorithm], validate=True).hex())
                except binascii.Error:
                    continue
        return None

    def _address(self, key: str) -> tuple[str, dict[str, str]]:
        if self._link.identity == "static":
            try:
                return obstore.sign(self._signer, "HEAD", key, timedelta(minutes=5)), {}
            except CLIENT_ERRORS:  # a user's own credentials cannot sign
                log.debug("no signed address for %s", key)
        plain = f"{self._link.endpoint_url or _GOOGLE}/{self.uri.container}/{quote(key)}"
        return plain, {"authorization": f"Bearer {self._token}"} if self._token else {}

    @cached_property
    def _token(self) -> str | None:
        return metadata_token() if self._link.identity == "ambient" else None


def open_gcs(uri: StorageUri, credentials: GcsCredentials, settings: Settings) -> tuple[GcsFolder, GcsCredentials]:
    """Open the folder of a `gs://` URI, and say with which credentials.

    Without a key, and outside Google's cloud, access is anonymous, as KServe's own initializer falls back to it;
    whether there is a metadata server is asked once.

    Raises:
        InvalidConfiguration: the key file is unusable, or the CA bundle.
    """
    from obstore.store import GCSStore

    link = credentials.connection
    if link.identity == "ambient" and not metadata_server_answers():
        log.info("no Google credentials and no metadata server: asking %s as anybody may", uri.location)
        credentials = credentials.model_copy(update={"connection": link.model_copy(update={"identity": "anonymous"})})
        link = credentials.connection
    try:
        with variables_hidden("GOOGLE_"):
            store = GCSStore(
                uri.container,
                config=_config(credentials),
                client_options=client_options(
                    settings,
                    allow_http=bool(link.endpoint_url and link.endpoint_url.startswith("http://")),
                    ca_bundle=link.ca_bundle,
                ),
                retry_config=retry_config(settings),
            )
    except CLIENT_ERRORS as error:
        if link.ca_bundle and "certificate" in str(error).lower():
            raise unusable_bundle(link.ca_bundle, "it holds no certificate in PEM form") from error
        raise explain(error, uri.location) from None  # its text may hold parts of the key
    return GcsFolder(uri, store, uri.key, link), credentials


def _config(credentials: GcsCredentials) -> GCSConfig:
    link, config = credentials.connection, {}
    if link.endpoint_url:
        config["base_url"] = link.endpoint_url
    if credentials.secret:
        config["service_account_key"] = credentials.secret.key_file.get_secret_value()
    elif link.identity == "anonymous":
        config["skip_signature"] = True  # type: ignore[assignment]
    return config  # type: ignore[return-value]
