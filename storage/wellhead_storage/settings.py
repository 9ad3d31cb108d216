"""Wellhead's own settings: the `WELLHEAD_*` environment variables, in one table.

Built with pydantic itself and not with pydantic-settings, which costs 120 ms of imports in front of every request
(measured, `docs/architecture.md`). An empty string means unset: that is what a `fieldRef` on a missing annotation
gives (`golden/README.md`, fact 11 and DESIGN section 9).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wellhead_storage.cgroups import usable_cores
from wellhead_storage.errors import InvalidConfiguration

PREFIX = "WELLHEAD_"
SERVICE_ACCOUNT_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
TERMINATION_LOG = Path("/dev/termination-log")
MODEL_INFOS = Path("/opt/wellhead/modelinfos")

ANNOTATIONS = {
    "wellhead.dev/mode": "mode",
    "wellhead.dev/loader": "loader",
    "wellhead.dev/engine": "engine",
}
"""Annotation of a service or runtime → the setting that it becomes in the init container."""

Mode = Literal["auto", "stream", "download"]
Loader = Literal["auto", "overlap", "runai_streamer"]


class Settings(BaseModel):
    """What the environment says about Wellhead itself; the field names are the variables without prefix.

    `docs/settings.md` is made of types (a title, where a type does not say what a value is), defaults and descriptions.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True)

    mode: Mode = Field(default="auto", description="stream or download (annotation wellhead.dev/mode)")
    engine: Literal["", "vllm"] = Field(
        default="",
        description="the engine understands a load plan (annotation wellhead.dev/engine, set by our runtimes). Without "
        "it everything is downloaded and no plan is written; `runai_streamer://` needs no annotation",
    )
    handoff: Literal["sealed", "off", "shared"] = Field(
        default="sealed",
        description="hand storage credentials to the engine's container; off: it has others; shared: it is this one "
        "(set by `wellhead serve URI`)",
    )
    service_account_token: Path = Field(default=SERVICE_ACCOUNT_TOKEN, description="token that seals the credentials")
    termination_log: Path = Field(default=TERMINATION_LOG, description="where the sentence of a failure goes")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="how much to log; debug shows tracebacks"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="text, or one JSON object for each line")
    loader: Loader = Field(
        default="auto",
        description="how streamed weights reach the engine: while it starts, or by the streamer (annotation "
        "wellhead.dev/loader); on the engine's container the default of services that do not say",
    )
    verify: Literal["full", "size"] = Field(
        default="full", description="check downloads against the store's checksums, or their sizes only"
    )
    manifest: Literal["auto", "always"] = Field(
        default="auto",
        description="leave `.wellhead/manifest.json` (which saves the next download) for engines that read no plan, "
        "too",
    )
    mirror: str = Field(
        default="", title="URI", description="where `hf://` models are mirrored: `s3://bucket/models` for example"
    )
    connections: int = Field(
        default_factory=lambda: connections_for(usable_cores()),
        ge=1,
        le=256,
        description="most transfers at a time, of all `SRC DEST` pairs together; unset: four for each core, 8 to 16",
    )
    connect_timeout: float = Field(default=5, gt=0, description="until a connection must stand")
    stall_timeout: float = Field(
        default=30,
        gt=0,
        description="without a byte that end a request, which is then repeated",
    )
    request_timeout: float = Field(
        default=300,
        gt=0,
        description="that one request (64 MiB at most) may take; what it brought is kept",
    )
    retry_timeout: float = Field(
        default=60,
        ge=0,
        description="of failures in a row, without a byte of progress, that end the call",
    )
    model_dir: Path | None = Field(
        default=None,
        description="`wellhead serve URI`: where the model is prepared; unset: a folder under the temporary directory",
    )
    memory_dir: Path = Field(
        default=Path("/dev/shm"),  # noqa: S108
        description="tmpfs where the engine's container keeps opened credentials over a restart",
    )
    cache_dir: Path | None = Field(
        default=None, description="persistent folder for vLLM's, inductor's and Triton's compile caches"
    )
    fast_start: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="start vLLM's processes from one that has imported vLLM already ([when](cold-start.md)); on: fail "
        "where that was never tried",
    )
    model_infos: Path = Field(
        default=MODEL_INFOS, description="inspected model classes that the image ships ([why](cold-start.md))"
    )


def connections_for(cores: int) -> int:
    """Four transfers for each core, from 8 to 16.

    Each connection of S3 gives some 80 MiB/s, so fewer leave a fast link idle; where few cores are the limit, more of
    them only cost time in hand-overs (two cores: 6 % more CPU seconds with 16 than with 8, `bench/download.py`).
    """
    return min(16, max(8, 4 * cores))


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read the settings from an environment.

    Raises:
        InvalidConfiguration: a variable has a value that it cannot have.
    """
    values = {}
    for name in Settings.model_fields:
        value = environment.get(PREFIX + name.upper(), "").strip()
        if value:
            values[name] = value if name not in _LOWERED else value.lower()
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise InvalidConfiguration(
            f"{PREFIX}{name.upper()}={values[name]!r} is not valid: {first['msg'].lower()}.",
            "Correct the variable, or the annotation that feeds it.",
        ) from None


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Names of `WELLHEAD_*` variables that mean nothing to us, to warn about.

    Kubernetes adds variables for every Service of the namespace, so a Service called `wellhead-x` produces
    `WELLHEAD_X_SERVICE_HOST`, `WELLHEAD_X_PORT=tcp://…` and so on: those are never worth a warning.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(
        name for name in environment if name.startswith(PREFIX) and name not in known and not _service_link(name)
    )


def _service_link(name: str) -> bool:
    return name.endswith(("_SERVICE_HOST", "_PORT")) or "_SERVICE_PORT" in name or "_PORT_" in name


_LOWERED = {"mode", "engine", "handoff", "log_level", "log_format", "loader", "verify", "manifest", "fast_start"}
