"""Google's metadata server, which stands for the identity of a node or (on GKE) of a pod's service account."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from wellhead_storage.errors import StoreUnavailable
from wellhead_storage.logs import log
from wellhead_storage.retrying import persist
from wellhead_storage.settings import Settings
from wellhead_storage.stores.gcs_tokens import Token

_ADDRESS = "169.254.169.254"  # needs no DNS; GKE's workload identity answers at the same one
_FLAVOR = {"Metadata-Flavor": "Google"}
_PATH = "computeMetadata/v1/instance/service-accounts/default/token"
_SECONDS = 1.0
# GKE's server may refuse connections in the first seconds of a pod; elsewhere nobody may wait long for nobody.
_TRIES = 3


def metadata_token(settings: Settings) -> Token | None:
    """An access token of the ambient identity; None where there is none, outside Google's cloud for example."""
    try:
        return persist(_ask, settings, tries=_TRIES)
    except StoreUnavailable as error:
        log.debug("%s", error.problem)
        return None


def _ask() -> Token | None:
    host = os.environ.get("GCE_METADATA_HOST") or _ADDRESS
    # Never through a proxy: it would have another identity, if it could reach the server at all.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(Request(f"http://{host}/{_PATH}", headers=_FLAVOR), timeout=_SECONDS) as answer:
            if answer.headers.get("Metadata-Flavor") != "Google":
                return None
            found = json.loads(answer.read())
        return Token(found["access_token"], datetime.now(UTC) + timedelta(seconds=found["expires_in"]))
    except HTTPError as error:
        error.close()
        if error.code < 500:  # another cloud's server, or one without a service account
            return None
        reason = f"status {error.code}"
    except (OSError, HTTPException) as error:
        reason = str(getattr(error, "reason", "") or error)
    except (ValueError, KeyError, TypeError):
        return None
    raise StoreUnavailable(f"Google's metadata server at {host} gives no token: {reason}.")
