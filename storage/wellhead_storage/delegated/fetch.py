"""Fetching with `kserve_storage`, in a process of its own.

The library changes the environment, writes to stdout, waits for silent servers for ever and cannot be interrupted. So
it runs in a child process that is heard (its lines become debug lines of our log, without secrets), watched and ended.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from wellhead_storage.delegated import failures
from wellhead_storage.delegated.process import Child, running
from wellhead_storage.delegated.report import read
from wellhead_storage.delegated.result import settle
from wellhead_storage.delegated.secrets import redactor
from wellhead_storage.delegated.services import service, spelling
from wellhead_storage.files import disk_errors, in_gib
from wellhead_storage.logs import log
from wellhead_storage.settings import Settings
from wellhead_storage.uri import StorageUri

# Of the stall time-out: the library's clients try again by themselves, and Git is silent while it resolves deltas.
_PATIENCE = 10
_LINE_EVERY = 5.0  # seconds between lines about progress
_MEASURE_EVERY = 1.0  # seconds


def fetch_delegated(
    uri: StorageUri,
    text: str,
    folder: Path,
    environment: Mapping[str, str],
    settings: Settings,
    check: Callable[[], None],
) -> None:
    """Fetch a model of kind `delegated` into an empty folder, which then holds plain files and folders only.

    It ends with StoreUnavailable when, for ten times `WELLHEAD_STALL_TIMEOUT`, nothing was written and nothing said.

    Args:
        uri: the parsed URI.
        text: what it was parsed from; handed to the library as it is spelled.
        folder: exists, empty; its parent takes temporary files.
        environment: the container's variables; the library finds its credentials and patterns there. The patterns are
            not heeded for Git and Azure Files, where the caller has to apply them.
        settings: of which the stall time-out is used.
        check: is called several times a second, and raises to end the work.

    Raises:
        InvalidConfiguration: the library, or what it needs for this scheme, is not installed or not configured.
        ObjectNotFound, AccessDenied, StoreUnavailable, InsufficientSpace: as the store or the volume answered.
        IntegrityError: a link out of the folder, or a damaged archive.
        IncompleteCheckpoint: a Git repository whose large files are elsewhere.
    """
    if importlib.util.find_spec("kserve_storage") is None:
        raise failures.not_installed()
    redact = redactor(environment, uri)
    errand = json.dumps({"uri": spelling(uri, text), "folder": str(folder.absolute())})
    with disk_errors(folder.parent), _scratch(uri, folder, settings) as scratch:
        child_environment = _for_child(environment, scratch, uri)
        log.info("kserve-storage fetches %s", uri.location)
        with running(errand, child_environment, scratch, lambda line: log.debug("%s", redact(line))) as child:
            code = child.wait(_Watch(uri, (folder, scratch), settings.stall_timeout * _PATIENCE, child, check))
            answer = child.answer()
        if code < 0:
            raise failures.killed(signal.Signals(-code).name, uri)
        if code:
            raise failures.explain([replace(link, message=redact(link.message)) for link in read(answer)], uri)
        settle(folder, uri)


@contextmanager
def _scratch(uri: StorageUri, folder: Path, settings: Settings) -> Iterator[Path]:
    """A private folder for the child's temporary files and its home.

    Beside the model: Git keeps a copy of all it receives, and a pod with a read-only root has no /tmp. Only for HDFS in
    memory, since the library writes keytab and keys there, which are not to be left on a volume.
    """
    in_memory = service(uri) == "hdfs" and os.access(settings.memory_dir, os.W_OK | os.X_OK)
    parent = settings.memory_dir if in_memory else folder.parent
    with tempfile.TemporaryDirectory(prefix=".delegated-", dir=parent, ignore_cleanup_errors=True) as name:
        yield Path(name).absolute()


def _for_child(environment: Mapping[str, str], scratch: Path, uri: StorageUri) -> dict[str, str]:
    result = {**environment, "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    # ModelScope keeps locks and a session there, and a user that is in no passwd file has / for a home.
    result["MODELSCOPE_CACHE"] = str(scratch / "modelscope")
    if not os.access(environment.get("HOME") or "/", os.W_OK):
        result["HOME"] = str(scratch)
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        if name.upper() in environment:
            result.setdefault(name, environment[name.upper()])  # the Git client knows the small letters only
    if service(uri) == "azure":
        # The library matches these with the whole path within the share, not with the path within the model.
        for name in ("STORAGE_ALLOW_PATTERNS", "STORAGE_IGNORE_PATTERNS"):
            result.pop(name, None)
    return result


class _Watch:
    """Called while the child works: gives up where it stands still, and tells how far it is."""

    def __init__(
        self, uri: StorageUri, folders: tuple[Path, ...], patience: float, child: Child, check: Callable[[], None]
    ) -> None:
        self._uri, self._folders, self._patience, self._child, self._check = uri, folders, patience, child, check
        now = time.monotonic()
        self._grown = self._measured = self._told = now
        self._every = min(_MEASURE_EVERY, patience / 4)
        self._last = (0, 0, 0)

    def __call__(self) -> None:
        self._check()
        now = time.monotonic()
        if now - self._measured < self._every:
            return
        self._measured = now
        measure = _measure(self._folders)
        if measure != self._last:
            self._last, self._grown = measure, now
        if now - max(self._grown, self._child.heard) > self._patience:
            raise failures.stalled(self._patience, self._uri)
        if now - self._told >= _LINE_EVERY:
            self._told = now
            written = measure[1]
            log.info("fetched %s of %s", in_gib(written), self._uri.location, extra={"bytes_done": written})


def _measure(folders: tuple[Path, ...]) -> tuple[int, int, int]:
    """Number, bytes and latest change of all files; files come and go meanwhile."""
    number = size = latest = 0
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in names:
                try:
                    status = os.lstat(os.path.join(parent, name))  # noqa: PTH118 - there may be many
                except OSError:
                    continue
                number, size, latest = number + 1, size + status.st_size, max(latest, status.st_mtime_ns)
    return number, size, latest
