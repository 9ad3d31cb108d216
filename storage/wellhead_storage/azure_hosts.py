"""Azure's own host names: which there are, and what stands in them. Pure.

Every other host is somebody else's. It must neither be taken for an account of Azure nor get an account's credentials
(https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-endpoints).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PUBLIC = "blob.core.windows.net"
"""The suffix of the public cloud, which is meant where none is named."""

_ACCOUNT = r"[a-z0-9]{3,24}(?:-secondary)?"  # the second form is the read-only copy in another region
_STORE = re.compile(
    rf"(?P<account>{_ACCOUNT})\.(?P<zone>z[0-9]{{2}}\.)?(?:blob|dfs)\."
    r"(?P<domain>(?(zone)storage\.azure\.net|core\.(?:windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)))"
)
# What kserve_storage takes for Azure Files; other clouds' hosts are plain HTTP to it, and so to us.
_FILES = re.compile(r"[a-z0-9-]{3,24}\.(?:file\.core\.windows\.net|z[0-9]{1,2}\.file\.storage\.azure\.net)")
_AUTHORITIES = {
    "blob.core.chinacloudapi.cn": "https://login.chinacloudapi.cn",
    "blob.core.usgovcloudapi.net": "https://login.microsoftonline.us",
}


@dataclass(frozen=True, slots=True)
class AzureHost:
    """The host of a storage account.

    Attributes:
        account: its name.
        suffix: everything behind it in the host of its blobs, `blob.core.windows.net` in the public cloud.
    """

    account: str
    suffix: str


def azure_host(host: str) -> AzureHost | None:
    """What a host (in any case, without a port) names, or None where it is not one of Azure's for blobs.

    `dfs` is Data Lake's name for the same account.
    """
    match = _STORE.fullmatch(host.lower())
    return AzureHost(match["account"], f"{match['zone'] or ''}blob.{match['domain']}") if match else None


def is_blob_host(host: str) -> bool:
    """Whether a web address with this host is one of a blob; what `dfs` hosts serve is another protocol."""
    return azure_host(host) is not None and ".blob." in host.lower()


def is_account(name: str) -> bool:
    """Whether a storage account can have this name."""
    return re.fullmatch(_ACCOUNT, name) is not None


def is_files_host(host: str) -> bool:
    """Whether it is Azure Files'."""
    return _FILES.fullmatch(host.lower()) is not None


def authority_of(suffix: str) -> str | None:
    """Where identities of that cloud sign in; None for the clients' default, the public cloud's."""
    return _AUTHORITIES.get(suffix)
