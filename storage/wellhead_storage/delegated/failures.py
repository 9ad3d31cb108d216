"""What the child reported → the errors of `errors.py`, each with the sentence a user can act on.

`kserve_storage` gives every failure of a client a RuntimeError of its own, whose text it guesses ("auth" anywhere in a
message, a host name included, makes it a failed authentication). So the classes and statuses of the exceptions behind
it decide here, and text only where a client puts a status nowhere else.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence

from wellhead_storage.delegated.report import Link
from wellhead_storage.delegated.services import service
from wellhead_storage.errors import (
    AccessDenied,
    InsufficientSpace,
    IntegrityError,
    InvalidConfiguration,
    ObjectNotFound,
    StoreUnavailable,
    WellheadError,
)
from wellhead_storage.uri import StorageUri

EXTRA = "wellhead[kserve]"
_HDFS_PACKAGES = "hdfs, krbcontext and requests-kerberos"

_STATUS = re.compile(r"unexpected http resp (\d{3})")  # dulwich has it in the text only
_ABSENT = {"NotGitRepository", "ResourceNotFoundError", "NotExistError"}
_REFUSED = {"HTTPUnauthorized", "HTTPProxyUnauthorized", "ClientAuthenticationError", "AuthenticationError"}
_TEXTS: tuple[tuple[str, type[WellheadError], str, str], ...] = (
    # Clients: of what HDFS answers, theirs keeps the message only; Azure's has its own words for a missing key.
    ("file does not exist", ObjectNotFound, "", ""),
    ("permission denied", AccessDenied, "it does not permit this user", ""),
    ("authentication failure", AccessDenied, "it does not accept the credentials", ""),
    ("account shared key or sas token", AccessDenied, "it got no credentials", ""),
    # kserve_storage's own sentences
    ("no model found in", ObjectNotFound, "", ""),
    ("failed to unpack archive", IntegrityError, "is no archive that can be unpacked", "Upload it again."),
    # Networks, the particular before the general
    (
        "certificate",
        StoreUnavailable,
        "its TLS certificate is not trusted",
        "Mount the store's CA bundle (KServe: caBundleConfigMapName).",
    ),
    ("name resolution", StoreUnavailable, "its host name cannot be resolved", "Check the host name."),
    ("name or service not known", StoreUnavailable, "its host name cannot be resolved", "Check the host name."),
    ("failed to resolve", StoreUnavailable, "its host name cannot be resolved", "Check the host name."),
    ("connection refused", StoreUnavailable, "it refuses connections", "Check host and port."),
    ("timed out", StoreUnavailable, "it does not answer in time", "Check the network policy."),
    ("unreachable", StoreUnavailable, "there is no route to it", "Check the network policy."),
    ("connection aborted", StoreUnavailable, "it closed the connection", "Try again later."),
    ("connection reset", StoreUnavailable, "it closed the connection", "Try again later."),
)


def explain(links: Sequence[Link], uri: StorageUri) -> WellheadError:
    """The error for a chain of exceptions, the outermost first; its texts hold no secrets any more."""
    return (
        _about_this_container(links, uri)
        or _about_an_answer(links, uri)
        or _about_a_text(links, uri)
        or _unknown(links, uri)
    )


def not_installed() -> InvalidConfiguration:
    """For a machine without the library."""
    return InvalidConfiguration(
        "kserve-storage is not installed, which fetches hdfs://, webhdfs://, modelscope://, Azure Files and Git.",
        f"Install {EXTRA}, or use Wellhead's initializer image.",
    )


def killed(name: str, uri: StorageUri) -> WellheadError:
    """For a child that somebody else ended with a signal."""
    return InvalidConfiguration(
        f"kserve-storage was ended by {name} while it fetched {uri.location}.",
        "Give the container more memory: that is why the kernel kills a process.",
    )


def stalled(seconds: float, uri: StorageUri) -> StoreUnavailable:
    """For a child that neither wrote nor said anything."""
    return StoreUnavailable(
        f"kserve-storage has written nothing for {seconds:g} seconds while it fetched {uri.location}.",
        "Check the network, or raise WELLHEAD_STALL_TIMEOUT, of which this is ten times.",
    )


def _about_this_container(links: Sequence[Link], uri: StorageUri) -> WellheadError | None:
    for link in links:
        if link.module == "kserve_storage":
            return not_installed()
        if link.module and service(uri) == "hdfs":
            return InvalidConfiguration(
                f"{uri.scheme}:// needs the Python packages {_HDFS_PACKAGES}, which kserve-storage does not bring.",
                "Add them to the image, with Kerberos' libraries, or copy the model to an object store.",
            )
        if link.module or "is not installed" in link.message:
            package = link.module or uri.scheme
            return InvalidConfiguration(
                f"{uri.location} needs the Python package {package}, which is not installed.", f"Install {EXTRA}."
            )
        if link.errno in {errno.ENOSPC, errno.EDQUOT}:
            return InsufficientSpace(
                f"The volume was full before {uri.location} was fetched whole.", "Give the volume more room."
            )
        if link.file and service(uri) == "hdfs" and link.errno == errno.ENOENT:
            return InvalidConfiguration(
                f"{uri.location} needs a secret with HDFS_NAMENODE, and there is none at {link.file}.",
                "Put a secret for HDFS on the service account, or name a storage-config entry of type hdfs.",
            )
        if link.file and link.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            return InvalidConfiguration(
                f"{link.file} cannot be written or read, which fetching {uri.location} takes.",
                "Mount a volume there that this user may write.",
            )
    return None


def _about_an_answer(links: Sequence[Link], uri: StorageUri) -> WellheadError | None:
    for link in links:
        found = _STATUS.search(link.message)
        status = link.status or (int(found[1]) if found else 0)
        if status in {404, 410} or link.type in _ABSENT:
            return _absent(uri)
        if status in {401, 403, 407} or link.type in _REFUSED:
            return _refused(uri, f"status {status}" if status else "it does not accept the credentials")
        if status >= 400:
            return StoreUnavailable(
                f"The store answers {status} for {uri.location}.", "Try again later, or look at the store's own log."
            )
    return None


def _about_a_text(links: Sequence[Link], uri: StorageUri) -> WellheadError | None:
    for link in reversed(links):  # the first cause knows best
        low = link.message.lower().replace(uri.key.lower(), "")  # a model may be called anything
        for mark, kind, reason, hint in _TEXTS:
            if mark not in low:
                continue
            if kind is ObjectNotFound:
                return _absent(uri)
            if kind is AccessDenied:
                return _refused(uri, reason)
            if kind is StoreUnavailable:
                return kind(f"The store of {uri.location} cannot be reached: {reason}.", hint)
            return kind(f"{uri.location} {reason}.", hint)
    return None


def _unknown(links: Sequence[Link], uri: StorageUri) -> WellheadError:
    last = links[-1] if links else Link("", "")
    first_line = last.message.strip().partition("\n")[0][:300].rstrip(".") or last.type or "it gave no reason"
    return StoreUnavailable(
        f"kserve-storage could not fetch {uri.location}: {first_line}.",
        "Set WELLHEAD_LOG_LEVEL=debug to see all it says.",
    )


def _absent(uri: StorageUri) -> ObjectNotFound:
    return ObjectNotFound(
        f"{uri.location} does not exist, or holds no files.", "Check the path; names are case-sensitive."
    )


def _refused(uri: StorageUri, reason: str) -> AccessDenied:
    return AccessDenied(f"The store refuses access to {uri.location}: {reason}.", _CREDENTIALS[service(uri)])


_CREDENTIALS = {
    "git": "Check that the repository exists, and GIT_USERNAME and GIT_PASSWORD.",
    "azure": "Check AZURE_STORAGE_ACCESS_KEY, or the signature in the URI.",
    "hdfs": "Check the Kerberos keytab and principal, or the headers, in the secret.",
    "modelscope": "Check MODELSCOPE_API_TOKEN.",
}
