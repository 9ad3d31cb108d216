"""What the Hub's API says of the files of a commit (`/api/models/{repo}/tree/{commit}`). Pure."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field, TypeAdapter

from wellhead_storage.stores.interface import Checksum


class TreeFile(NamedTuple):
    """One file of a commit.

    Attributes:
        path: from the repository's root.
        size: bytes of the content, not of an LFS pointer.
        checksum: SHA-256 of files in LFS or Xet, else Git's blob id.
        xet_hash: what Xet knows the content by, or None.
    """

    path: str
    size: int
    checksum: Checksum
    xet_hash: str | None


class _Lfs(BaseModel):
    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class _Entry(BaseModel):
    type: Literal["file", "directory"]
    path: str
    oid: str
    size: int = Field(default=0, ge=0)
    lfs: _Lfs | None = None
    xet_hash: str | None = Field(default=None, alias="xetHash")


_PAGES = TypeAdapter(list[list[_Entry]])


def parse_tree(pages: list[Any]) -> list[TreeFile]:
    """The files of all pages; folders are left out.

    Raises:
        ValueError: the pages are no tree.
    """
    return [
        TreeFile(
            entry.path,
            entry.lfs.size if entry.lfs else entry.size,
            Checksum("sha256", entry.lfs.oid) if entry.lfs else Checksum("git-sha1", entry.oid),
            entry.xet_hash,
        )
        for page in _PAGES.validate_python(pages)
        for entry in page
        if entry.type == "file"
    ]
