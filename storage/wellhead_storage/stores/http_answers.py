"""What an answer of a web server says about the file in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import unquote

from wellhead_storage.errors import InvalidUri
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.uri import StorageUri

FIRST_BYTE = "bytes=0-0"
"""What to ask for to learn everything: HEAD is refused by many servers, and by everything that is signed."""

_SPAN = re.compile(r"bytes 0-0/(\d+)")
_FILE_NAME = re.compile(r"filename\*?=(?:UTF-8'')?\"?([^\";]+)", re.IGNORECASE)


def size_beyond(status: int, headers: Mapping[str, str]) -> int | None:
    """The size of a file whose first byte was asked for, or None where the server does not say it in ranges.

    416 alone does not mean an empty file: some servers and proxies give it to every range. Its `Content-Range` does
    (RFC 9110, 15.5.17).
    """
    span = headers.get("content-range", "")
    if status == 416 and span == "bytes */0":
        return 0
    match = _SPAN.fullmatch(span) if status == 206 else None
    return int(match[1]) if match else None


def described(name: str, size: int | None, headers: Mapping[str, str]) -> StoredObject:
    """The file of an answer.

    Args:
        name: of the file.
        size: as `size_beyond` says; None where it has to be read from the start to the end.
        headers: of the answer; names are case-insensitive.
    """
    etag, changed = headers.get("etag"), headers.get("last-modified")
    if size is not None:
        # Parts that nothing marks may be of two editions, but one answer is of one.
        return StoredObject(name, size, etag, changed, ranged=bool(etag or changed) or size == 0)
    length = headers.get("content-length", "")
    sized = length.isdecimal() and "content-encoding" not in headers
    return StoredObject(name, int(length) if sized else 0, etag, changed, ranged=False, sized=sized)


def is_edition(item: StoredObject, headers: Mapping[str, str]) -> bool:
    """Whether an answer is of the edition that was looked at.

    A strong ETag decides alone (a proxy may set `Last-Modified` as it likes); otherwise all that there is.
    """
    etag, changed = headers.get("etag"), headers.get("last-modified")
    if item.etag and not item.etag.startswith("W/"):
        return etag == item.etag
    return (etag, changed) == (item.etag, item.version)


def file_name(uri: StorageUri, headers: Mapping[str, str]) -> str:
    """What the file is to be called: as in the URL, or as the server says where that has no suffix.

    Raises:
        InvalidUri: nobody names a file.
    """
    name = unquote(PurePosixPath(uri.key).name)
    given = _FILE_NAME.search(headers.get("content-disposition", ""))
    if given and not PurePosixPath(name).suffix:
        name = unquote(given[1]).rpartition("/")[2].strip()
    if not name:
        raise InvalidUri(f"{uri.location} names no file.", "Name the file itself.")
    return name


def is_page(headers: Mapping[str, str], name: str) -> bool:
    """Whether a login or error page came instead of a file."""
    return headers.get("content-type", "").lower().startswith("text/html") and not name.lower().endswith(
        (".html", ".htm")
    )
