"""The folder of a catalog: what an earlier run left there stays, unless it is about the same model.

Only files that `wellhead catalog` wrote are touched, which their first line says; a file of anybody else is refused,
because YAML that is read and written again has lost its comments. Every file is whole or absent at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from wellhead_cluster.catalog.documents import Unreadable, read_documents, write_documents
from wellhead_cluster.catalog.problems import Problem
from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.files import disk_errors, publish_bytes
from wellhead_storage.logs import log

HEADER = "# Written by `wellhead catalog`, which replaces models of the same name. Comments do not stay.\n"
CONFIG_MAP = 1024 * 1024
"""Bytes that Kubernetes takes in one."""

T = TypeVar("T")
Check = Callable[[Sequence[object]], list[Problem]]


def read_ours(path: Path, check: Check) -> list[Any]:
    """The documents of a file that an earlier run wrote; none where there is no file.

    Args:
        path: of the file.
        check: finds its mistakes.

    Raises:
        InvalidConfiguration: it is somebody else's, or was changed so that a catalog would not take it.
    """
    try:
        with disk_errors(path.parent):
            text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return []
    if not text.startswith(HEADER):
        raise InvalidConfiguration(
            f"{path} was not written by `wellhead catalog`, and is not overwritten.",
            "Name another folder, or leave --output out and copy what is printed.",
        )
    try:
        documents = read_documents(text)
    except Unreadable as error:
        raise InvalidConfiguration(
            f"{path} cannot be read: {error}.", "Correct it, or delete it to start anew."
        ) from None
    _refuse(path, check(documents), "Correct it, or delete it to start anew.")
    return documents


def merged(old: Sequence[T], new: Sequence[T], key: Callable[[T], Hashable]) -> list[T]:
    """Both, each of `new` in the place of the one in `old` with the same key, or behind all."""
    fresh = {key(each): each for each in new}
    kept = [fresh.pop(key(each), each) for each in old]
    return [*kept, *fresh.values()]


def checked_text(path: Path, documents: Sequence[object], check: Check) -> str:
    """The text of a file, read again and checked as the catalog would.

    Raises:
        InvalidConfiguration: something of it would be lost.
    """
    text = HEADER + write_documents(documents)
    problems = check(read_documents(text))
    _refuse(path, problems, "Give other names or URIs; nothing was written.")
    for problem in problems:
        log.warning("%s: %s", path, problem)
    return text


def write(path: Path, text: str) -> None:
    """Put a checked text in place.

    Raises:
        InvalidConfiguration: it cannot be written there.
        InsufficientSpace: the volume is full.
    """
    data = text.encode()
    if len(data) > CONFIG_MAP:
        log.warning("%s has %d bytes, and a ConfigMap takes %d", path, len(data), CONFIG_MAP)
    publish_bytes(path, data)


def _refuse(path: Path, problems: Sequence[Problem], hint: str) -> None:
    lost = [problem for problem in problems if problem.lost]
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise InvalidConfiguration(f"{path} would lose something in the catalog: {lost[0]}{more}.", hint)
