"""A model that is already in this container (`file://`, a path): linked, not copied.

KServe's own initializer links such files too. Whether the engine's container has the same path mounted is up to
the pod; mode `download` copies instead.
"""

from __future__ import annotations

from pathlib import Path

from wellhead_storage.files import disk_errors
from wellhead_storage.inventory import Inventory
from wellhead_storage.paths import safe_target


def link_weights(inventory: Inventory, source: Path, destination: Path) -> None:
    """Link the weight files of `source` into `destination`; metadata is copied like any other."""
    with disk_errors(destination):
        for item in inventory.weights:
            target = safe_target(destination, item.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.symlink_to(safe_target(source, item.name) if source.is_dir() else source)
