"""Which files are archives, by their names. Pure; cheap to import."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from wellhead_storage.paths import is_ours
from wellhead_storage.stores.interface import StoredObject

Kind = Literal["tar", "zip"]

_SUFFIXES: dict[str, Kind] = {
    ".tar": "tar",
    ".tar.gz": "tar",
    ".tgz": "tar",
    ".tar.bz2": "tar",
    ".tar.xz": "tar",
    ".zip": "zip",
}


def kind_of(name: str) -> Kind | None:
    """What kind of archive a file is, or None."""
    low = name.lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if low.endswith(suffix) and low != suffix), None)


def is_archive(name: str) -> bool:
    """Whether a file is an archive: `.tar .tar.gz .tgz .tar.bz2 .tar.xz .zip`."""
    return kind_of(name) is not None


def only_archive(objects: Iterable[StoredObject]) -> StoredObject | None:
    """The archive that a folder consists of, if it does; our own notes, as a mirror has them, do not count."""
    others = [item for item in objects if not is_ours(item.name)]
    return others[0] if len(others) == 1 and is_archive(others[0].name) else None
