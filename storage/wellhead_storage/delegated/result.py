"""What the library left in the folder → plain files that may be published."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from wellhead_storage.delegated.services import service
from wellhead_storage.errors import IncompleteCheckpoint, IntegrityError, ObjectNotFound
from wellhead_storage.uri import StorageUri

_POINTER = b"version https://git-lfs.github.com/spec/"
_LONGEST_POINTER = 1024  # bytes, by Git LFS's specification


def settle(folder: Path, uri: StorageUri) -> None:
    """Make the folder hold the model and nothing else, as plain files that any user may read.

    Links inside it become files, Git's own folder goes, and what the library put deeper comes up.

    Raises:
        ObjectNotFound: there is no file.
        IntegrityError: a link that leads out of the folder or to nothing, a link to a folder, a device.
        IncompleteCheckpoint: a file is only a pointer to Git's large file storage.
    """
    if service(uri) == "git":
        shutil.rmtree(folder / ".git", ignore_errors=True)  # everything is in it a second time
    if service(uri) == "azure":
        _lift(folder, uri.key.partition("/")[2])
    root = folder.resolve()
    files = 0
    for path in _entries(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            _become_file(path, name, root, uri)
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            files += 1
            _refuse_pointer(path, name, uri)
        elif not stat.S_ISDIR(mode):
            raise IntegrityError(f"{uri.child(name)} is neither a file nor a folder.", "Remove it from the model.")
        path.chmod(0o755 if stat.S_ISDIR(mode) else 0o644)
    if not files:
        raise ObjectNotFound(f"{uri.location} holds no files.", "Check the path, and the allow and ignore patterns.")


def _lift(folder: Path, path: str) -> None:
    """Put the model where it belongs: from Azure Files the library keeps the whole path within the share."""
    if path and (folder / path).is_dir():
        aside = folder.with_name(f"{folder.name}.share")
        folder.rename(aside)
        (aside / path).rename(folder)
        shutil.rmtree(aside)


def _entries(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(parent, name)


def _become_file(link: Path, name: str, root: Path, uri: StorageUri) -> None:
    """Put the file in the place of the link: a link that leaves the folder could show the engine anything."""
    target = Path(os.path.realpath(link))  # unlike Path.resolve, calm about links that lead to themselves
    if not target.is_relative_to(root) or not target.is_file():
        raise IntegrityError(
            f"{uri.child(name)} is a link that leads to no file of the model.", "Put the file in its place."
        )
    link.unlink()
    os.link(target, link)


def _refuse_pointer(path: Path, name: str, uri: StorageUri) -> None:
    if path.lstat().st_size > _LONGEST_POINTER:
        return
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise IncompleteCheckpoint(
                f"{uri.child(name)} is only a pointer to Git's large file storage, which did not hand out the file.",
                "Check that the server has it, or copy the model to an object store.",
            )
