"""Which files are archives, by their names. Pure; cheap to import."""

from __future__ import annotations

from typing import Literal

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
