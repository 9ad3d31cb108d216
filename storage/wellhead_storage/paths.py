"""Object names → files below a folder, with no way out of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path, PurePosixPath

from wellhead_storage.errors import IntegrityError

FOLDER = ".wellhead"
"""Our own folder inside a model folder."""

_LONGEST_SEGMENT = 255  # bytes, on every Linux file system that matters


def is_ours(name: str) -> bool:
    """Whether an object is Wellhead's own, and so no part of the model (a manifest, a plan)."""
    return name.partition("/")[0] == FOLDER


def safe_target(folder: Path, name: str) -> Path:
    """The file for an object name, always strictly below `folder`.

    Raises:
        IntegrityError: absolute names, `..`, empty segments, control characters, lone surrogates, over-long segments.
    """
    parts = name.split("/")
    unusable = (
        not name
        or any(part in {"", ".", ".."} for part in parts)
        or any(ord(letter) < 0x20 or ord(letter) == 0x7F or 0xD800 <= ord(letter) < 0xE000 for letter in name)
        or any(len(part.encode()) > _LONGEST_SEGMENT for part in parts)
    )
    if unusable:
        raise IntegrityError(
            f"The object {name!r} cannot be a file inside the model's folder.",
            "Rename or delete that object.",
        )
    return folder.joinpath(*parts)


def refuse_collisions(names: Iterable[str]) -> None:
    """Refuse listings in which one name is both a file and a folder (object stores allow that, disks do not).

    Raises:
        IntegrityError: names the first collision.
    """
    files = set(names)
    for name in sorted(files):
        for parent in PurePosixPath(name).parents:
            if str(parent) in files:
                raise IntegrityError(
                    f"The object {str(parent)!r} is also the folder of {name!r}, which no disk can hold.",
                    "Rename or delete one of them.",
                )


def refuse_doubles(names: Iterable[str]) -> None:
    """Refuse listings in which two objects have one name (`a` and `a/`, which obstore lists as `a` both).

    Raises:
        IntegrityError: names the first such name.
    """
    for name, following in pairwise(sorted(names)):
        if name == following:
            raise IntegrityError(f"Two objects would become the file {name!r}.", "Rename or delete one of them.")
