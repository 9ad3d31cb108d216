"""Certificate authorities for web requests: the usual variables, and KServe's mounted ConfigMap."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from wellhead_storage.errors import InvalidConfiguration

_CA_FILE = "cabundle.crt"  # the file name that KServe uses in a mounted CA ConfigMap


def web_ca_bundle(environment: Mapping[str, str]) -> str | None:
    """The path of a PEM file with further authorities, or None.

    Raises:
        InvalidConfiguration: it does not exist.
    """
    given = {name: value.strip() for name, value in environment.items() if value.strip()}
    path = given.get("REQUESTS_CA_BUNDLE") or given.get("SSL_CERT_FILE")
    mount = given.get("CA_BUNDLE_VOLUME_MOUNT_POINT")
    if not path and mount and given.get("CA_BUNDLE_CONFIGMAP_NAME"):
        path = f"{mount.rstrip('/')}/{_CA_FILE}"
    if path and not Path(path).is_file():
        raise InvalidConfiguration(
            f"The CA bundle {path} does not exist in this container.",
            "Check REQUESTS_CA_BUNDLE, SSL_CERT_FILE, or KServe's CA bundle ConfigMap.",
        )
    return path
