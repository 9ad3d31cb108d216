"""Client errors → the errors of `errors.py`, each with the sentence a user can act on.

obstore classifies errors of single objects, but a failed *listing* is always a `GenericError` that carries the
status and the store's error code in its text only (seen with 0.12.1: wrong key, wrong bucket, refused connection).
So both are read out of the text by one strict pattern each, here and nowhere else.
"""

from __future__ import annotations

import re

from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from wellhead_storage.errors import (
    AccessDenied,
    IntegrityError,
    InvalidConfiguration,
    ObjectNotFound,
    StoreUnavailable,
    WellheadError,
)

_STATUS = re.compile(r"status code: (\d{3})")
_ENDPOINT = re.compile(r"performing [A-Z]+ (https?://[^/\s?]+)")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_BAD_KEY = re.compile(r'(?:Path|path segment) "(?P<key>[^"]*)"')

_SIGNING_IN = "MicrosoftAzure error: Error performing token request"
_SIGN_IN_CODE = re.compile(r"AADSTS\d+")

_OTHER_RANGE = re.compile(r"Requested \S+, got \S+")

_KEY_REASONS = {
    "InvalidAccessKeyId": "it does not know the access key id",
    "SignatureDoesNotMatch": "the secret access key does not belong to the access key id",
    "ExpiredToken": "the session token has expired",
    "InvalidToken": "the session token is not valid",
    "TokenRefreshRequired": "the session token has expired",
    "RequestTimeTooSkewed": "this machine's clock differs from its own by more than 15 minutes",
    "AccessDenied": "these credentials may not read it",
    "AuthenticationFailed": "key, signature or token do not belong to the storage account",
    "AuthorizationFailure": "these credentials may not read it, or the account's firewall lets nobody in from here",
    "AuthorizationPermissionMismatch": "these credentials lack the role Storage Blob Data Reader",
    "PublicAccessNotPermitted": "nobody may read it without credentials",
}
_WHAT_TO_CHECK = {
    "s3": "Check the secret on the service account and the bucket's policy (s3:ListBucket, s3:GetObject).",
    "gs": "Check the secret on the service account, and that it has the role Storage Object Viewer "
    "(for streaming Storage Legacy Bucket Reader, too).",
    "az": "Check the secret on the service account, and that it may list and read the container.",
}
# mark in the text, reason, hint, whether it lasts
_DETAILS = (
    ("dns error", "its host name cannot be resolved", "Check the endpoint's host name.", True),
    ("connection refused", "it refuses connections", "Check the endpoint's port and that the store runs.", True),
    ("certificate", "its TLS certificate is not trusted", "Name the store's CA bundle in the secret.", True),
    ("invalidcontenttype", "it does not speak TLS", "Use an http:// endpoint, or S3_USE_HTTPS=0.", True),
    ("operation timed out", "it does not answer in time", "Check the network policy and the endpoint.", False),
    ("timedout", "it does not answer in time", "Check the network policy and the endpoint.", False),
)


def explain(error: Exception, location: str) -> WellheadError:
    """The Wellhead error for what obstore (or its path parser) raised about `location`."""
    text = str(error)
    status_match, code_match = _STATUS.search(text), _CODE.search(text)
    status = int(status_match[1]) if status_match else 0
    code = code_match[1] if code_match else ""

    if code == "NoSuchBucket":
        return ObjectNotFound(f"The bucket of {location} does not exist.", "Check the bucket name and endpoint.")
    if code == "ContainerNotFound":
        return ObjectNotFound(f"The container of {location} does not exist.", "Check container and account.")
    if "Invalid Access Key" in text or "Unable to decode service account" in text:
        # The rest of its text may show parts of the key.
        return InvalidConfiguration(f"The key for {location} is not one.", "Correct the secret on the service account.")
    if isinstance(error, PreconditionError) or status == 412:
        return replaced(location)
    if isinstance(error, (NotFoundError, FileNotFoundError)) or status == 404:
        return ObjectNotFound(f"{location} does not exist.", "Check the path; names are case-sensitive.")
    refused = isinstance(error, (PermissionDeniedError, UnauthenticatedError, PermissionError)) or (
        status == 400 and _SIGNING_IN in text
    )
    if refused or status in {401, 403} or code in _KEY_REASONS:  # AWS answers 400 to expired tokens
        return _not_signed_in(location, text, status) if _SIGNING_IN in text else _denied(location, code, status)
    if _OTHER_RANGE.search(text):
        return IntegrityError(
            f"{location} came as another range than the one asked for.",
            "Check the proxy or cache in front of the store.",
            passing=True,
        )
    if "Received non-partial response" in text:
        return IntegrityError(
            f"{location} came whole where a part was asked for.",
            "Use a store that serves ranges, or check the proxy or cache in front of it.",
            passing=True,
        )
    if "error following redirect" in text:  # more than ten of them
        return InvalidConfiguration(
            f"The store of {location} redirects in a circle.", "Check the endpoint, and the proxy in front of it."
        )
    if (
        status in {301, 307, 308}
        or code in {"PermanentRedirect", "AuthorizationHeaderMalformed"}
        or "redirect without LOCATION" in text  # how obstore shows AWS's 301
    ):
        return InvalidConfiguration(
            f"{location} lies in another region than the one asked.",
            "Set the bucket's region (serving.kserve.io/s3-region, or ?region= in the URI).",
        )
    if status == 400:
        return InvalidConfiguration(
            f"The store rejects the request for {location} as malformed ({code or 'status 400'}).",
            "Check region, endpoint and addressing style.",
        )
    if "illegal character" in text or "empty path segment" in text or "Could not parse path" in text:
        return unusable_key(location, _BAD_KEY.search(text))
    return _unavailable(location, text, status, code)


def replaced(location: str) -> IntegrityError:
    """For an object that is of another edition than the one that was listed."""
    return IntegrityError(
        f"{location} was replaced while it was being read.", "Start again once the upload is finished."
    )


def unusable_key(location: str, match: re.Match[str] | None = None, key: str = "") -> IntegrityError:
    """For keys such as `a//b` or `../x` that cannot become a file below the destination."""
    name = match["key"] if match else key
    return IntegrityError(
        f"{location} holds the key {name!r}, which cannot be a file inside the model's folder.",
        "Rename or delete that object.",
    )


def _denied(location: str, code: str, status: int) -> AccessDenied:
    reason = _KEY_REASONS.get(code, f"status {status or 403}{', ' + code if code else ''}")
    return AccessDenied(
        f"The store refuses access to {location}: {reason}.",
        _WHAT_TO_CHECK[location.partition("://")[0] if location.startswith(("gs", "az")) else "s3"],
    )


def _not_signed_in(location: str, text: str, status: int) -> AccessDenied:
    """It is not the store that refuses, but Microsoft Entra or the node's metadata service."""
    code = match[0] if (match := _SIGN_IN_CODE.search(text)) else f"status {status}"
    at = f" at {endpoint[1]}" if (endpoint := _ENDPOINT.search(text)) else ""
    return AccessDenied(
        f"Azure's identity service{at} gives no token for {location}: {code}.",
        "Check client id, tenant and secret of the service principal, or that the identity exists and is bound to the "
        "pod or its node.",
    )


def _unavailable(location: str, text: str, status: int, code: str) -> StoreUnavailable:
    if status:
        return StoreUnavailable(
            f"The store keeps answering {status}{' ' + code if code else ''} for {location}.",
            "Try again later, or look at the store's own log.",
        )
    low = text.lower()
    for mark, reason, hint, lasting in _DETAILS:
        if mark in low:
            # The user may never have typed the endpoint: it can come from KServe's ConfigMap.
            at = f" at {endpoint[1]}" if (endpoint := _ENDPOINT.search(text)) else ""
            return StoreUnavailable(f"The store of {location} cannot be reached{at}: {reason}.", hint, lasting=lasting)
    first = text.splitlines()[0] if text else "no reason given"
    return StoreUnavailable(
        f"The store of {location} cannot be read: {first[:300]}.",
        "Check endpoint and network.",
        lasting=True,  # no answer that makes sense: TLS where none is expected, a proxy's page, no request at all
    )


CLIENT_ERRORS = (BaseError, OSError, ValueError)
"""What obstore raises: its own tree, Python's file errors for it, and ValueError for keys."""
