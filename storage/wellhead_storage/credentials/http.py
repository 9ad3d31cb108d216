"""Headers for web servers, as KServe's secret with `https-host` and `headers` gives them.

KServe makes of it a variable `<host>-headers` with a JSON object (kserve.md 6.1; `kserve_storage` 0.21 looks for the
host name without its port). `<host>:<port>-headers` is read too, and first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, SecretStr

from wellhead_storage.credentials.certificates import web_ca_bundle
from wellhead_storage.errors import InvalidConfiguration

_SUFFIX = "-headers"
# RFC 9110, 5.1 and 5.5. Other letters than ASCII's mean something else to every server.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


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
        InvalidConfiguration: headers that are no JSON object of strings or that cannot be sent, or a missing CA bundle.
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
    kept = {name: SecretStr(_sendable(name, value.strip(" \t"), host)) for name, value in headers.items()}
    return WebAccess(headers=kept, ca_bundle=web_ca_bundle(environment))


def _sendable(name: str, value: str, host: str) -> str:
    if not _NAME.fullmatch(name):  # it may be the secret itself, in the wrong place
        raise InvalidConfiguration(
            f"The headers for {host} have a name that is none.", "Correct `headers` in the secret."
        )
    if not _VALUE.fullmatch(value):
        raise InvalidConfiguration(
            f"The header {name} for {host} has a value with line breaks, control characters or letters outside ASCII.",
            "Correct `headers` in the secret; the end of a line often comes from `echo` without -n.",
        )
    return value
