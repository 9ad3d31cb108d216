"""`.wellhead/manifest.json`: which files a finished copy of a model holds, and of which edition they are.

Written last, locally and in a mirror, so that whoever finds it finds a whole model. It never holds a secret. Minor
versions only add fields; a manifest that cannot be read counts as none, since it only ever saves work.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wellhead_storage.paths import FOLDER

MANIFEST_NAME = f"{FOLDER}/manifest.json"
PROGRESS_NAME = f"{FOLDER}/mirror-progress.json"
"""The same of a mirror that is being written: a folder that holds it is not to be served from."""
VERSION = "1.1"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ManifestFile(_Part):
    """One file of the copy."""

    name: str
    size: int = Field(ge=0, description="bytes")
    etag: str | None = Field(default=None, description="of the source's object, quotes included")
    version: str | None = Field(default=None, description="the source's generation or version id")
    checksum: str | None = Field(default=None, description="algorithm:hex, as verified")
    copy_etag: str | None = Field(default=None, description="of the copy in a mirror")
    modified_ns: int | None = Field(default=None, description="mtime of the copy on a disk, nanoseconds")
    boot: str | None = Field(default=None, description="boot of the machine that wrote it, while that may lose it")


class Manifest(_Part):
    """A finished copy of one model."""

    version: str = VERSION
    kind: Literal["download", "mirror"]
    source: str = Field(description="normal form of the URI that was copied, a Hugging Face revision as a commit")
    asked: str = Field(default="", description="the URI as it was asked for")
    files: tuple[ManifestFile, ...] = ()
    archive: ManifestFile | None = Field(default=None, description="that the files were unpacked from")
    archive_root: str = Field(default="", description="the folder in it that became the model; empty for all of it")
    whole: bool = Field(default=True, description="all that an engine needs is among the files")

    @property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def parse_manifest(raw: bytes) -> Manifest | None:
    """A manifest, or None where it is damaged or of another major version."""
    try:
        found = Manifest.model_validate_json(raw)
    except ValidationError:
        return None
    return found if found.version.partition(".")[0] == VERSION.partition(".")[0] else None
