"""What has been copied so far, kept in the destination itself, so that an interrupted mirror goes on from there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from wellhead_storage.errors import WellheadError
from wellhead_storage.logs import log
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME, Manifest, ManifestFile, parse_manifest
from wellhead_storage.mirror.targets import Target

_SAVE_EVERY = 1.0  # seconds: many small objects are one write


def read_records(target: Target, names: Iterable[str]) -> tuple[Manifest | None, Manifest | None]:
    """Manifest and progress record of a destination, as far as its listing shows them and they can be read."""
    present = set(names)

    def read(name: str) -> Manifest | None:
        raw = target.read(name) if name in present else None
        return parse_manifest(raw) if raw else None

    return read(MANIFEST_NAME), read(PROGRESS_NAME)


def encode(manifest: Manifest) -> bytes:
    """As it is written."""
    return (manifest.model_dump_json(indent=1) + "\n").encode()


class Record:
    """The copies that are whole; called from many threads.

    Args:
        target: where the record is kept.
        head: a manifest without files: whose copies these are.
        files: what is known already.
    """

    def __init__(self, target: Target, head: Manifest, files: Iterable[ManifestFile]) -> None:
        self._target, self._head = target, head
        self._files = {file.name: file for file in files}
        self._saved = float("-inf")
        self._changed = False
        self._lock = threading.Lock()

    def add(self, file: ManifestFile) -> None:
        """One more is whole; written now and then."""
        with self._lock:
            self._files[file.name] = file
            self._changed = True
            if time.monotonic() - self._saved < _SAVE_EVERY:
                return
            try:
                self._save()
            except WellheadError as error:
                log.debug("the progress record was not written: %s", error.problem)  # the next time, or the end, tells

    def begin(self) -> bytes:
        """Write it for the first time, and return what it is now.

        Raises:
            AccessDenied, ObjectNotFound, …: the destination cannot be written.
        """
        with self._lock:
            return self._save()

    def save(self) -> None:
        """Write what is new.

        Raises:
            AccessDenied, ObjectNotFound, …: the destination cannot be written.
        """
        with self._lock:
            if self._changed:
                self._save()

    def _save(self) -> bytes:
        raw = encode(self._head.model_copy(update={"files": tuple(self._files.values())}))
        self._target.put(PROGRESS_NAME, raw)
        self._saved, self._changed = time.monotonic(), False
        return raw
