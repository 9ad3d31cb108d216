"""What earlier runs left in a destination: it no longer counts, and what the new edition lacks has to go."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from wellhead_storage.download.published import read_local_manifest
from wellhead_storage.errors import UnreadablePlan
from wellhead_storage.files import disk_errors, publish_bytes, remove_temporary
from wellhead_storage.handoff import remove_sealed
from wellhead_storage.inventory import INDEX
from wellhead_storage.paths import FOLDER, safe_target
from wellhead_storage.plan import plan_path, read_plan

_EARLIER = Path(FOLDER) / "earlier.json"


def retire_predecessor(destination: Path) -> set[str]:
    """Take the earlier plan and credentials away, and return the names of the files that belong to it.

    The names outlive a failing run in `.wellhead/earlier.json`: beside other shards, those of an earlier edition
    would be loaded with them.
    """
    with disk_errors(destination):
        remove_temporary(destination / FOLDER)
        names = _remembered(destination / _EARLIER)
        try:
            plan = read_plan(destination)
        except UnreadablePlan:
            plan = None
        if plan:
            names |= {INDEX, *(file.name for file in plan.weights.files)}
        if manifest := read_local_manifest(destination):
            names |= {file.name for file in manifest.files}
        if names:
            publish_bytes(destination / _EARLIER, json.dumps(sorted(names)).encode())
        plan_path(destination).unlink(missing_ok=True)
        remove_sealed(destination)
    return names


def remove_stale(destination: Path, earlier: set[str], current: set[str]) -> None:
    """Remove the files of an earlier edition that the current one does not have."""
    with disk_errors(destination):
        for name in earlier - current:
            path = safe_target(destination, name)
            path.unlink(missing_ok=True)
            _remove_empty(path.parent, destination)
        (destination / _EARLIER).unlink(missing_ok=True)


def _remove_empty(folder: Path, top: Path) -> None:
    """Where a folder was, the new edition may have a file."""
    with suppress(OSError):  # it holds something else, or is gone
        while folder != top:
            folder.rmdir()
            folder = folder.parent


def _remembered(path: Path) -> set[str]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return set()
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()
