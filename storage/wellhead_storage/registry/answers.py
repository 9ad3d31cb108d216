"""What the registry answers, as far as it matters here; fields without a value are left out there, never null."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Named(_Answer):
    """A registered model, or a version of one."""

    id: str
    name: str
    state: str = "LIVE"

    @property
    def archived(self) -> bool:
        """Set aside by its owners."""
        return self.state == "ARCHIVED"


class Artifact(_Answer):
    """What a version consists of."""

    name: str = ""
    kind: str = Field(default="", alias="artifactType")
    state: str = ""
    uri: str = ""
    storage_key: str = Field(default="", alias="storageKey")
    storage_path: str = Field(default="", alias="storagePath")
    service_account: str = Field(default="", alias="serviceAccountName")

    @property
    def deleted(self) -> bool:
        """On its way out."""
        return self.state in {"MARKED_FOR_DELETION", "DELETED", "ABANDONED"}


class Versions(_Answer):
    """One page."""

    items: list[Named] = []
    next_page: str = Field(default="", alias="nextPageToken")


class Artifacts(_Answer):
    """One page."""

    items: list[Artifact] = []
    next_page: str = Field(default="", alias="nextPageToken")


class Refusal(_Answer):
    """An error of the registry itself; everything in plain text is of somebody in front of it, or of its router."""

    code: str
    message: str
