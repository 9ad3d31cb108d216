"""What of an unfinished download is already on the disk, so that a restarted container goes on from there.

One JSON object per line beside the unfinished files: a *pin* says which edition of an object a file is made of, and
every finished part adds a line. Lines count only while the machine has not rebooted since: what a process wrote
survives its death in the page cache, but not the machine's.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

from wellhead_storage.download.parts import PART_BYTES, Part
from wellhead_storage.stores.interface import StoredObject

_VERSION = 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


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
        self.files = _load(path)

    def rewrite(self) -> None:
        """Write the file anew with what is known."""
        lines: list[object] = [{"journal": _VERSION, "boot": _boot()}]
        for name, progress in self.files.items():
            lines.append({"pin": name, "of": progress.pin})
            lines += [{"done": name, "start": start} for start in sorted(progress.done)]
            if progress.verified:
                lines.append({"verified": name})
        self._path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def matches(self, item: StoredObject) -> bool:
        """Whether what is on the disk is of this very edition; never for objects without any mark of theirs."""
        known = self.files.get(item.name)
        return known is not None and known.pin == pin_of(item) and any(known.pin[2:])

    def add_pin(self, item: StoredObject) -> None:
        """The file starts over as this edition."""
        self.files[item.name] = Progress(pin_of(item))
        self._append({"pin": item.name, "of": pin_of(item)})

    def add_done(self, part: Part) -> None:
        """The part is on the disk."""
        self.files[part.item.name].done.add(part.start)
        self._append({"done": part.item.name, "start": part.start})

    def add_verified(self, item: StoredObject) -> None:
        """The file is whole, and its checksum is right."""
        self.files[item.name].verified = True
        self._append({"verified": item.name})

    def _append(self, line: object) -> None:
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def pin_of(item: StoredObject) -> list[object]:
    """Size and part size first, then whatever marks the edition."""
    checksum = str(item.checksum) if item.checksum else None
    return [item.size, PART_BYTES, item.etag, item.version, checksum]


def _load(path: Path) -> dict[str, Progress]:
    files: dict[str, Progress] = {}
    try:
        first, *lines = path.read_text().splitlines() or [""]
        if json.loads(first) != {"journal": _VERSION, "boot": _boot()}:
            return {}
        for line in map(json.loads, lines):
            if "pin" in line:
                files[line["pin"]] = Progress(list(line["of"]))
            elif "done" in line:
                files[line["done"]].done.add(line["start"])
            else:
                files[line["verified"]].verified = True
    except (OSError, ValueError, KeyError, TypeError):
        # The last line of a killed process may be half written; everything before it is true.
        return files
    return files


def _boot() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
