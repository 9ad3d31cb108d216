"""vLLM's caches on a volume that replicas share: each works on a copy of its own, and publishes what is new, whole.

vLLM writes in place. `vllm_compile_cache.py` is written with an ordinary `open(path, "w")`, and a replica that reads
half of it fails with a SyntaxError (`vllm/compilation/backends.py` of 0.32, lines 188 and 223). Every start writes into
entries that it only reads, too (`cache_key_factors.json`, graphs), which a volume that is mounted read-only refuses.

Inductor's and Triton's own caches need none of this: they write beside and rename.
"""

from __future__ import annotations

import hashlib
import shutil
import time
import uuid
from contextlib import suppress
from pathlib import Path

from wellhead_storage.files import in_gib
from wellhead_storage.logs import log

# Folders of vLLM's whose entries are added one by one; anything else is one entry.
_SHELVES = frozenset({"torch_compile_cache", "torch_aot_compile", "modelinfos", "startup_plan"})
_UNFINISHED = ".publishing-"
_ABANDONED_AFTER = 3600.0  # seconds


class CompileCache:
    """One service's share of the volume, and this container's copy.

    Nothing here can stop a start: what cannot be read or written is logged.

    Args:
        volume: the folder for this edition of vLLM on the volume.
        own: VLLM_CACHE_ROOT. It has to be at the same place in every replica: entries name their files in full.
        model: what is served. Services with other models have other entries, which need not be copied.
    """

    def __init__(self, volume: Path, own: Path, model: str) -> None:
        self._volume = volume / hashlib.sha256(model.encode()).hexdigest()[:16]
        self._own = own

    def fetch(self) -> None:
        """Copy what others have published."""
        began = time.monotonic()
        try:
            copied = _add_missing(self._volume, self._own)
        except OSError as error:
            log.warning("the compile cache cannot be read, so vLLM compiles again: %s", error)
            return
        if copied:
            seconds = time.monotonic() - began
            log.info("compile cache: %s from %s in %.1f s", in_gib(copied), self._volume, seconds)

    def publish(self) -> None:
        """Add what the volume lacks; each entry appears at once and whole."""
        try:
            self._remove_abandoned()
            copied = _add_missing(self._own, self._volume)
        except OSError as error:
            log.info("the compile cache is not written: %s", error)
            return
        if copied:
            log.info("compile cache: %s published in %s", in_gib(copied), self._volume)

    def _remove_abandoned(self) -> None:
        """What a replica had not finished when it was stopped."""
        for path in self._volume.rglob(f"{_UNFINISHED}*"):
            with suppress(FileNotFoundError):
                if time.time() - path.lstat().st_mtime > _ABANDONED_AFTER:
                    _remove(path)


def _add_missing(source: Path, target: Path) -> int:
    """Copy every entry that the target lacks; the number of bytes."""
    if not source.is_dir():
        return 0
    target.mkdir(parents=True, exist_ok=True)
    copied = 0
    for entry in source.iterdir():
        if entry.name.startswith(_UNFINISHED):
            continue
        if entry.name in _SHELVES:
            copied += _add_missing(entry, target / entry.name)
        elif not (target / entry.name).exists():
            copied += _copy_whole(entry, target / entry.name)
    return copied


def _copy_whole(source: Path, target: Path) -> int:
    unfinished = target.with_name(f"{_UNFINISHED}{uuid.uuid4().hex}")
    try:
        if source.is_dir():
            shutil.copytree(source, unfinished)
        else:
            shutil.copyfile(source, unfinished)
        size = sum(path.stat().st_size for path in (unfinished, *unfinished.rglob("*")) if path.is_file())
        unfinished.rename(target)
    except OSError:
        if target.exists():  # another replica was quicker
            return 0
        raise
    finally:
        with suppress(OSError):
            _remove(unfinished)
    return size


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
