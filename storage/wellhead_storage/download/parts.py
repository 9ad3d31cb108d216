"""Which byte ranges to ask for, in which order. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wellhead_storage.stores.interface import StoredObject

# Ranged streams of 64 MiB keep every connection busy and a lost one cheap (ecosystem.md 13).
PART_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """The bytes [start, start + length) of an object; `length` is None for "to the end, wherever that is"."""

    item: StoredObject
    start: int
    length: int | None

    @property
    def end(self) -> int | None:
        """Offset behind the last byte, or None."""
        return None if self.length is None else self.start + self.length


def split(items: Iterable[StoredObject], part_bytes: int = PART_BYTES) -> list[Part]:
    """Cut every object into parts, file after file; an empty object gives one empty part.

    In file order, so that the first shard is complete while the last one is still coming, with as many files open
    as there are workers at most. What the store cannot send in ranges is one part.
    """
    parts: list[Part] = []
    for item in items:
        if not item.ranged:
            parts.append(Part(item, 0, item.size if item.sized else None))
            continue
        starts = range(0, item.size, part_bytes) or range(1)
        parts.extend(Part(item, start, min(part_bytes, item.size - start)) for start in starts)
    return parts
