"""What a service account's key signs for itself."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import SecretStr

from tests.support.fake_gcs import key_file
from wellhead_storage.stores.gcs_tokens import self_signed


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_key_signs_a_token_for_reading_only(tmp_path: Path) -> None:
    text = key_file(tmp_path / "key.json").read_text()
    key = json.loads(text)
    token = self_signed(SecretStr(text))
    header, claims, signature = token.value.split(".")
    private = cast("RSAPrivateKey", load_pem_private_key(key["private_key"].encode(), None))
    private.public_key().verify(decoded(signature), f"{header}.{claims}".encode(), PKCS1v15(), SHA256())
    assert json.loads(decoded(header)) == {"alg": "RS256", "typ": "JWT", "kid": key["private_key_id"]}
    said = json.loads(decoded(claims))
    assert said["iss"] == said["sub"] == key["client_email"]
    assert said["scope"] == "https://www.googleapis.com/auth/devstorage.read_only"
    assert said["exp"] - said["iat"] == 3600
    assert abs(token.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
