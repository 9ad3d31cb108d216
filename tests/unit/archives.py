"""Archives to unpack, good and bad, and what came out of them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
CONTENT = {"config.json": b"{}", "weights/model.bin": bytes(range(256)) * 5000, "empty": b""}
TARS = {"model.tar": "w", "model.tar.gz": "w:gz", "model.tgz": "w:gz", "model.tar.bz2": "w:bz2", "model.tar.xz": "w:xz"}
NAMES = [*TARS, "model.zip"]


def pack(path: Path, content: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, TARS[path.name]) as archive:  # type: ignore[call-overload]
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
