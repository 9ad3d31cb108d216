"""Azure's instance metadata service (IMDS), which stands for the managed identity of a node."""

from __future__ import annotations

import json
import os
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode, urlsplit

_HOST = "http://169.254.169.254"  # the same for every node, and no DNS
_QUERY = urlencode({"api-version": "2018-02-01", "resource": "https://storage.azure.com"})
_SECONDS = 2.0
_BUSY = {410, 429}  # with 5xx, what it answers where one shall ask again
_MOST = 1 << 16


def token_address() -> str:
    """Where it gives tokens; another host than IMDS's own is named as Azure's libraries have it named."""
    host = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or _HOST
    return f"{host.rstrip('/')}/metadata/identity/oauth2/token"


def managed_identity_answers() -> bool:
    """Whether it gives a token to this node; asked once, without a proxy, and for two seconds.

    A node without an identity is told so with 400; on other clouds another service answers at the same address.
    """
    try:
        address = urlsplit(token_address())
        with closing(HTTPConnection(address.netloc, timeout=_SECONDS)) as connection:
            connection.request("GET", f"{address.path}?{_QUERY}", headers={"Metadata": "true"})
            answer = connection.getresponse()
            if answer.status == 200:
                return "access_token" in json.loads(answer.read(_MOST))
            return answer.status in _BUSY or answer.status >= 500
    except (OSError, HTTPException, ValueError, TypeError):
        return False
