"""What to copy, to leave as it is, and to delete. Pure: two listings and the records of earlier runs in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wellhead_storage.manifest import ManifestFile
from wellhead_storage.stores.interface import StoredObject

LAST = "config.json"
"""Written last, and taken away first where it changes: without it no engine takes the folder for a model."""


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What one run of a mirror has to do.

    Attributes:
        copy: objects of the source, in its order.
        keep: records of copies that are there and up to date.
        delete: names of copies that the source no longer has, or has in another edition that is not wanted now.
        replaces: objects of the destination will change, so that it is no model until all is done.
    """

    copy: tuple[StoredObject, ...]
    keep: tuple[ManifestFile, ...]
    delete: tuple[str, ...]
    replaces: bool

    @property
    def bytes(self) -> int:
        """Bytes to be copied, as far as they are known."""
        return sum(item.size for item in self.copy)

    @property
    def sized(self) -> bool:
        """Whether they all are."""
        return all(item.sized for item in self.copy)

    @property
    def changes_last(self) -> bool:
        """The destination's `config.json` is to be replaced or to go; one that stays is not taken away first."""
        return LAST in self.delete or any(item.name == LAST for item in self.copy)


def plan_copy(
    source: Iterable[StoredObject],
    wanted: Iterable[str],
    destination: Mapping[str, StoredObject],
    records: Iterable[ManifestFile],
) -> CopyPlan:
    """Compare source and destination.

    Only what an earlier mirror recorded is ever taken for a copy, or deleted: other objects of the destination are
    somebody else's, and overwritten where they have the name of an object that is wanted.

    Args:
        source: the source's whole listing.
        wanted: names of the objects to be mirrored.
        destination: the destination's listing, by name.
        records: what earlier mirrors wrote there; those of other sources as `of_other_source` makes them.
    """
    objects = {item.name: item for item in source}
    names = set(wanted)
    keep: dict[str, ManifestFile] = {}
    delete: list[str] = []
    for record in records:
        placed = destination.get(record.name)
        if placed is None or not is_intact(record, placed):
            continue
        item = objects.get(record.name)
        if item is not None and _is_current(record, item):
            keep[record.name] = record.model_copy(update={"etag": item.etag, "version": item.version})
        elif record.name not in names:
            delete.append(record.name)
    copied = names - keep.keys()
    replaces = bool(delete) or any(name in destination for name in copied if name != LAST)
    if replaces and LAST in names:
        keep.pop(LAST, None)
        copied.add(LAST)
    return CopyPlan(
        copy=tuple(item for item in objects.values() if item.name in copied),
        keep=tuple(keep.values()),
        delete=tuple(delete),
        replaces=replaces,
    )


def is_intact(record: ManifestFile, placed: StoredObject) -> bool:
    """Whether the destination still holds what was written."""
    return placed.size == record.size and placed.etag == record.copy_etag


def is_of(record: ManifestFile, item: StoredObject) -> bool:
    """Whether a copy that was just made is of the object as it is listed now."""
    return (not item.sized or record.size == item.size) and (record.etag, record.version) == (item.etag, item.version)


def of_other_source(record: ManifestFile) -> ManifestFile:
    """The record without the marks that mean something in its own source only; checksums hold everywhere."""
    return record.model_copy(update={"etag": None, "version": None})


def forget(record: ManifestFile) -> ManifestFile:
    """The record without any mark of its edition: still ours to delete, never again up to date."""
    return record.model_copy(update={"etag": None, "version": None, "checksum": None})


def _is_current(record: ManifestFile, item: StoredObject) -> bool:
    if item.sized and record.size != item.size:
        return False
    if item.checksum and record.checksum == str(item.checksum):
        return True
    if item.version and record.version:
        return item.version == record.version
    return bool(item.etag) and item.etag == record.etag  # an empty one is a mark of nothing
