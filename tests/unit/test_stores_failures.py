"""What a client library raises becomes the one error a user can act on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.exceptions import (
    BaseError,
    GenericError,
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
from wellhead_storage.stores.failures import CLIENT_ERRORS, explain, unusable_key

WHERE = "s3://models/llama"


def listing_failed(status: int, code: str = "") -> GenericError:
    """As obstore 0.12 writes it."""
    body = f"<Error><Code>{code}</Code><Message>…</Message></Error>" if code else ""
    return GenericError(
        f"Generic S3 error: Error performing list request: Error performing GET http://minio:9000/models?list-type=2 "
        f"in 1.5ms - Server returned non-2xx status code: {status} Text: {body}"
    )


def unreachable(detail: str) -> GenericError:
    return GenericError(
        "Generic S3 error: Error performing list request: Error performing GET http://minio:9000/models in 30s, "
        f"after 5 retries, max_retries: 5, retry_timeout: 30s - HTTP error: error sending request: {detail}"
    )


def no_token(status: int, text: str) -> GenericError:
    return GenericError(
        "Generic MicrosoftAzure error: Error performing token request: Error performing POST "
        f"https://login.microsoftonline.com/t/oauth2/v2.0/token in 1ms - Server returned non-2xx status code: {status} "
        f"Bad Request: {text}"
    )


CASES: dict[str, tuple[Exception, type[WellheadError], str]] = {
    "no bucket": (listing_failed(404, "NoSuchBucket"), ObjectNotFound, f"The bucket of {WHERE} does not exist"),
    "no object": (NotFoundError("Object at location x not found"), ObjectNotFound, f"{WHERE} does not exist"),
    "no file": (FileNotFoundError(2, "No such file"), ObjectNotFound, f"{WHERE} does not exist"),
    "404 without a code": (listing_failed(404), ObjectNotFound, f"{WHERE} does not exist"),
    "replaced meanwhile": (PreconditionError("…"), IntegrityError, "was replaced while it was being read"),
    "412": (listing_failed(412, "PreconditionFailed"), IntegrityError, "was replaced while it was being read"),
    "unknown key": (listing_failed(403, "InvalidAccessKeyId"), AccessDenied, "does not know the access key id"),
    "wrong secret": (
        listing_failed(403, "SignatureDoesNotMatch"),
        AccessDenied,
        "does not belong to the access key id",
    ),
    "expired": (listing_failed(400, "ExpiredToken"), AccessDenied, "session token has expired"),
    "bad token": (listing_failed(400, "InvalidToken"), AccessDenied, "session token is not valid"),
    "a clock that is wrong": (listing_failed(403, "RequestTimeTooSkewed"), AccessDenied, "clock differs"),
    "denied": (listing_failed(403, "AccessDenied"), AccessDenied, "these credentials may not read it"),
    "403 of a proxy": (listing_failed(403), AccessDenied, "status 403."),
    "another code": (listing_failed(403, "AllAccessDisabled"), AccessDenied, "status 403, AllAccessDisabled"),
    "401": (listing_failed(401), AccessDenied, "status 401"),
    "denied for an object": (PermissionDeniedError("… status code: 403 …"), AccessDenied, "refuses access"),
    "nobody": (UnauthenticatedError("…"), AccessDenied, "refuses access"),
    "a file of another user": (PermissionError(13, "Permission denied"), AccessDenied, "refuses access"),
    "another region": (listing_failed(301, "PermanentRedirect"), InvalidConfiguration, "another region"),
    "another region, too": (
        listing_failed(400, "AuthorizationHeaderMalformed"),
        InvalidConfiguration,
        "another region",
    ),
    "no managed identity": (no_token(400, '{"error_description":"Identity not found"}'), AccessDenied, "status 400."),
    "a principal's wrong secret": (
        no_token(401, '{"error_description":"AADSTS7000215: Invalid client secret provided."}'),
        AccessDenied,
        f"identity service at https://login.microsoftonline.com gives no token for {WHERE}: AADSTS7000215.",
    ),
    "an identity service that is down": (no_token(503, ""), StoreUnavailable, "keeps answering 503"),
    "a redirect": (listing_failed(307), InvalidConfiguration, "another region"),
    "a lasting redirect": (listing_failed(308), InvalidConfiguration, "another region"),
    "a redirect to nowhere": (
        GenericError("Generic S3 error: Received redirect without LOCATION, this normally indicates …"),
        InvalidConfiguration,
        "another region",
    ),
    "malformed": (listing_failed(400, "InvalidRequest"), InvalidConfiguration, "malformed (InvalidRequest)"),
    "400": (listing_failed(400), InvalidConfiguration, "malformed (status 400)"),
    "an unusable key": (
        GenericError('Path "llama/a//b" contained empty path segment'),
        IntegrityError,
        "the key 'llama/a//b'",
    ),
    "overloaded": (listing_failed(503, "SlowDown"), StoreUnavailable, "keeps answering 503 SlowDown"),
    "broken": (listing_failed(500), StoreUnavailable, f"keeps answering 500 for {WHERE}"),
    "no such host": (unreachable("dns error: failed to lookup"), StoreUnavailable, "host name cannot be resolved"),
    "nobody listens": (unreachable("Connection refused (os error 111)"), StoreUnavailable, "refuses connections"),
    "a private CA": (unreachable("invalid peer certificate: UnknownIssuer"), StoreUnavailable, "not trusted"),
    "TLS to a plain port": (
        unreachable("received corrupt message of type InvalidContentType"),
        StoreUnavailable,
        "does not speak TLS",
    ),
    "silence": (unreachable("operation timed out"), StoreUnavailable, "does not answer in time"),
    "something else": (
        GenericError("The moon is full.\nDetails."),
        StoreUnavailable,
        "cannot be read: The moon is full.",
    ),
    "nothing at all": (GenericError(""), StoreUnavailable, "no reason given"),
}


@pytest.mark.parametrize("case", CASES)
def test_explanations(case: str) -> None:
    raised, kind, words = CASES[case]
    error = explain(raised, WHERE)
    assert type(error) is kind
    assert words in error.problem
    assert WHERE in error.problem
    assert error.hint
    assert isinstance(raised, CLIENT_ERRORS), "what is explained is also caught"


@given(st.text(), st.sampled_from([GenericError, ValueError, OSError]))
def test_whatever_is_raised_has_an_explanation(text: str, kind: type[Exception]) -> None:
    error = explain(kind(text), WHERE)
    assert WHERE in error.problem
    assert len(error.problem) < 500


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_has_an_explanation(status: int) -> None:
    assert explain(listing_failed(status), WHERE).exit_code in {11, 12, 16, 17, 19}


@pytest.mark.parametrize("case", [name for name, (_, kind, _) in CASES.items() if kind is StoreUnavailable])
def test_what_may_pass_is_told_from_what_lasts(case: str) -> None:
    error = explain(CASES[case][0], WHERE)
    assert isinstance(error, StoreUnavailable)
    assert error.lasting == (case not in {"overloaded", "broken", "silence", "an identity service that is down"})


def test_an_unreachable_store_is_named_by_its_endpoint() -> None:
    """The user may never have typed it: it can come from KServe's ConfigMap."""
    error = explain(unreachable("Connection refused (os error 111)"), WHERE)
    assert error.problem == f"The store of {WHERE} cannot be reached at http://minio:9000: it refuses connections."
    other = explain(GenericError("Connection refused"), WHERE)
    assert other.problem == f"The store of {WHERE} cannot be reached: it refuses connections."


def test_a_key_that_cannot_be_a_file() -> None:
    assert "the key '../x'" in unusable_key(WHERE, key="../x").problem


def test_obstores_own_tree_is_covered() -> None:
    assert BaseError in CLIENT_ERRORS
