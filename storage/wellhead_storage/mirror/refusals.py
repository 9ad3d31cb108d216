"""What a destination refuses → errors of `errors.py`, with sentences about writing."""

from __future__ import annotations

import re

from wellhead_storage.errors import (
    AccessDenied,
    InsufficientSpace,
    IntegrityError,
    ObjectNotFound,
    StoreUnavailable,
    WellheadError,
)
from wellhead_storage.stores.failures import explain
from wellhead_storage.uri import StorageUri

_CODE = re.compile(r"<Code>(\w+)</Code>|\(code: (\w+)\)")  # the second form is that of bulk deletions
_DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "Md5Mismatch"}
_FULL = {"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "EntityTooLarge"}
_RIGHTS = {
    "s3": "s3:PutObject, s3:GetObject, s3:ListBucket, s3:DeleteObject and s3:AbortMultipartUpload",
    "gs": "storage.objects.create, get, list and delete and storage.multipartUploads.*",
    "az": "the role Storage Blob Data Contributor",
}


def explain_writing(error: Exception, folder: StorageUri, name: str) -> WellheadError:
    """The Wellhead error for what obstore raised while it wrote or deleted an object of the folder."""
    location, text = folder.child(name), str(error)
    match = _CODE.search(text)
    code = (match[1] or match[2]) if match else ""
    if code in _DAMAGED:
        return IntegrityError(
            f"{location} arrived at the store with other bytes than were sent ({code}).",
            "Check the proxy in front of the store.",
        )
    if code in _FULL or "status code: 507" in text:
        return InsufficientSpace(f"The store has no room for {location} ({code or 507}).", "Raise its quota.")
    found = explain(error, location)
    if isinstance(found, AccessDenied) or code == "AccessDenied":
        reason = found.problem.rpartition(": ")[2] if isinstance(found, AccessDenied) else "status 403, AccessDenied."
        return AccessDenied(
            f"The store refuses to write {location}: {reason.replace('may not read it', 'may not write it')}",
            f"The destination's credentials need {_RIGHTS.get(folder.kind, 'write access')}; WELLHEAD_DST_* variables "
            "give it credentials of its own.",
        )
    if isinstance(found, ObjectNotFound):
        return ObjectNotFound(
            f"The bucket or container of {folder.location} does not exist.", "Create it, or check name and endpoint."
        )
    if isinstance(found, StoreUnavailable):
        found.problem = found.problem.replace("cannot be read", "cannot be written")
    return found
