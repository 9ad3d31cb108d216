"""Sealing: hand the storage credentials of the init container to the engine's container, and to nobody else.

KServe gives credentials to the init container only. Both containers mount one projected service-account token from
a tmpfs, so a key derived from it (HKDF-SHA256) encrypts the credentials (AES-256-GCM) into a file beside the plan.
The weights' URI is authenticated with it: a sealed file cannot be moved to another model's folder. What this
protects against, and what not: `docs/threat-model.md`.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

from wellhead_storage.credentials.kinds import SECRET_KINDS, Secret, in_the_clear
from wellhead_storage.errors import HandoffFailed

SEALED_NAME = "credentials.sealed"
_VERSION = 1
_INFO = b"wellhead credentials v1"


def read_token(path: Path) -> bytes | None:
    """The service-account token, or None where none is mounted.

    Raises:
        HandoffFailed: it is there and cannot be read.
    """
    try:
        return path.read_bytes().strip() or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HandoffFailed(
            f"The service-account token {path} cannot be read: {error.strerror}.",
            "Check the pod's securityContext.",
        ) from error


def seal(secret: Secret, token: bytes, weights_uri: str) -> bytes:
    """Encrypt `secret` for whoever has `token`; the result holds nothing in the clear."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    salt, nonce = os.urandom(16), os.urandom(12)
    box = AESGCM(_key(token, salt)).encrypt(nonce, json.dumps(in_the_clear(secret)).encode(), _bound_to(weights_uri))
    envelope = {"version": _VERSION, "salt": _text(salt), "nonce": _text(nonce), "box": _text(box)}
    return json.dumps(envelope).encode()


def unseal(sealed: bytes, token: bytes, weights_uri: str) -> Secret:
    """Decrypt what `seal` wrote; the URI's scheme says what kind of secret it is.

    Raises:
        HandoffFailed: damaged, tampered with, for other weights, or sealed with another token.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        envelope = json.loads(sealed)
        version = envelope["version"]
        salt, nonce, box = (base64.b64decode(envelope[name], validate=True) for name in ("salt", "nonce", "box"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HandoffFailed("The sealed credentials are damaged.", "Delete the pod to start afresh.") from error
    if version != _VERSION:
        raise HandoffFailed(
            f"The sealed credentials are of version {version}, this runtime reads version {_VERSION}.",
            "Use initializer and runtime images of the same release.",
        )
    try:
        clear = AESGCM(_key(token, salt)).decrypt(nonce, box, _bound_to(weights_uri))
    except (InvalidTag, ValueError) as error:
        raise HandoffFailed(
            "The sealed credentials do not open: the service-account token was rotated since the model was "
            "prepared, or the file was changed.",
            "Delete the pod so that the initializer seals them anew, or give the engine's container its own "
            "credentials.",
        ) from error
    return SECRET_KINDS[weights_uri.partition("://")[0]].model_validate_json(clear)


def _key(token: bytes, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=_INFO).derive(token)


def _bound_to(weights_uri: str) -> bytes:
    return _INFO + b"\0" + weights_uri.encode()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
