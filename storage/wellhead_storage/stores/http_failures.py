"""What a web server refuses, and why it is not reached → the errors of `errors.py`. Pure."""

from __future__ import annotations

import socket
import ssl

from wellhead_storage.errors import AccessDenied, IntegrityError, ObjectNotFound, StoreUnavailable, WellheadError
from wellhead_storage.uri import StorageUri

_PASSING = {408, 425, 429}


def refused(status: int, uri: StorageUri, *, has_headers: bool) -> WellheadError:
    """For an answer with an error status; `has_headers` says whether a secret's headers were sent."""
    if status in {401, 403}:
        sent = "with the secret's headers, too" if has_headers else "and no headers were given for its host"
        return AccessDenied(
            f"The server refuses access to {uri.location} (status {status}), {sent}.",
            "Check the secret with https-host and headers; a signed URL may have expired.",
        )
    if status in {404, 410}:
        return ObjectNotFound(f"{uri.location} does not exist.", "Check the URL.")
    if status in _PASSING or status >= 500:
        return StoreUnavailable(
            f"The server keeps answering {status} for {uri.location}.", "Try again later, or look at its own log."
        )
    return AccessDenied(f"The server rejects the request for {uri.location} (status {status}).", "Check the URL.")


def replaced(uri: StorageUri) -> IntegrityError:
    """For an answer of another edition than the one that was looked at."""
    return IntegrityError(
        f"{uri.location} was replaced while it was being read.", "Start again once the upload is finished."
    )


def unreachable(error: Exception, uri: StorageUri) -> StoreUnavailable:
    """For what httpx2 raises when no answer, or not all of it, comes."""
    import httpx2

    text, reason, lasting = str(error), "it broke the connection off", False
    if isinstance(error, httpx2.TimeoutException):
        reason = "it does not answer in time"
    elif isinstance(error, httpx2.ConnectError) and "certificate" in text.lower():
        reason, lasting = "its TLS certificate is not trusted", True
    elif isinstance(error, httpx2.ConnectError):
        reason, lasting = "it cannot be reached", _nobody_is_there(error)
    elif isinstance(error, httpx2.DecodingError):
        reason = "its answer is garbled"
    return StoreUnavailable(
        f"{uri.location} does not come from {uri.container}: {reason}.",
        "Check the host name, the network, and the CA bundle.",
        lasting=lasting,
    )


def _nobody_is_there(error: BaseException) -> bool:
    """The host name is unknown, the port closed, or no TLS spoken; httpx2 keeps the system's own error as cause."""
    cause = error.__cause__ or error.__context__
    if cause is None:
        return False
    return isinstance(cause, socket.gaierror | ConnectionRefusedError | ssl.SSLError) or _nobody_is_there(cause)
