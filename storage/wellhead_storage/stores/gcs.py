"""Google Cloud Storage through obstore."""

from __future__ import annotations

import base64
import binascii
import re
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from wellhead_storage.credentials.gcs import GcsConnection, GcsCredentials
from wellhead_storage.logs import log
from wellhead_storage.settings import Settings
from wellhead_storage.stores.ambient import variables_hidden
from wellhead_storage.stores.client import client_options, retry_config, unusable_bundle
from wellhead_storage.stores.failures import CLIENT_ERRORS, explain
from wellhead_storage.stores.folder import ObstoreFolder
from wellhead_storage.stores.gcs_metadata import metadata_token
from wellhead_storage.stores.gcs_tokens import Bearer, Token, self_signed
from wellhead_storage.stores.heads import Answer, Heads, ask
from wellhead_storage.stores.interface import Checksum, StoredObject
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from obstore.store import GCSConfig, GCSStore

_GOOGLE = "https://storage.googleapis.com"
_HASH = re.compile(r"(crc32c|md5)=([A-Za-z0-9+/=]+)")


class GcsFolder(ObstoreFolder):
    """A folder in GCS, whose objects all have a crc32c, most an MD5 too."""

    def __init__(
        self,
        uri: StorageUri,
        store: GCSStore,
        prefix: str,
        link: GcsConnection,
        bearer: Bearer | None,
        settings: Settings,
    ) -> None:
        super().__init__(uri, store, prefix, settings)
        self._link, self._bearer, self._timeout = link, bearer, settings.stall_timeout
        self._heads = Heads(uri.location, settings)
        self._base = link.endpoint_url or _GOOGLE

    def checksum(self, item: StoredObject) -> Checksum | None:
        """The `x-goog-hash` of one HEAD; none where it cannot be asked for."""
        url = f"{self._base}/{self.uri.container}/{quote(self._key(item.name))}"
        headers = self._heads.of(partial(self._ask, "HEAD", url))
        found = dict(_HASH.findall(headers.get("x-goog-hash", "")))
        for algorithm in ("crc32c", "md5"):
            if algorithm in found:
                try:
                    return Checksum(algorithm, base64.b64decode(found[algorithm], validate=True).hex())
                except binascii.Error:
                    continue
        return None

    def obstacles(self) -> list[str]:
        """Whether the streamer may list the bucket: before that it reads the bucket itself, and so does this.

        That is Google's `get_bucket` in `list_files` (runai_model_streamer_gcs 0.17, files/files.py). The role that
        is enough for everything else, Storage Object Viewer, does not allow it. No answer is no obstacle.
        """
        answer = self._ask("GET", f"{self._base}/storage/v1/b/{quote(self.uri.container)}?fields=name")
        if answer.status not in {401, 403}:
            return []
        who = "the public" if self._bearer is None else "this identity"
        needed = f"{who} lacks storage.buckets.get on the bucket {self.uri.container}, which the streamer needs"
        return [f"{needed} (role Storage Legacy Bucket Reader)"]

    def _ask(self, method: str, url: str) -> Answer:
        """With the same identity as obstore's requests; a token that is refused is replaced once."""
        if self._bearer is None:
            return ask(method, url, timeout=self._timeout, ca_bundle=self._link.ca_bundle)
        token = self._bearer.token()
        answer = self._authorized(method, url, token)
        return answer if answer.status != 401 else self._authorized(method, url, self._bearer.token(refused=token))

    def _authorized(self, method: str, url: str, token: Token) -> Answer:
        headers = {"authorization": f"Bearer {token.value}"}
        return ask(method, url, timeout=self._timeout, ca_bundle=self._link.ca_bundle, headers=headers)


def open_gcs(uri: StorageUri, credentials: GcsCredentials, settings: Settings) -> tuple[GcsFolder, GcsCredentials]:
    """Open the folder of a `gs://` URI, and say with which credentials.

    Without a key, and outside Google's cloud, access is anonymous, as KServe's own initializer falls back to it;
    whether there is a metadata server is found out by asking it for the first token.

    Raises:
        InvalidConfiguration: the key file is unusable, or the CA bundle.
    """
    from obstore.store import GCSStore

    bearer = _bearer(credentials, settings)
    link = credentials.connection
    if link.identity == "ambient" and bearer is None:
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
                # obstore's own way to the metadata server leads through http_proxy (seen with 0.12.1).
                credential_provider=bearer.for_obstore if bearer and link.identity == "ambient" else None,
            )
    except CLIENT_ERRORS as error:
        if link.ca_bundle and "certificate" in str(error).lower():
            raise unusable_bundle(link.ca_bundle, "it holds no certificate in PEM form") from error
        raise explain(error, uri.location) from None  # its text may hold parts of the key
    return GcsFolder(uri, store, uri.key, link, bearer, settings), credentials


def _bearer(credentials: GcsCredentials, settings: Settings) -> Bearer | None:
    """Who asks; None is anybody."""
    if credentials.secret:
        return Bearer(partial(self_signed, credentials.secret.key_file))
    if credentials.connection.identity != "ambient":
        return None
    first = metadata_token(settings)
    return Bearer(partial(metadata_token, settings), first) if first else None


def _config(credentials: GcsCredentials) -> GCSConfig:
    link, config = credentials.connection, {}
    if link.endpoint_url:
        config["base_url"] = link.endpoint_url
    if credentials.secret:
        config["service_account_key"] = credentials.secret.key_file.get_secret_value()
    elif link.identity == "anonymous":
        config["skip_signature"] = True  # type: ignore[assignment]
    return config  # type: ignore[return-value]
