"""Which of the library's services a URI means, and how the library wants it spelled."""

from __future__ import annotations

from typing import Literal

from wellhead_storage.uri import WRAPPER, StorageUri

Service = Literal["git", "azure", "hdfs", "modelscope"]


def service(uri: StorageUri) -> Service:
    """The service of a URI whose kind is `delegated`."""
    if uri.scheme == "https":
        files = uri.container.endswith((".file.core.windows.net", ".file.storage.azure.net"))
        return "azure" if files else "git"
    return "modelscope" if uri.scheme == "modelscope" else "hdfs"


def spelling(uri: StorageUri, text: str) -> str:
    """The URI as `kserve_storage` understands it.

    What the user wrote, with these exceptions: the library compares schemes in lower case, takes a slash at the end of
    a ModelScope model for a third part, and fails for a share of Azure Files without a slash behind its name.

    Args:
        uri: the parsed URI.
        text: what it was parsed from.
    """
    rest = text.strip()
    if uri.forced_stream:
        rest = rest[len(WRAPPER) + len("://") :]
    rest = rest.partition("://")[2]
    if uri.scheme != "https":
        return f"{uri.scheme}://{rest.rstrip('/')}"
    _, mark, query = rest.partition("?")
    share_alone = service(uri) == "azure" and "/" not in uri.key
    return f"https://{uri.container}/{uri.key}{'/' if share_alone else ''}{mark}{query}"
