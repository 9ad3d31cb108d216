"""S3 through obstore."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wellhead_storage.credentials.s3 import S3Credentials
from wellhead_storage.errors import AccessDenied
from wellhead_storage.logs import log
from wellhead_storage.settings import Settings
from wellhead_storage.stores.ambient import variables_hidden
from wellhead_storage.stores.client import client_options, retry_config, unusable_bundle
from wellhead_storage.stores.failures import CLIENT_ERRORS, explain
from wellhead_storage.stores.folder import ObstoreFolder
from wellhead_storage.stores.heads import Heads, ask
from wellhead_storage.stores.interface import Checksum, StoredObject
from wellhead_storage.stores.s3_checksums import ChecksumRequests
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

_WORTH_A_REQUEST = 64 * 1024 * 1024  # bytes, of which MD5 costs a tenth of a second of CPU and CRC64 nothing
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


class S3Folder(ObstoreFolder):
    """A folder in S3, whose ETags are MD5 sums where an object was uploaded in one piece."""

    def __init__(
        self, uri: StorageUri, store: S3Store, prefix: str, credentials: S3Credentials, settings: Settings
    ) -> None:
        super().__init__(uri, store, prefix, settings)
        self._signer, self._link, self._timeout = store, credentials.connection, settings.stall_timeout
        self._heads = Heads(uri.location, settings)
        self._requests = ChecksumRequests(credentials, self._heads, settings.stall_timeout)

    def checksum(self, item: StoredObject) -> Checksum | None:
        """What S3 keeps beside the object, else the ETag, if it has the form of an MD5 sum.

        In several pieces that ends in `-<count>`. Small objects are not worth a request: their MD5 sum is made at once.
        """
        match = _MD5.fullmatch(item.etag or "")
        if match and item.size < _WORTH_A_REQUEST:
            return Checksum("md5", match[1])
        url = self._address(item)
        kept = self._requests.ask(url.partition("?")[0]) if url else None
        return kept or (Checksum("md5", match[1]) if match else None)

    def checksum_is_of_content(self, item: StoredObject, checksum: Checksum) -> bool:
        """One HEAD: objects encrypted with a key of KMS or of the customer have an ETag of another kind.

        Raises:
            StoreUnavailable: it does not say.
        """
        if checksum.algorithm != "md5" or self._link.identity == "anonymous":
            return True  # what anybody may read is not encrypted in these ways
        url = self._address(item)
        if url is None:
            return True
        link = self._link
        request = partial(ask, "HEAD", url, timeout=self._timeout, ca_bundle=link.ca_bundle, verify_tls=link.verify_tls)
        headers = self._heads.insist(request).headers
        if "kms" in headers.get("x-amz-server-side-encryption", "").lower() or any(
            name.startswith("x-amz-server-side-encryption-customer") for name in headers
        ):
            log.info("%s is encrypted with a key of its own, so its ETag says nothing", self.uri.child(item.name))
            return False
        return True

    def _address(self, item: StoredObject) -> str | None:
        import obstore

        try:
            return obstore.sign(self._signer, "HEAD", self._key(item.name), timedelta(minutes=5))
        except CLIENT_ERRORS:
            return None


def open_s3(
    uri: StorageUri, credentials: S3Credentials, settings: Settings, environment: Mapping[str, str]
) -> S3Folder:
    """Open the folder of an `s3://` URI. No request is made yet.

    Args:
        uri: the folder.
        credentials: as they were found in the environment.
        settings: time-outs.
        environment: tells obstore of the cloud's identity, where that is to sign.

    Raises:
        AccessDenied: a store that is not AWS, and nothing to sign with.
        InvalidConfiguration: a CA bundle without a certificate.
    """
    from obstore.store import S3Store

    link = credentials.connection
    if not credentials.usable and link.endpoint_url:
        # Asking a metadata service that such a cluster does not have would only cost the user half a minute.
        raise AccessDenied(
            f"There are no credentials for {uri.location} in this container.",
            "Put a secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on the pod's service account, or set "
            "awsAnonymousCredential to true for a public bucket.",
        )
    client = client_options(
        settings,
        allow_http=bool(link.endpoint_url and link.endpoint_url.lower().startswith("http://")),
        verify_tls=link.verify_tls,
        ca_bundle=link.ca_bundle,
    )
    try:
        with variables_hidden("AWS_", but=None if link.identity in {"static", "anonymous"} else environment):
            store = S3Store(
                uri.container,
                config=_config(uri.container, credentials),
                client_options=client,
                retry_config=retry_config(settings),
            )
    except CLIENT_ERRORS as error:
        if link.ca_bundle and "certificate" in str(error).lower():
            raise unusable_bundle(link.ca_bundle, "it holds no certificate in PEM form") from error
        raise explain(error, uri.location) from error
    return S3Folder(uri, store, uri.key, credentials, settings)


def _config(bucket: str, credentials: S3Credentials) -> S3Config:
    link = credentials.connection
    # A bucket with dots has no valid certificate in virtual-hosted form.
    in_host = link.bucket_in_host and not (link.endpoint_url is None and "." in bucket)
    # Uploads carry the checksum in a header of its own: SeaweedFS does not compare the one in the signature.
    config: S3Config = {"virtual_hosted_style_request": in_host, "checksum_algorithm": "SHA256"}
    if link.region:
        config["region"] = link.region
    if link.endpoint_url:
        config["endpoint"] = _with_bucket(link.endpoint_url, bucket) if in_host else link.endpoint_url
    if link.identity == "anonymous":
        # Nothing is signed, but obstore makes addresses only by signing them, and would ask a metadata server for keys.
        config |= {"skip_signature": True, "access_key_id": "nobody", "secret_access_key": "nobody"}
    if credentials.secret:
        config["access_key_id"] = credentials.secret.access_key_id.get_secret_value()
        config["secret_access_key"] = credentials.secret.secret_access_key.get_secret_value()
        if credentials.secret.session_token:
            config["session_token"] = credentials.secret.session_token.get_secret_value()
    return config


def _with_bucket(endpoint: str, bucket: str) -> str:
    # object_store expects the bucket to be in the endpoint already when it is told to use virtual hosting.
    parts = urlsplit(endpoint)
    return parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl()
