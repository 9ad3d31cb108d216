"""What was found → what to do, and the plan that says so. Shared by `wellhead init` and `wellhead plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wellhead_storage import decision as decisions
from wellhead_storage.credentials.seal import read_token
from wellhead_storage.decision import Decision
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.plan import CredentialsTravel, Fetched, Left, Plan, PlannedFile, Weights
from wellhead_storage.settings import Settings
from wellhead_storage.source import Source
from wellhead_storage.survey import Survey, survey

if TYPE_CHECKING:
    from wellhead_storage.credentials.kinds import Connection


def has_token(settings: Settings) -> bool:
    """Whether credentials can be sealed in this container.

    Raises:
        HandoffFailed: there is a token and it cannot be read.
    """
    return read_token(settings.service_account_token) is not None


def survey_source(
    source: Source, staging: Staging, transfer: Transfer, settings: Settings, *, bring: bool = True
) -> Survey:
    """Look at the folder, and ask its store beside that what speaks against streaming, where the answer counts.

    It does not where nothing would be streamed, nor where the engine has credentials of its own.

    Args:
        source: what serves the model.
        staging: where the metadata goes.
        transfer: pools and settings of the call.
        settings: for the mode.
        bring: False stages only the metadata that is read here.

    Raises:
        IncompleteCheckpoint: the first fault of a safetensors checkpoint.
    """
    downloads = settings.mode == "download" and not source.uri.forced_stream
    idle = downloads or settings.handoff == "off" or decisions.obstacles_to_store(source.uri, settings)
    preflight = None if idle else source.preflight
    return survey(source.store, source.objects, staging, transfer, preflight, bring=bring)


def decide_source(source: Source, found: Survey, settings: Settings, *, token: bool) -> Decision:
    """Stream, download, or use in place.

    Raises:
        NotStreamable: streaming was demanded and cannot work.
    """
    if source.uri.kind == "file" and not source.archive:
        return decisions.decide_local(source.uri, settings, found.inventory, source.reasons)
    to_store = decisions.obstacles_to_archive if source.archive else decisions.obstacles_to_store
    obstacles = [
        *to_store(source.uri, settings),
        *(decisions.obstacles_to_layout(found.inventory) if source.listed else ()),
        *decisions.obstacles_to_config(found.config),
        *found.obstacles,
    ]
    if source.credentials:
        obstacles += decisions.obstacles_to_connection(
            source.credentials.connection, handoff=settings.handoff == "sealed", token=token
        )
    return decisions.decide(source.uri, settings, found.inventory.layout, source.reasons, obstacles)


def describe(
    asked: str,
    source: Source,
    found: Survey,
    decision: Decision,
    settings: Settings,
    folder: Path,
    *,
    connection: Connection | None,
    credentials: CredentialsTravel,
    fetched: Fetched,
    phases: dict[str, float],
) -> Plan:
    """The load plan.

    Args:
        asked: the URI as asked for, without anything secret.
        source: what serves it.
        found: what it holds.
        decision: what becomes of it.
        settings: for the loader.
        folder: the model folder.
        connection: how the engine reaches the store, if it streams.
        credentials: how its credentials travel.
        fetched: what came to this machine.
        phases: seconds by step.
    """
    return Plan(
        uri=asked,
        resolved=source.uri.public,
        mode=decision.mode,
        reasons=decision.reasons,
        loader="runai_streamer" if source.uri.forced_stream else settings.loader,
        weights=Weights(
            uri=source.uri.location if decision.mode == "stream" else str(folder),
            layout=found.inventory.layout,
            files=tuple(
                PlannedFile(name=item.name, size=item.size, etag=item.etag) for item in found.inventory.weights
            ),
            total_bytes=found.inventory.weight_bytes,
            largest_tensor_bytes=found.facts.largest,
            tensors=found.facts.tensors,
            parameters=found.facts.parameters,
            dtypes=found.facts.dtypes,
        ),
        connection=connection,
        credentials=credentials,
        fetched=fetched,
        left=tuple(
            Left(name=entry.item.name, reason=entry.reason) for entry in (*source.left, *found.inventory.skipped)
        ),
        phases=phases,
    )
