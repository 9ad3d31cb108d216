"""From the URI that was asked for to the folder that serves it, and what it holds.

A name in a registry is resolved, a mirrored repository is looked for in its mirror, an archive is unpacked, and
what no store here can read is fetched by KServe's own library; whatever happened is told in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from wellhead_storage import decision as decisions
from wellhead_storage.archives.kinds import only_archive
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.files import disk_errors
from wellhead_storage.inventory import Skipped
from wellhead_storage.logs import log
from wellhead_storage.paths import is_ours
from wellhead_storage.patterns import Patterns, read_patterns
from wellhead_storage.settings import Settings
from wellhead_storage.stores.brought import BroughtFolder
from wellhead_storage.stores.interface import Store, StoredObject
from wellhead_storage.stores.opening import Opened, open_store
from wellhead_storage.survey import list_objects
from wellhead_storage.uri import StorageUri

if TYPE_CHECKING:
    from wellhead_storage.credentials.kinds import Credentials


@dataclass(frozen=True, slots=True)
class Source:
    """The folder that serves a model.

    Attributes:
        store: opened; `store.uri` is the exact edition.
        credentials: what it was opened with, or None.
        objects: its listing, as far as patterns want it.
        left: the rest.
        forced_stream: asked for as `runai_streamer://…`.
        reasons: how it was found, in sentences; empty for a plain URI.
        archive: that the objects are unpacked from, or would be.
        archive_root: the folder in it that the objects are relative to; empty for all of it.
        preflight: asks the store what speaks against streaming (`Opened.preflight`).
        listed: False where the objects are only known once the model was fetched, which it was not.
    """

    store: Store
    credentials: Credentials | None
    objects: list[StoredObject]
    left: tuple[Skipped, ...]
    forced_stream: bool = False
    reasons: tuple[str, ...] = ()
    archive: StoredObject | None = None
    archive_root: str = ""
    preflight: Callable[[], list[str]] | None = None
    listed: bool = True

    @property
    def uri(self) -> StorageUri:
        """The exact edition, with the wrapper protocol where that was asked for."""
        return replace(self.store.uri, forced_stream=self.forced_stream)


def find_source(
    uri: StorageUri,
    staging: Staging,
    transfer: Transfer,
    settings: Settings,
    environment: Mapping[str, str],
    *,
    bring: bool = True,
) -> Source:
    """Find, open and list what serves a URI.

    Args:
        uri: as asked for.
        staging: of the destination.
        transfer: pools of the call.
        settings: Wellhead's own.
        environment: of this container, for credentials and patterns.
        bring: False only says that an archive would be unpacked, or that a delegate would fetch the model; there
            are no objects then.

    Raises:
        NotStreamable: streaming is demanded of what has to be fetched first.
        InvalidUri, ObjectNotFound, AccessDenied, StoreUnavailable, …: of whoever was asked.
    """
    reasons: list[str] = []
    root = ""
    if uri.kind == "registry":
        from wellhead_storage.registry.resolve import resolve_model

        resolved = resolve_model(uri, environment, settings)
        uri = resolved.uri
        reasons += resolved.reasons
    if uri.kind == "hf" and settings.mirror:
        uri, reason = _mirrored(uri, settings, environment)
        reasons.append(reason)
    for reason in reasons:
        log.info("%s", reason)
    if uri.kind == "delegated":
        _refuse_demand(uri, decisions.obstacles_to_store(uri, settings))
        reasons.append("KServe's own library fetches it, and only then shows what it holds")
        if not bring:
            return _unlisted(BroughtFolder(uri, staging.destination), uri, reasons)
        opened = _delegated(uri, staging, transfer, settings, environment)
    else:
        opened = open_store(uri, environment, settings)
    # On a worker's thread: a signal must not have to wait until a silent store times out.
    [listed] = transfer.small.run([partial(list_objects, opened.store, staging.destination)])
    objects = _of_the_model(listed)
    if archive := only_archive(objects):
        _refuse_demand(uri, decisions.obstacles_to_archive(uri, settings))
        reasons.append(f"{archive.name} is an archive, which is unpacked")
        if not bring:
            return _unlisted(opened.store, uri, reasons, archive)
        staging.begin(opened.store.uri.public, objects)
        lift = settings.engine == "vllm"  # which looks for config.json at the top; KServe leaves folders where they are
        from wellhead_storage.from_archive import fetch_and_unpack, unpacked_before

        brought = unpacked_before(opened.store.uri, archive, staging, lift=lift)
        if brought:
            log.info("%s is unpacked in %s already", archive.name, staging.destination)
        else:
            brought = fetch_and_unpack(opened.store, archive, staging, transfer, lift=lift)
        opened, root = Opened(brought.store), brought.root
        objects = _of_the_model(list_objects(opened.store, staging.destination))
    named = len(objects) == 1 and uri.key.rpartition("/")[2] == objects[0].name
    patterns = Patterns() if named else read_patterns(environment)  # what the URI names itself is wanted
    objects, left = patterns.select(objects)
    staging.begin(opened.store.uri.public, objects)
    return Source(
        store=opened.store,
        credentials=opened.credentials,
        objects=objects,
        left=tuple(left),
        forced_stream=uri.forced_stream,
        reasons=tuple(reasons),
        archive=archive,
        archive_root=root,
        preflight=opened.preflight,
    )


def _unlisted(store: Store, uri: StorageUri, reasons: list[str], archive: StoredObject | None = None) -> Source:
    return Source(store, None, [], (), uri.forced_stream, tuple(reasons), archive, listed=False)


def _mirrored(uri: StorageUri, settings: Settings, environment: Mapping[str, str]) -> tuple[StorageUri, str]:
    from wellhead_storage.mirror.find import Found, find_mirror
    from wellhead_storage.stores.hugging_face import open_hugging_face

    def resolve_commit() -> str:
        return open_hugging_face(uri, environment, settings).commit()

    found = find_mirror(uri, settings, environment, resolve_commit)
    if isinstance(found, Found):
        return replace(found.uri, forced_stream=uri.forced_stream), found.reason
    return uri, found


def _delegated(
    uri: StorageUri, staging: Staging, transfer: Transfer, settings: Settings, environment: Mapping[str, str]
) -> Opened:
    from wellhead_storage.delegated.fetch import fetch_delegated

    staging.begin(uri.public, [])
    with disk_errors(staging.destination):
        staging.unpacked.mkdir(parents=True)
    fetch_delegated(uri, str(uri), staging.unpacked, environment, settings, transfer.small.check)
    return Opened(BroughtFolder(uri, staging.unpacked))


def _refuse_demand(uri: StorageUri, obstacles: list[str]) -> None:
    """Before anything is fetched that would have to be thrown away again."""
    if uri.forced_stream:
        raise decisions.refusal(uri, obstacles)


def _of_the_model(listed: list[StoredObject]) -> list[StoredObject]:
    """Without what an earlier mirror or initializer wrote there about the model: nobody has to hear of that."""
    return [item for item in listed if not is_ours(item.name)]
