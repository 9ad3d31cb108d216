"""Headers for web servers, as KServe's secret with `https-host` and `headers` gives them.

KServe makes of it a variable `<host>-headers` with a JSON object (kserve.md 6.1; `kserve_storage` 0.21 looks for the
host name without its port). `<host>:<port>-headers` is read too, and first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, SecretStr

from wellhead_storage.credentials.certificates import web_ca_bundle
from wellhead_storage.errors import InvalidConfiguration

_SUFFIX = "-headers"


class WebAccess(BaseModel):
    """How to reach one web server.

    Attributes:
        headers: name → value, for this server alone.
        ca_bundle: path of a PEM file with further authorities, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    headers: dict[str, SecretStr] = {}
    ca_bundle: str | None = None

    def clear(self) -> dict[str, str]:
        """The headers, to be sent."""
        return {name: value.get_secret_value() for name, value in self.headers.items()}


def web_access(environment: Mapping[str, str], host: str) -> WebAccess:
    """Read the variables for a host (with its port, where the URI has one).

    Raises:
        InvalidConfiguration: headers that are no JSON object of strings, or a missing CA bundle.
    """
    wanted = (f"{host}{_SUFFIX}", f"{host.rpartition(':')[0] or host}{_SUFFIX}")
    text = next((environment[name] for name in wanted if environment.get(name, "").strip()), "{}")
    try:
        headers = json.loads(text)
    except ValueError:
        headers = None
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        # The text holds a secret: it is named, never shown.
        raise InvalidConfiguration(
            f"The headers for {host} are no JSON object of strings.", "Correct `headers` in the secret."
        )
    kept = {name: SecretStr(value) for name, value in headers.items()}
    return WebAccess(headers=kept, ca_bundle=web_ca_bundle(environment))
