"""What a destination refuses, in sentences about writing."""

from __future__ import annotations

import pytest
from obstore.exceptions import GenericError, NotFoundError, PermissionDeniedError

from wellhead_storage.errors import (
    AccessDenied,
    InsufficientSpace,
    IntegrityError,
    ObjectNotFound,
    StoreUnavailable,
    WellheadError,
)
from wellhead_storage.mirror.refusals import explain_writing
from wellhead_storage.uri import parse


def answer(status: int, code: str) -> str:
    return f"Error performing PUT http://s3/x: Server returned non-2xx status code: {status}: <Code>{code}</Code>"


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (
            PermissionDeniedError(answer(403, "AccessDenied")),
            AccessDenied,
            "The store refuses to write s3://models/llama/a: these credentials may not write it.",
        ),
        (
            GenericError("DeleteObjects request failed for key a: Access Denied. (code: AccessDenied)"),
            AccessDenied,
            "The store refuses to write s3://models/llama/a: status 403, AccessDenied.",
        ),
        (
            PermissionDeniedError(answer(403, "InvalidAccessKeyId")),
            AccessDenied,
            "The store refuses to write s3://models/llama/a: it does not know the access key id.",
        ),
        (
            NotFoundError(answer(404, "NoSuchBucket")),
            ObjectNotFound,
            "The bucket or container of s3://models/llama does not exist.",
        ),
        (
            GenericError(answer(400, "BadDigest")),
            IntegrityError,
            "s3://models/llama/a arrived at the store with other bytes than were sent (BadDigest).",
        ),
        (
            GenericError(answer(507, "XMinioStorageFull")),
            InsufficientSpace,
            "The store has no room for s3://models/llama/a (XMinioStorageFull).",
        ),
        (
            GenericError(answer(503, "SlowDown")),
            StoreUnavailable,
            "The store keeps answering 503 SlowDown for s3://models/llama/a.",
        ),
        (
            GenericError("something else"),
            StoreUnavailable,
            "The store of s3://models/llama/a cannot be written: something else.",
        ),
    ],
)
def test_sentences(error: Exception, kind: type[WellheadError], sentence: str) -> None:
    found = explain_writing(error, parse("s3://models/llama"), "a")
    assert (type(found), found.problem) == (kind, sentence)


@pytest.mark.parametrize(
    ("uri", "right"),
    [("s3://models/x", "s3:PutObject"), ("gs://models/x", "storage.objects.create"), ("az://m@acct/x", "Contributor")],
)
def test_the_rights_that_are_needed_are_named(uri: str, right: str) -> None:
    found = explain_writing(PermissionDeniedError(answer(403, "AccessDenied")), parse(uri), "a")
    assert right in found.hint
    assert "WELLHEAD_DST_" in found.hint
