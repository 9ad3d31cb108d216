"""Google's metadata server, which stands for the identity of a node or (on GKE) of a pod's service account."""

from __future__ import annotations

import json
import os
from urllib.request import Request, urlopen

_ADDRESS = "169.254.169.254"  # needs no DNS; GKE's workload identity answers at the same one
_FLAVOR = {"Metadata-Flavor": "Google"}
_PATH = "computeMetadata/v1/instance/service-accounts/default"
_SECONDS = 2.0


def metadata_server_answers() -> bool:
    """Whether this is Google's cloud; asked once, and for two seconds, since obstore would ask for half a minute."""
    return _ask("computeMetadata/v1/") is not None


def metadata_token() -> str | None:
    """An access token of the ambient identity, or None."""
    try:
        return str(json.loads(_ask(f"{_PATH}/token") or b"{}")["access_token"])
    except (ValueError, KeyError, TypeError):
        return None


def _ask(path: str) -> bytes | None:
    host = os.environ.get("GCE_METADATA_HOST") or _ADDRESS
    try:
        with urlopen(Request(f"http://{host}/{path}", headers=_FLAVOR), timeout=_SECONDS) as answer:
            google = answer.headers.get("Metadata-Flavor") == "Google"
            return bytes(answer.read()) if google else None
    except OSError:
        return None
