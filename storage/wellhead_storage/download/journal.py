"""What of an unfinished download is already on the disk, so that a restarted container goes on from there.

One JSON object per line beside the unfinished files: a *pin* says which edition of an object a file is made of, and
every finished part adds a line. Lines count only for the source that the first one names, and while the machine has
not rebooted since: what a process wrote survives its death in the page cache, but not the machine's.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from wellhead_storage.download.boot import boot_id
from wellhead_storage.download.parts import PART_BYTES, Part
from wellhead_storage.stores.interface import StoredObject

_VERSION = 2


@dataclass(slots=True)
class Progress:
    """One unfinished file.

    Attributes:
        pin: what identifies the object's edition.
        done: starts of the parts that are on the disk.
        verified: its checksum was right.
    """

    pin: list[object]
    done: set[int] = field(default_factory=set)
    verified: bool = False


class Journal:
    """The journal of one destination; `add_*` are called from many threads.

    Args:
        path: the file; a missing, damaged or foreign one counts as empty.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._source, self.files = _load(path)

    def begin(self, source: str, items: Iterable[StoredObject]) -> None:
        """Go on with these objects of a source; what is known of others, or of other editions, is forgotten.

        Marks of two sources mean nothing to each other, but for checksums.
        """
        same = source == self._source
        wanted = {item.name for item in items if self.matches(item) and (same or item.checksum)}
        self.files = {name: progress for name, progress in self.files.items() if name in wanted}
        self._source = source
        self._rewrite()

    def _rewrite(self) -> None:
        lines: list[object] = [{"journal": _VERSION, "boot": boot_id(), "source": self._source}]
        for name, progress in self.files.items():
            lines.append({"pin": name, "of": progress.pin})
            lines += [{"done": name, "start": start} for start in sorted(progress.done)]
            if progress.verified:
                lines.append({"verified": name})
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.write_text("".join(json.dumps(line) + "\n" for line in lines))
        fresh.replace(self._path)

    def matches(self, item: StoredObject) -> bool:
        """Whether what is on the disk is of this very edition; never for objects without any mark of theirs."""
        known = self.files.get(item.name)
        return known is not None and known.pin == pin_of(item) and any(known.pin[2:])

    def remove(self) -> None:
        """Leave nothing of the file."""
        for path in (self._path, self._path.with_name(f"{self._path.name}.new")):
            path.unlink(missing_ok=True)

    def add_pin(self, item: StoredObject) -> None:
        """The file starts over as this edition."""
        with self._lock:
            self.files[item.name] = Progress(pin_of(item))
            self._append({"pin": item.name, "of": pin_of(item)})

    def add_done(self, part: Part) -> None:
        """The part is on the disk."""
        with self._lock:
            self.files[part.item.name].done.add(part.start)
            self._append({"done": part.item.name, "start": part.start})

    def add_verified(self, item: StoredObject) -> None:
        """The file is whole, and its checksum is right."""
        with self._lock:
            self.files[item.name].verified = True
            self._append({"verified": item.name})

    def begun(self) -> set[str]:
        """Files of which a part is on the disk."""
        with self._lock:
            return {name for name, progress in self.files.items() if progress.done}

    def _append(self, line: object) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def pin_of(item: StoredObject) -> list[object]:
    """Size and part size first, then whatever marks the edition."""
    checksum = str(item.checksum) if item.checksum else None
    return [item.size, PART_BYTES, item.etag, item.version, checksum]


def _load(path: Path) -> tuple[str, dict[str, Progress]]:
    """The source, and its files."""
    source, files = "", dict[str, Progress]()
    try:
        first, *lines = path.read_text().splitlines() or [""]
        head = json.loads(first)
        source = head.pop("source")
        if head != {"journal": _VERSION, "boot": boot_id()} or not isinstance(source, str):
            return "", {}
        for line in map(json.loads, lines):
            if "pin" in line:
                files[line["pin"]] = Progress(list(line["of"]))
            elif "done" in line:
                files[line["done"]].done.add(line["start"])
            else:
                files[line["verified"]].verified = True
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # The last line of a killed process may be half written; everything before it is true.
        return source, files
    return source, files
