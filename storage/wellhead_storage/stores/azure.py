"""Azure Blob Storage through obstore."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import obstore

from wellhead_storage.credentials.azure import AzureCredentials
from wellhead_storage.logs import log
from wellhead_storage.settings import Settings
from wellhead_storage.stores.ambient import variables_hidden
from wellhead_storage.stores.azure_metadata import managed_identity_answers, token_address
from wellhead_storage.stores.client import client_options, retry_config, unusable_bundle
from wellhead_storage.stores.failures import CLIENT_ERRORS, explain
from wellhead_storage.stores.folder import ObstoreFolder
from wellhead_storage.stores.heads import Heads, ask
from wellhead_storage.stores.interface import Checksum, StoredObject
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from obstore.store import AzureStore


class AzureFolder(ObstoreFolder):
    """A folder in a container; blobs have a Content-MD5 where their uploader set one."""

    def __init__(
        self, uri: StorageUri, store: AzureStore, prefix: str, credentials: AzureCredentials, settings: Settings
    ) -> None:
        super().__init__(uri, store, prefix, settings)
        self._signer, self._credentials, self._timeout = store, credentials, settings.stall_timeout
        self._heads = Heads(uri.location, settings)

    def checksum(self, item: StoredObject) -> Checksum | None:
        """The Content-MD5 of one HEAD; none where there is none, or it cannot be asked for."""
        url = self._address(self._key(item.name))
        if url is None:
            self._heads.give_up("this identity can sign no address")
            return None
        bundle = self._credentials.connection.ca_bundle
        text = self._heads.of(partial(ask, "HEAD", url, timeout=self._timeout, ca_bundle=bundle)).get("content-md5", "")
        try:
            return Checksum("md5", base64.b64decode(text, validate=True).hex()) if text else None
        except binascii.Error:
            return None

    def _address(self, key: str) -> str | None:
        link, secret = self._credentials.connection, self._credentials.secret
        plain = f"{link.url}/{self.uri.container}/{quote(key)}"
        if link.identity == "anonymous":
            return plain
        if secret and secret.sas_token:
            return f"{plain}?{secret.sas_token.get_secret_value()}"
        try:
            # A signature for HEAD grants nothing (obstore 0.12); one for GET is good for both.
            return obstore.sign(self._signer, "GET", key, timedelta(minutes=5))
        except CLIENT_ERRORS:
            return None


def open_azure(
    uri: StorageUri, credentials: AzureCredentials, settings: Settings, environment: Mapping[str, str]
) -> tuple[AzureFolder, AzureCredentials]:
    """Open the folder of an `az://` URI, and say with which credentials.

    Where nothing is configured and the node has no managed identity, access is anonymous, as KServe's own initializer
    falls back to it; whether there is one is asked once.

    Args:
        uri: the folder.
        credentials: as they were found in the environment.
        settings: time-outs.
        environment: tells obstore of the cloud's identity, where that is to sign.

    Raises:
        InvalidConfiguration: a key that is none, or an unusable CA bundle.
    """
    from obstore.store import AzureStore

    link = credentials.connection
    if link.identity == "ambient" and not link.client_id and not managed_identity_answers():
        log.info("no Azure credentials and no managed identity: asking %s as anybody may", uri.location)
        link = link.model_copy(update={"identity": "anonymous"})
        credentials = credentials.model_copy(update={"connection": link})
    federated = link.identity in {"web-identity", "ambient"}
    try:
        with variables_hidden("AZURE_", but=environment if federated else None):
            store = AzureStore(
                uri.container,
                config=_config(credentials),
                client_options=client_options(
                    settings, allow_http=link.url.startswith("http://"), ca_bundle=link.ca_bundle
                ),
                retry_config=retry_config(settings),
            )
    except CLIENT_ERRORS as error:
        if link.ca_bundle and "certificate" in str(error).lower():
            raise unusable_bundle(link.ca_bundle, "it holds no certificate in PEM form") from error
        raise explain(error, uri.location) from None  # its text may hold parts of the key
    return AzureFolder(uri, store, uri.key, credentials, settings), credentials


def _config(credentials: AzureCredentials) -> Any:
    link, secret = credentials.connection, credentials.secret
    config: dict[str, object] = {"account_name": link.account, "endpoint": link.url}
    if link.identity == "anonymous":
        config["skip_signature"] = True
    elif link.identity == "ambient":
        config["msi_endpoint"] = token_address()
    if link.client_id:
        config["client_id"] = link.client_id
    if link.tenant_id:
        config["tenant_id"] = link.tenant_id
    if link.authority_host:
        config["authority_host"] = link.authority_host
    if secret and secret.sas_token:
        config["sas_key"] = secret.sas_token.get_secret_value()
    if secret and secret.account_key:
        config["account_key"] = secret.account_key.get_secret_value()
    if secret and secret.client_secret:
        config["client_secret"] = secret.client_secret.get_secret_value()
    return config
