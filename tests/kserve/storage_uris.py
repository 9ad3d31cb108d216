"""Which URIs KServe's controller lets pass."""

from __future__ import annotations

import re

from tests.kserve.errors import KServeError
from tests.kserve.storage_containers import Chooser

# KServe 0.20; master has oci+fetch:// too.
_SCHEMES = (
    *("gs://", "s3://", "pvc://", "file://", "https://", "http://", "hdfs://", "webhdfs://"),
    *("oci://", "oci+native://", "hf://"),
)
_AZURE = "blob.core.windows.net"
UNSUPPORTED = (
    "storageUri, must be one of: [{known}] or match https://{{}}.blob.core.windows.net/{{}}/{{}} or be an absolute or "
    "relative local path. StorageUri [{uri}] is not supported"
)


def validate_uri(uri: str, chooser: Chooser) -> None:
    """Anything that a storage container lists, a path, or a scheme of KServe's own.

    Raises:
        KServeError: none of these.
    """
    try:
        if chooser.matching(uri) or not re.search(r"\w+?://", uri):
            return
    except KServeError as error:
        raise KServeError(f"StorageURI not supported: {error}") from None
    if _AZURE in uri:
        if re.search(rf"https://(.+?).{_AZURE}/(.+)", uri):
            return
    elif uri.startswith(_SCHEMES):
        return
    message = UNSUPPORTED.format(known=", ".join(_SCHEMES), uri=uri)
    raise KServeError(f"StorageURI not supported: {message}")
