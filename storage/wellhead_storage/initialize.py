"""`wellhead init`: from one URI to a prepared folder with a load plan.

The order keeps failures cheap and publication safe: list once, fetch metadata and shard headers, check, decide,
fetch weights if they are to be downloaded, publish, and write the plan last.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from wellhead_storage import decision as decisions
from wellhead_storage.credentials.seal import read_token
from wellhead_storage.decision import Decision
from wellhead_storage.download.fetch import fetch
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.workers import Workers
from wellhead_storage.errors import UnreadablePlan, WellheadError
from wellhead_storage.files import disk_errors, in_gib, require_space
from wellhead_storage.handoff import connection_for_engine, remove_sealed, seal_for_engine
from wellhead_storage.inventory import INDEX
from wellhead_storage.local import link_weights
from wellhead_storage.logs import log
from wellhead_storage.paths import FOLDER, safe_target
from wellhead_storage.plan import (
    CredentialsTravel,
    Fetched,
    Left,
    Plan,
    PlannedFile,
    Weights,
    plan_path,
    read_plan,
    write_plan,
)
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.stores.opening import Opened, open_store
from wellhead_storage.survey import Survey, list_objects, survey
from wellhead_storage.uri import StorageUri, parse

# Enough for one wave over a checkpoint of 120 shards; threads start only as jobs need them.
_THREADS = 128
# Parts of weights in flight: connections x 1 MiB chunks bound the memory, whatever the model.
_DOWNLOAD_THREADS = 16


def initialize(pairs: list[tuple[str, Path]], settings: Settings, environment: Mapping[str, str]) -> list[Plan | None]:
    """Prepare every (URI, folder) pair; the first failure ends the call.

    Returns:
        The plans, in order; None where the folder was filled for an engine that reads no plan.

    Raises:
        WellheadError: names the folder that failed, where there are several.
    """
    plans = []
    for source, destination in pairs:
        try:
            plans.append(prepare(source, destination, settings, environment))
        except WellheadError as error:
            if len(pairs) > 1:
                error.problem = f"For {destination}: {error.problem}"
            raise
    return plans


def prepare(source: str, destination: Path, settings: Settings, environment: Mapping[str, str]) -> Plan | None:
    """Prepare one folder.

    Raises:
        WellheadError: nothing was published in that case.
    """
    uri = parse(source)
    opened = open_store(uri, environment, settings)
    staging = Staging(destination)
    staging.reset()
    earlier = _retire_predecessor(destination)
    preparation = _Preparation(source, uri, opened, staging, settings, earlier)
    try:
        plan = preparation.run()
    except BaseException:
        preparation.workers.abandon()
        staging.discard()
        raise
    preparation.workers.close()
    if plan is None:
        staging.discard()
    else:
        write_plan(destination, plan)
        log.info(
            "ready: %s, %s of weights %s",
            destination,
            in_gib(plan.weights.total_bytes),
            "to stream" if plan.mode == "stream" else "in place",
        )
    return plan


def _retire_predecessor(destination: Path) -> set[str]:
    """Whatever an earlier run left no longer counts; returns its weights and index, which may have to go."""
    with disk_errors(destination):
        try:
            plan = read_plan(destination)
        except UnreadablePlan:
            plan = None
        plan_path(destination).unlink(missing_ok=True)
        remove_sealed(destination)
    return {INDEX, *(file.name for file in plan.weights.files)} if plan else set()


class _Preparation:
    """One call of `prepare`: the steps and what they share."""

    def __init__(
        self, source: str, uri: StorageUri, opened: Opened, staging: Staging, settings: Settings, earlier: set[str]
    ) -> None:
        self.earlier = earlier
        self.source, self.uri, self.staging, self.settings = source, uri, staging, settings
        self.store, self.credentials = opened.store, opened.credentials
        self.workers = Workers(_THREADS)
        self.phases: dict[str, float] = {}

    def run(self) -> Plan | None:
        with self._phase("list"):
            # On a worker's thread: a signal must not have to wait until a silent store times out.
            [objects] = self.workers.run([partial(list_objects, self.store, self.staging)])
        if self.settings.engine != "vllm" and not self.uri.forced_stream:
            self._for_any_engine(objects)
            return None
        with self._phase("survey"):
            found = survey(self.store, objects, self.staging, self.workers)
        decision = self._decide(found)
        log.info("%s %s: %s", decision.mode, self.uri.location, "; ".join(decision.reasons))
        for entry in found.inventory.skipped:
            log.info("left in the store: %s (%s)", entry.item.name, entry.reason)
        if decision.mode == "download":
            self._fetch(found.inventory.weights)
        elif decision.mode == "stream":
            # Header-only files show vLLM dtypes and tensor names as real shards would (vllm-and-streamer.md 4.1).
            for name, header in found.headers.items():
                self.staging.add(name, header.raw)
        travel = self._hand_off(decision)
        with self._phase("publish"):
            if decision.mode == "local":
                link_weights(found.inventory, Path(self.uri.key), self.staging.destination)
            self._remove_stale({item.name for item in found.inventory.weights})
            self.staging.publish()
        return self._plan(found, decision, travel)

    def _for_any_engine(self, objects: list[StoredObject]) -> None:
        """For engines that read no plan: what KServe's own initializer would leave, and nothing else."""
        reasons = decisions.obstacles_to_store(self.uri, self.settings)
        log.info("download %s: %s", self.uri.location, "; ".join(reasons))
        self._fetch([item for item in objects if item.name.partition("/")[0] != FOLDER])
        self._remove_stale(set())
        self.staging.publish()

    def _remove_stale(self, weights: set[str]) -> None:
        """Remove weights and index of an earlier edition: beside other shards they would be loaded with them."""
        destination = self.staging.destination
        with disk_errors(destination):
            for name in self.earlier - weights - self.staging.names:
                safe_target(destination, name).unlink(missing_ok=True)

    def _fetch(self, items: tuple[StoredObject, ...] | list[StoredObject]) -> None:
        with self._phase("download"):
            require_space(self.staging.destination, sum(item.size for item in items))
            workers = Workers(_DOWNLOAD_THREADS)
            try:
                fetch(self.store, items, self.staging, workers)
            except BaseException:
                workers.abandon()
                raise
            workers.close()

    def _decide(self, found: Survey) -> Decision:
        if self.uri.kind == "file":
            return decisions.decide_local(self.uri, self.settings, found.inventory)
        if self.settings.mode == "download" and not self.uri.forced_stream:
            return decisions.download_because_asked()
        obstacles = [
            *decisions.obstacles_to_store(self.uri, self.settings),
            *decisions.obstacles_to_layout(found.inventory),
            *decisions.obstacles_to_config(found.config),
        ]
        if self.credentials:
            token = read_token(self.settings.service_account_token)
            obstacles += decisions.obstacles_to_connection(
                self.credentials.connection,
                handoff=self.settings.handoff == "sealed",
                token=token is not None,
            )
        return decisions.decide(self.uri, self.settings, obstacles)

    def _hand_off(self, decision: Decision) -> CredentialsTravel:
        if decision.mode != "stream" or self.credentials is None:
            return CredentialsTravel(handoff="none")
        return seal_for_engine(self.credentials, self.staging.destination, self.uri.location, self.settings)

    def _plan(self, found: Survey, decision: Decision, travel: CredentialsTravel) -> Plan:
        streamed = decision.mode == "stream"
        headers = sum(len(header.raw) for header in found.headers.values())
        link = self.credentials.connection if self.credentials and streamed else None
        return Plan(
            uri=self.source,
            resolved=str(self.uri),
            mode=decision.mode,
            reasons=decision.reasons,
            loader="runai_streamer" if self.uri.forced_stream else self.settings.loader,
            weights=Weights(
                uri=self.uri.location if streamed else str(self.staging.destination),
                layout=found.inventory.layout,
                files=tuple(
                    PlannedFile(name=item.name, size=item.size, etag=item.etag) for item in found.inventory.weights
                ),
                total_bytes=found.inventory.weight_bytes,
                largest_tensor_bytes=found.facts.largest,
                tensors=found.facts.tensors,
                dtypes=found.facts.dtypes,
            ),
            connection=connection_for_engine(link, self.staging.destination) if link else None,
            credentials=travel,
            fetched=Fetched(files=self.staging.fetched, bytes=self.staging.received + headers),
            left=tuple(Left(name=entry.item.name, reason=entry.reason) for entry in found.inventory.skipped),
            phases={name: round(seconds, 3) for name, seconds in self.phases.items()},
        )

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self.phases[name] = time.monotonic() - begin
        log.debug("%s took %.3f s", name, self.phases[name])
