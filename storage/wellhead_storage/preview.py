"""`wellhead plan`: what `wellhead init` would do, without doing it.

Everything is asked and checked as `init` does it (listing, config, index, headers, decision), in a temporary folder
that is removed; nothing else is fetched, nothing is sealed. What would be fetched is known from the listing's sizes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wellhead_storage.decision import Decision
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.errors import InvalidConfiguration
from wellhead_storage.logs import log
from wellhead_storage.plan import CredentialsTravel, Fetched, Plan
from wellhead_storage.planning import decide_source, describe, has_token, survey_source
from wellhead_storage.retrying import persist
from wellhead_storage.settings import PREFIX, Settings
from wellhead_storage.source import Source, find_source
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.survey import Survey
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from wellhead_storage.credentials.kinds import Credentials

MODELS = Path("/mnt/models")
"""Where KServe prepares a model."""

_TOKEN = "the pod mounts its service-account token, which seals the credentials"  # noqa: S105 - a sentence


@dataclass(frozen=True, slots=True)
class Figures:
    """How much it would be; None for what is only known once the model is fetched.

    Attributes:
        objects: objects that the engine needs, weights and metadata.
        object_bytes: their bytes.
        weight_bytes: bytes of the weights among them.
        disk_bytes: bytes that `init` would write into the model folder.
        archive_bytes: bytes of the archive that they would be unpacked from; None also where there is none.
    """

    objects: int | None = None
    object_bytes: int | None = None
    weight_bytes: int | None = None
    disk_bytes: int | None = None
    archive_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen.

    Attributes:
        plan: as `init` would write it; of a model that has to be fetched to be seen it holds no files.
        credentials: that the engine would get, or None.
        folder: where the engine would find the model: its own folder where it is used in place.
        figures: how much it would be.
        assumed: what was taken for granted, in sentences.
        documents: the beginning of the files that were asked for, those that there are.
    """

    plan: Plan
    credentials: Credentials | None
    folder: Path
    figures: Figures
    assumed: tuple[str, ...] = ()
    documents: dict[str, bytes] = field(default_factory=dict)


def preview_environment(environment: Mapping[str, str], mode: str = "") -> dict[str, str]:
    """That of one of our runtimes' pods, for a person who looks from outside.

    Args:
        environment: of this process.
        mode: as the annotation would say; empty leaves the environment's.
    """
    chosen = {f"{PREFIX}MODE": mode} if mode else {}
    # The log is for failures here; the reasons are in what is printed.
    quiet = {f"{PREFIX}LOG_LEVEL": environment.get(f"{PREFIX}LOG_LEVEL") or "warning"}
    return {**environment, **quiet, **chosen, f"{PREFIX}ENGINE": "vllm"}


def preview(
    text: str, settings: Settings, environment: Mapping[str, str], documents: Mapping[str, int] | None = None
) -> Preview:
    """Look at a model as `init` would.

    Args:
        text: the model's URI.
        settings: Wellhead's own.
        environment: for credentials and patterns.
        documents: files of the model's folder to bring along, and how many bytes of each at most.

    Raises:
        InvalidConfiguration: there is no folder to work in.
        WellheadError: the same that `init` would raise.
    """
    uri = parse(text)
    transfer = Transfer(settings)
    begin = time.monotonic()
    try:
        with _work_folder(settings) as folder:
            staging = Staging(folder)
            staging.open()
            source = find_source(uri, staging, transfer, settings, environment, bring=False)
            found = survey_source(source, staging, transfer, settings, bring=False)
            brought = _documents(source, documents or {}, transfer)
    except BaseException:
        transfer.abandon()
        raise
    transfer.close()
    token = has_token(settings)
    outside = not token and not environment.get("KUBERNETES_SERVICE_HOST")
    decision = decide_source(source, found, settings, token=token or outside)
    log.debug("looked at %s for %.3f s", source.uri.location, time.monotonic() - begin)
    credentials = source.credentials if decision.mode == "stream" else None
    travel = _travel(credentials, settings)
    plan = describe(
        uri.as_asked(text),
        source,
        found,
        decision,
        settings,
        MODELS,
        connection=credentials.connection if credentials else None,
        credentials=travel,
        fetched=_fetched(found, decision),
        phases={},
    )
    return Preview(
        plan=plan,
        credentials=credentials,
        folder=Path(source.uri.key) if decision.mode == "local" else MODELS,
        figures=_figures(source, found, decision),
        assumed=(_TOKEN,) if outside and travel.handoff == "sealed" else (),
        documents=brought,
    )


@contextmanager
def _work_folder(settings: Settings) -> Iterator[Path]:
    """A folder for a few small files: an init container has no writable /tmp, but always /dev/shm."""
    try:
        made = tempfile.TemporaryDirectory(prefix="wellhead-plan-")
    except OSError:
        try:
            made = tempfile.TemporaryDirectory(prefix="wellhead-plan-", dir=settings.memory_dir)
        except OSError as error:
            raise InvalidConfiguration(
                f"There is no folder for temporary files, and {settings.memory_dir} cannot be written either.",
                "Name a folder that can be written with TMPDIR.",
            ) from error
    with made as name:
        yield Path(name)


def _documents(source: Source, wanted: Mapping[str, int], transfer: Transfer) -> dict[str, bytes]:
    """On workers' threads, as everything that waits for a store."""
    items = [item for item in source.objects if item.name in wanted and item.sized]
    jobs = [
        partial(persist, partial(source.store.read, item, 0, min(item.size, wanted[item.name])), transfer.settings)
        for item in items
    ]
    return dict(zip((item.name for item in items), transfer.small.run(jobs), strict=True))


def _travel(credentials: Credentials | None, settings: Settings) -> CredentialsTravel:
    if credentials is None or credentials.secret is None:
        return CredentialsTravel(handoff="none", identity=credentials.connection.identity if credentials else None)
    travel: Literal["sealed", "off"] = "sealed" if settings.handoff == "sealed" else "off"
    return CredentialsTravel(handoff=travel, identity=credentials.connection.identity)


def _fetched(found: Survey, decision: Decision) -> Fetched:
    """What `init` would count as fetched."""
    weights = found.inventory.weights if decision.mode == "download" else ()
    items = (*found.inventory.metadata, *weights)
    return Fetched(files=len(items), bytes=sum(item.size for item in items) + found.header_bytes)


def _figures(source: Source, found: Survey, decision: Decision) -> Figures:
    if not source.listed:
        archive = source.archive
        return Figures(archive_bytes=archive.size if archive and archive.sized else None)
    metadata, weights = found.inventory.metadata, found.inventory.weights
    beside = {"stream": found.header_bytes, "download": _bytes(weights), "local": 0}[decision.mode]
    kept = _bytes(metadata)
    return Figures(
        objects=len(metadata) + len(weights),
        object_bytes=_bytes((*metadata, *weights)),
        weight_bytes=_bytes(weights),
        disk_bytes=None if kept is None or beside is None else kept + beside,
    )


def _bytes(items: Iterable[StoredObject]) -> int | None:
    """Together; None where the store does not say how long one of them is."""
    sizes = [item.size if item.sized else None for item in items]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
