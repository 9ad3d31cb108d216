"""What S3 says about files in a folder: listings and ETags. No network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
# What `aws s3 cp` and boto3 upload in one piece, so that the ETag is an MD5 sum, and in which pieces else.
_PIECE = 8 * 1024 * 1024


@dataclass(frozen=True)
class StoredFile:
    """An object; `etag` has its quotes, `modified` is in seconds since 1970."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: float


def stored_files(root: Path) -> tuple[StoredFile, ...]:
    """Every file below `root`, whose folders are buckets, in S3's order."""
    found = []
    for path in root.rglob("*"):
        if path.is_file():
            bucket, _, key = path.relative_to(root).as_posix().partition("/")
            status = path.stat()
            found.append(StoredFile(bucket, key, status.st_size, etag(path), status.st_mtime))
    return tuple(sorted(found, key=lambda file: (file.bucket, file.key.encode())))


def etag(path: Path) -> str:
    """S3's ETag: the MD5 sum of a small object; of a large one something that is none, and the number of pieces.

    A large object's is made of its name, not of its content as S3 would: no client can check it.
    """
    size = path.stat().st_size
    if size < _PIECE:
        return f'"{hashlib.md5(path.read_bytes()).hexdigest()}"'
    return f'"{hashlib.md5(path.name.encode()).hexdigest()}-{-(-size // _PIECE)}"'


def listing(files: Iterable[StoredFile], bucket: str, query: Mapping[str, str]) -> bytes:
    """The answer to ListObjects and ListObjectsV2: one page, however long.

    Args:
        files: of all buckets.
        bucket: the one that is asked.
        query: `prefix` and `delimiter` are honoured.
    """
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    contents, folders = [], set()
    for file in files:
        if file.bucket != bucket or not file.key.startswith(prefix):
            continue
        head, found, _ = file.key[len(prefix) :].partition(delimiter) if delimiter else (file.key, "", "")
        if found:
            folders.add(prefix + head + found)
        else:
            contents.append(file)
    result = ET.Element("ListBucketResult", xmlns=_NAMESPACE)
    _add(result, Name=bucket, Prefix=prefix, Delimiter=delimiter, MaxKeys="1000", IsTruncated="false")
    _add(result, KeyCount=str(len(contents) + len(folders)))
    for file in contents:
        modified = datetime.fromtimestamp(file.modified, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        entry = ET.SubElement(result, "Contents")
        _add(entry, Key=file.key, LastModified=modified, ETag=file.etag, Size=str(file.size), StorageClass="STANDARD")
    for folder in sorted(folders):
        _add(ET.SubElement(result, "CommonPrefixes"), Prefix=folder)
    return _text(result)


def location() -> bytes:
    """The answer to GetBucketLocation in us-east-1."""
    return _text(ET.Element("LocationConstraint", xmlns=_NAMESPACE))


def _text(element: ET.Element) -> bytes:
    return bytes(ET.tostring(element, encoding="utf-8", xml_declaration=True))


def _add(parent: ET.Element, **children: str) -> None:
    for name, text in children.items():
        ET.SubElement(parent, name).text = text
