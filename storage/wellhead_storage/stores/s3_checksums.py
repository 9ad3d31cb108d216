"""Checksums that S3 keeps beside an object (`x-amz-checksum-*`), asked for with one HEAD.

Every upload with a current AWS client has one, also in several pieces, where the ETag says nothing. The request needs a
header, S3 refuses `x-amz-` headers that are not signed (SeaweedFS 4.48 too: 403), and obstore 0.12 signs none of ours;
so AWS's own library signs this one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wellhead_storage.credentials.s3 import S3Credentials
from wellhead_storage.logs import log
from wellhead_storage.stores.heads import Answer, Heads, ask
from wellhead_storage.stores.interface import Algorithm, Checksum

if TYPE_CHECKING:
    from awscrt.auth import AwsCredentialsProvider

_PREFIX = "x-amz-checksum-"
_MODE = {f"{_PREFIX}mode": "ENABLED"}
_FASTEST_FIRST: tuple[tuple[str, Algorithm], ...] = (
    ("crc64nvme", "crc64nvme"),
    ("crc32c", "crc32c"),
    ("crc32", "crc32"),
    ("sha256", "sha256"),
    ("sha1", "sha1"),
)
_SECONDS = 10.0
_REGION = "us-east-1"
_UNASKED = 401  # of HTTP: as if the store had said so


def stored_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """The checksum in an answer's headers, if it is one of the whole object and not one of its parts' checksums."""
    if headers.get(f"{_PREFIX}type", "").upper() == "COMPOSITE":
        return None
    for name, algorithm in _FASTEST_FIRST:
        try:
            value = base64.b64decode(headers.get(_PREFIX + name, ""), validate=True)
        except binascii.Error:  # a composite one ends in `-<count>`
            continue
        if value:
            return Checksum(algorithm, value.hex())
    return None


class ChecksumRequests:
    """Asks one store for its checksums.

    Args:
        credentials: to sign with.
        heads: through which to ask.
        timeout: seconds without a byte that end a request.
    """

    def __init__(self, credentials: S3Credentials, heads: Heads, timeout: float) -> None:
        self._link, self._secret = credentials.connection, credentials.secret
        self._heads, self._timeout = heads, timeout

    def ask(self, url: str) -> Checksum | None:
        """The checksum of the object at a URL (without a signature), or None where it cannot be known."""
        return stored_checksum(self._heads.of(partial(self._request, url)))

    def _request(self, url: str) -> Answer:
        link = self._link
        try:
            headers = _MODE if link.identity == "anonymous" else self._signed(url)
        except Exception as error:  # noqa: BLE001 - awscrt raises its own, TimeoutError and more
            log.debug("a request for a checksum cannot be signed: %s", error)
            self._heads.give_up("the request cannot be signed")
            return Answer(_UNASKED, {})
        return ask(
            "HEAD", url, timeout=self._timeout, ca_bundle=link.ca_bundle, verify_tls=link.verify_tls, headers=headers
        )

    def _signed(self, url: str) -> dict[str, str]:
        from awscrt import auth, http

        parts = urlsplit(url)
        request = http.HttpRequest("HEAD", parts.path, http.HttpHeaders([("host", parts.netloc), *_MODE.items()]))
        config = auth.AwsSigningConfig(
            credentials_provider=self._provider,
            region=self._link.region or _REGION,
            service="s3",
            use_double_uri_encode=False,
            should_normalize_uri_path=False,
            signed_body_value=auth.AwsSignedBodyValue.UNSIGNED_PAYLOAD,
            signed_body_header_type=auth.AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256,
        )
        auth.aws_sign_request(request, config).result(_SECONDS)
        return {name: value for name, value in request.headers if name.lower() != "host"}

    @cached_property
    def _provider(self) -> AwsCredentialsProvider:
        from awscrt.auth import AwsCredentialsProvider

        if self._secret is None:  # the cloud's identity, by the same variables and metadata services
            return AwsCredentialsProvider.new_default_chain()
        token = self._secret.session_token
        return AwsCredentialsProvider.new_static(
            self._secret.access_key_id.get_secret_value(),
            self._secret.secret_access_key.get_secret_value(),
            token.get_secret_value() if token else None,
        )
