"""The header-only shards that `wellhead init` leaves in stream mode: the beginning of what the loader will read."""

from __future__ import annotations

from pathlib import Path

from wellhead_storage.plan import PlannedFile
from wellhead_storage.safetensors_header import LENGTH_BYTES, MalformedHeader, header_length


def header_of(folder: Path, file: PlannedFile) -> bytes | None:
    """Length and JSON part of a shard's header, or None where the folder holds something else."""
    try:
        raw = (folder / file.name).read_bytes()
        return raw if len(raw) == LENGTH_BYTES + header_length(raw, file.size) else None
    except (OSError, MalformedHeader):
        return None
