"""Bearer tokens for Google's stores: made of a key, or given by the metadata server, and replaced in time."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, cast

from pydantic import SecretStr

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from obstore.store import GCSCredential

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
_LIFE = timedelta(hours=1)  # the longest that Google allows
_AHEAD = timedelta(minutes=5)  # as obstore renews its own


class Token(NamedTuple):
    """A secret, and until when it is good."""

    value: str
    expires_at: datetime


_NONE = Token("", datetime.min.replace(tzinfo=UTC))


class Bearer:
    """The token of one identity, for many threads.

    Args:
        make: asks for a new one; None where there is none just now.
        first: what is there already.
    """

    def __init__(self, make: Callable[[], Token | None], first: Token = _NONE) -> None:
        self._make, self._token = make, first
        self._lock = threading.Lock()

    def token(self, refused: Token | None = None) -> Token:
        """One that is good for some minutes yet, and is not the one that was refused; else the last there was."""
        with self._lock:
            if self._token is refused or self._token.expires_at - datetime.now(UTC) < _AHEAD:
                self._token = self._make() or self._token
            return self._token

    def for_obstore(self) -> GCSCredential:
        """Its credential provider."""
        token = self.token()
        return {"token": token.value, "expires_at": token.expires_at}


def self_signed(key_file: SecretStr) -> Token:
    """A token that a service account's key signs itself (google.aip.dev/auth/4111), as obstore makes its own.

    Args:
        key_file: the JSON of the key, which obstore has accepted.
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = json.loads(key_file.get_secret_value())
    now = datetime.now(UTC)
    header = {"alg": "RS256", "typ": "JWT", "kid": key.get("private_key_id", "")}
    claims = {
        "iss": key["client_email"],
        "sub": key["client_email"],
        "scope": _SCOPE,
        "iat": int(now.timestamp()),
        "exp": int((now + _LIFE).timestamp()),
    }
    signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
    private = cast("RSAPrivateKey", load_pem_private_key(key["private_key"].encode(), None))
    signature = private.sign(signed.encode(), PKCS1v15(), SHA256())
    return Token(f"{signed}.{_encoded(signature)}", now + _LIFE)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
