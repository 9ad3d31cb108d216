"""What a Hub refuses, and why it is not reached → the errors of `errors.py`. Pure.

The Hub tells apart by `X-Error-Code` what its statuses do not: 401 may be a gated, a private or no repository
(huggingface_hub 2.4, `hf_raise_for_status`).
"""

from __future__ import annotations

from collections.abc import Mapping

from wellhead_storage.errors import AccessDenied, ObjectNotFound, StoreUnavailable, WellheadError
from wellhead_storage.uri import StorageUri


def refused(
    status: int, headers: Mapping[str, str], where: str, uri: StorageUri, endpoint: str, signed: bool
) -> WellheadError:
    """For an answer with an error status.

    Args:
        status: 400 and more.
        headers: of the answer; names are case-insensitive.
        where: what was asked for.
        uri: the model.
        endpoint: of the Hub.
        signed: a token was sent.
    """
    name, page, code = uri.container, f"{endpoint}/{uri.container}", headers.get("x-error-code", "")
    if code == "GatedRepo":
        why = "the account of HF_TOKEN has no access to it" if signed else "no token was given"
        return AccessDenied(
            f"{name} is gated, and {why}.", f"Accept the licence at {page}, and give HF_TOKEN of that account."
        )
    if code == "RevisionNotFound":
        return ObjectNotFound(
            f"{name} has no revision {uri.revision!r}.",
            f"Name a branch, tag or commit of {page}, behind the folder if there is one.",
        )
    if code == "EntryNotFound" or (status == 404 and where != uri.location):
        return ObjectNotFound(f"{where} does not exist.", f"Look at {page}; names are case-sensitive.")
    if status == 404 or (code == "RepoNotFound" and signed):
        return ObjectNotFound(
            f"{endpoint} has no model {name}{' that the account of HF_TOKEN may see' * signed}.",
            "Check owner and name; they are case-sensitive.",
        )
    if status == 401 and signed:
        return AccessDenied(
            f"{endpoint} does not accept the token for {name}: it is unknown, revoked or expired.",
            "Give a valid HF_TOKEN.",
        )
    if status == 401:
        return AccessDenied(
            f"{endpoint} shows {name} to nobody without a token: it is private, or does not exist.",
            "Check owner and name, or give HF_TOKEN of an account that may read it.",
        )
    if status in {403, 451}:
        said = headers.get("x-error-message", "")[:200].rstrip(".")
        return AccessDenied(
            f"{endpoint} refuses access to {where}: {said or f'status {status}'}.",
            "Give HF_TOKEN with the permission to read this repository.",
        )
    hint = "Give HF_TOKEN, whose limits are higher, or mirror the model." if status == 429 else "Try again later."
    return StoreUnavailable(f"{endpoint} answers {status} for {where}.", hint)


def unreachable(error: Exception, where: str, endpoint: str) -> StoreUnavailable:
    """For what httpx2 raises when no answer, or not all of it, comes."""
    import httpx2

    reason, hint = "it broke the connection off", "Check HF_ENDPOINT, the network and proxies."
    if is_distrust(error):
        reason, hint = "its TLS certificate is not trusted", "Name its CA bundle in REQUESTS_CA_BUNDLE."
    elif isinstance(error, httpx2.TimeoutException):
        reason = "it does not answer in time"
    elif isinstance(error, httpx2.ConnectError | httpx2.ProxyError):
        reason = f"it cannot be reached ({str(error)[:200]})"
    return StoreUnavailable(f"{where} does not come from {endpoint}: {reason}.", hint)


def is_distrust(error: Exception) -> bool:
    """Whether it failed for the certificate, which no second try mends."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
