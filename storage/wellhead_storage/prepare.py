"""From one URI to a prepared folder with a load plan.

The order keeps failures cheap and publication safe: list once, fetch metadata and shard headers, check, decide,
fetch weights if they are to be downloaded, publish, and write the plan last.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from wellhead_storage import decision as decisions
from wellhead_storage.decision import Decision
from wellhead_storage.download.fetch import fetch
from wellhead_storage.download.lock import locked
from wellhead_storage.download.published import record_of
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.errors import IncompleteCheckpoint, NotStreamable
from wellhead_storage.files import disk_errors, in_gib, publish_bytes
from wellhead_storage.handoff import connection_for_engine, seal_for_engine
from wellhead_storage.local import link_weights
from wellhead_storage.logs import log
from wellhead_storage.manifest import MANIFEST_NAME, Manifest
from wellhead_storage.plan import CredentialsTravel, Fetched, Plan, write_plan
from wellhead_storage.planning import decide_source, describe, has_token, survey_source
from wellhead_storage.predecessor import remove_stale, retire_predecessor
from wellhead_storage.settings import Settings
from wellhead_storage.source import Source, find_source
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.survey import Survey
from wellhead_storage.uri import parse

# After these the next run would meet the same, so there is nothing to go on from. Of an object that vanished, was
# replaced or came damaged only its own file goes, which `fetch` sees to.
_LASTING = (IncompleteCheckpoint, NotStreamable)


def prepare(
    source: str, destination: Path, transfer: Transfer, settings: Settings, environment: Mapping[str, str]
) -> Plan | None:
    """Prepare one folder.

    Returns:
        The plan, or None where the folder was filled for an engine that reads no plan.

    Raises:
        WellheadError: with nothing published that was not whole.
    """
    uri = parse(source)
    with locked(destination, transfer.small.check):
        staging = Staging(destination)
        staging.open()
        earlier = retire_predecessor(destination)
        preparation = _Preparation(uri.as_asked(source), staging, transfer, settings, earlier)
        try:
            with preparation.phase("list"):
                found = find_source(uri, staging, transfer, settings, environment)
            plan = preparation.run(found)
        except BaseException as error:
            staging.abandon(resumable=not isinstance(error, _LASTING))
            raise
        if plan is not None:
            write_plan(destination, plan)
            log.info(
                "ready: %s, %s of weights %s",
                destination,
                in_gib(plan.weights.total_bytes),
                "to stream" if plan.mode == "stream" else "in place",
            )
    return plan


class _Preparation:
    """One call of `prepare`: the steps and what they share."""

    def __init__(self, asked: str, staging: Staging, transfer: Transfer, settings: Settings, earlier: set[str]) -> None:
        self.asked, self.staging, self.transfer, self.settings = asked, staging, transfer, settings
        self.earlier = earlier
        self.phases: dict[str, float] = {}

    def run(self, source: Source) -> Plan | None:
        if self.settings.engine != "vllm" and not source.uri.forced_stream:
            self._for_any_engine(source)
            return None
        with self.phase("survey"):
            found = survey_source(source, self.staging, self.transfer, self.settings)
        decision = decide_source(source, found, self.settings, token=has_token(self.settings))
        log.info("%s %s: %s", decision.mode, source.uri.location, "; ".join(decision.reasons))
        for entry in (*source.left, *found.inventory.skipped):
            log.info("left in the store: %s (%s)", entry.item.name, entry.reason)
        if decision.mode == "download":
            self._fetch(source, found.inventory.weights)
        elif decision.mode == "stream":
            # Header-only files show vLLM dtypes and tensor names as real shards would (vllm-and-streamer.md 4.1).
            for name, header in found.headers.items():
                self.staging.add(name, header.raw)
        travel = self._hand_off(source, decision)
        with self.phase("publish"):
            if decision.mode == "local":
                link_weights(found.inventory, Path(source.uri.key), self.staging.destination)
            whole = [*found.inventory.metadata, *found.inventory.weights]
            self._publish(source, whole, manifest=decision.mode == "download")
        return self._plan(source, found, decision, travel)

    def _for_any_engine(self, source: Source) -> None:
        """For engines that read no plan: what KServe's own initializer would leave, and nothing else."""
        log.info(
            "download %s: %s",
            source.uri.location,
            "; ".join([*source.reasons, *decisions.obstacles_to_store(source.uri, self.settings)]),
        )
        self._fetch(source, source.objects)
        self._publish(source, source.objects, manifest=self.settings.manifest == "always")

    def _publish(self, source: Source, items: list[StoredObject], *, manifest: bool) -> None:
        folder = self.staging.destination
        remove_stale(folder, self.earlier, {*self.staging.names, *(item.name for item in items)})
        self.staging.publish()
        if manifest:
            with disk_errors(folder):
                files = self.staging.published.describe(items, self.staging.kept)
            found = Manifest(
                kind="download",
                source=source.store.uri.public,
                asked=self.asked,
                files=files,
                archive=record_of(source.archive) if source.archive else None,
                archive_root=source.archive_root,
            )
            publish_bytes(folder / MANIFEST_NAME, (found.model_dump_json(indent=1) + "\n").encode())
        else:
            with disk_errors(folder):
                (folder / MANIFEST_NAME).unlink(missing_ok=True)

    def _fetch(self, source: Source, items: Iterable[StoredObject]) -> None:
        with self.phase("download"):
            fetch(source.store, items, self.staging, self.transfer, large=True)

    def _hand_off(self, source: Source, decision: Decision) -> CredentialsTravel:
        if decision.mode != "stream" or source.credentials is None:
            return CredentialsTravel(handoff="none")
        return seal_for_engine(source.credentials, self.staging.destination, source.uri.location, self.settings)

    def _plan(self, source: Source, found: Survey, decision: Decision, travel: CredentialsTravel) -> Plan:
        link = source.credentials.connection if source.credentials and decision.mode == "stream" else None
        return describe(
            self.asked,
            source,
            found,
            decision,
            self.settings,
            self.staging.destination,
            connection=connection_for_engine(link, self.staging.destination) if link else None,
            credentials=travel,
            fetched=Fetched(files=self.staging.fetched, bytes=self.staging.received + found.header_bytes),
            phases={name: round(seconds, 3) for name, seconds in self.phases.items()},
        )

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a step."""
        begin = time.monotonic()
        yield
        self.phases[name] = time.monotonic() - begin
        log.debug("%s took %.3f s", name, self.phases[name])
