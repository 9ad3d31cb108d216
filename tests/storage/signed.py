"""Signed S3 requests made by hand: for what obstore has no call for, and for keys that it would not write as is."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from tests.support.seaweedfs import SeaweedFS


def put_key(store: SeaweedFS, bucket: str, key: str, content: bytes) -> None:
    """Write an object under exactly this key."""
    _request(store, "PUT", f"/{bucket}/{key}", "", content)


def put_policy(store: SeaweedFS, bucket: str, effect: str, *actions: str) -> None:
    """Allow or deny actions on a bucket and its objects to everybody."""
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statement = {"Effect": effect, "Principal": "*", "Action": actions, "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    _request(store, "PUT", f"/{bucket}", "policy=", policy.encode())


def _request(store: SeaweedFS, method: str, path: str, query: str, body: bytes) -> None:
    """Signature version 4, as AWS describes it."""
    host = urlsplit(store.endpoint_url).netloc
    target = quote(path, safe="/-_.~")
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    request = "\n".join((method, target, query, lines, names, digest))
    scope = f"{now[:8]}/{store.region}/s3/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()))
    key = b"AWS4" + store.secret_access_key.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    credential = f"Credential={store.access_key_id}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request(method, f"{target}?{query}" if query else target, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status < 300, (answer.status, text)
    finally:
        connection.close()
