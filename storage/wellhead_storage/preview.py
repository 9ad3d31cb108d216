"""`wellhead plan`: what `wellhead init` would do, without doing it.

Everything is asked and checked as `init` does it (listing, metadata, headers, decision), in a temporary folder that
is removed; no weights are fetched, nothing is sealed.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.logs import log
from wellhead_storage.plan import CredentialsTravel, Fetched, Plan
from wellhead_storage.planning import decide_source, describe, has_token, survey_source
from wellhead_storage.settings import Settings
from wellhead_storage.source import find_source
from wellhead_storage.uri import parse

if TYPE_CHECKING:
    from wellhead_storage.credentials.kinds import Credentials

MODELS = Path("/mnt/models")
"""Where KServe prepares a model."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What would happen.

    Attributes:
        plan: as `init` would write it.
        credentials: that the engine would get, or None.
        objects: objects that the engine needs, weights and metadata.
        object_bytes: their bytes.
        disk_bytes: bytes that `init` would write into the model folder.
        assumed: what was taken for granted, in sentences.
    """

    plan: Plan
    credentials: Credentials | None
    objects: int
    object_bytes: int
    disk_bytes: int
    assumed: tuple[str, ...] = ()


def preview(text: str, settings: Settings, environment: Mapping[str, str]) -> Preview:
    """Look at a model as `init` would.

    Raises:
        WellheadError: the same that `init` would raise.
    """
    uri = parse(text)
    transfer = Transfer(settings)
    begin = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="wellhead-plan-") as folder:
            staging = Staging(Path(folder))
            staging.open()
            source = find_source(uri, staging, transfer, settings, environment, bring=False)
            found = survey_source(source, staging, transfer, settings)
    except BaseException:
        transfer.abandon()
        raise
    transfer.close()
    token, assumed = has_token(settings), []
    if not token and not environment.get("KUBERNETES_SERVICE_HOST"):
        token = True
        assumed.append("the pod mounts its service-account token, which seals the credentials")
    decision = decide_source(source, found, settings, token=token)
    log.debug("looked at %s for %.3f s", source.uri.location, time.monotonic() - begin)
    streamed = decision.mode == "stream"
    link = source.credentials.connection if source.credentials and streamed else None
    metadata = sum(item.size for item in found.inventory.metadata)
    on_disk = {"stream": found.header_bytes, "download": found.inventory.weight_bytes, "local": 0}[decision.mode]
    plan = describe(
        uri.as_asked(text),
        source,
        found,
        decision,
        settings,
        MODELS,
        connection=link,
        credentials=_travel(source.credentials if streamed else None, settings),
        fetched=Fetched(files=staging.fetched, bytes=staging.received + found.header_bytes),
        phases={},
    )
    return Preview(
        plan=plan,
        credentials=source.credentials if streamed else None,
        objects=len(found.inventory.metadata) + len(found.inventory.weights),
        object_bytes=metadata + found.inventory.weight_bytes,
        disk_bytes=metadata + on_disk + (source.archive.size if source.archive else 0),
        assumed=tuple(assumed),
    )


def _travel(credentials: Credentials | None, settings: Settings) -> CredentialsTravel:
    if credentials is None or credentials.secret is None:
        return CredentialsTravel(handoff="none", identity=credentials.connection.identity if credentials else None)
    return CredentialsTravel(handoff=settings.handoff, identity=credentials.connection.identity)
