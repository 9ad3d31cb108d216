"""The load plan: the one contract between the initializer and the model server.

`DEST/.wellhead/plan.json`; its JSON Schema is `docs/plan.schema.json`. It never holds a secret. Minor versions only
add fields, which older readers ignore; a new major version is refused by older readers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wellhead_storage.credentials.kinds import Connection
from wellhead_storage.credentials.s3 import Identity
from wellhead_storage.errors import UnreadablePlan
from wellhead_storage.files import publish_bytes
from wellhead_storage.inventory import Layout
from wellhead_storage.paths import FOLDER
from wellhead_storage.settings import Loader

PLAN_NAME = "plan.json"
VERSION = "1.2"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PlannedFile(_Part):
    """One weight file, in the order in which the loader asks for it."""

    name: str
    size: int = Field(ge=0, description="bytes")
    etag: str | None = None


class Weights(_Part):
    """The weights and where they are."""

    uri: str = Field(description="folder in the store (stream) or in the container (download, local)")
    layout: Layout
    files: tuple[PlannedFile, ...] = ()
    total_bytes: int = Field(ge=0)
    largest_tensor_bytes: int = Field(default=0, ge=0, description="what the streamer's buffer must hold; 0 if unknown")
    tensors: int = Field(default=0, ge=0)
    parameters: int = Field(default=0, ge=0, description="elements of all tensors; 0 if unknown")
    dtypes: dict[str, int] = Field(default_factory=dict, description="dtype to number of tensors")


class CredentialsTravel(_Part):
    """How the engine's container gets at the store."""

    handoff: Literal["sealed", "off", "none"] = Field(
        description="sealed: in credentials.sealed; off: the engine brings its own; none: nothing is needed"
    )
    identity: Identity | None = None


class Left(_Part):
    """Something that was left in the store."""

    name: str
    reason: str


class Fetched(_Part):
    """What the initializer itself fetched."""

    files: int = Field(ge=0)
    bytes: int = Field(ge=0)


class Plan(_Part):
    """Everything the engine's side needs to know about one prepared model folder."""

    version: str = VERSION
    uri: str = Field(description="as asked for")
    resolved: str = Field(description="in normal form")
    mode: Literal["stream", "download", "local"]
    reasons: tuple[str, ...] = Field(min_length=1)
    loader: Loader = Field(
        default="auto",
        description="overlap: fetched into shared memory while vLLM starts; runai_streamer: by vLLM itself, later; "
        "auto: overlap where the engine's container allows it",
    )
    weights: Weights
    connection: Connection | None = Field(default=None, description="non-secret facts for reaching the store (stream)")
    credentials: CredentialsTravel
    fetched: Fetched
    left: tuple[Left, ...] = ()
    phases: dict[str, float] = Field(default_factory=dict, description="seconds each phase took")


def plan_path(folder: Path) -> Path:
    """Where the plan of a model folder is."""
    return folder / FOLDER / PLAN_NAME


def write_plan(folder: Path, plan: Plan) -> None:
    """Publish the plan atomically; it is the last thing the initializer writes."""
    publish_bytes(plan_path(folder), (plan.model_dump_json(indent=2) + "\n").encode())


def read_plan(folder: Path) -> Plan | None:
    """The plan of a model folder, or None where there is none.

    Raises:
        UnreadablePlan: damaged, or of another major version.
    """
    path = plan_path(folder)
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UnreadablePlan(
            f"The load plan {path} cannot be read: {error.strerror}.", "Check the volume's permissions."
        ) from error
    try:
        version = _Version.model_validate_json(raw).version
    except ValidationError as error:
        raise UnreadablePlan(f"The load plan {path} is damaged.", "Delete the pod to prepare it anew.") from error
    if version.partition(".")[0] != VERSION.partition(".")[0]:
        raise UnreadablePlan(
            f"The load plan {path} has version {version}, this runtime reads version {VERSION}.",
            "Use initializer and runtime images of the same release.",
        )
    try:
        return Plan.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadablePlan(
            f"The load plan {path} is damaged at {where or 'its root'}: {first['msg']}.",
            "Delete the pod to prepare it anew.",
        ) from None


class _Version(_Part):
    version: str
