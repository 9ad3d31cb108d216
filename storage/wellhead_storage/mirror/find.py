"""Is there a complete mirror of a Hugging Face model, so that it can be streamed instead of downloaded?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wellhead_storage.errors import ObjectNotFound, StoreUnavailable, WellheadError
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME, Manifest, parse_manifest
from wellhead_storage.mirror.places import below, commit_of, is_commit, mirror_root, model_folder, ref_name, revision_of
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.stores.opening import open_store
from wellhead_storage.uri import StorageUri, parse


@dataclass(frozen=True, slots=True)
class Found:
    """A complete mirror.

    Attributes:
        uri: its folder.
        manifest: what it holds.
        reason: why it may be used, one sentence.
    """

    uri: StorageUri
    manifest: Manifest
    reason: str


def find_mirror(
    uri: StorageUri, settings: Settings, environment: Mapping[str, str], resolve_commit: Callable[[], str]
) -> Found | str:
    """Look for a model in `WELLHEAD_MIRROR`.

    Looked at are the folder of the commit, as `wellhead mirror hf://owner/model` fills it, and the model's own folder,
    as it may have been named by hand. Without the Hub, the commit is the one that the branch or tag was at when it was
    mirrored.

    Args:
        uri: an `hf://` URI.
        settings: names the mirror.
        environment: credentials for it.
        resolve_commit: asks the Hub for the commit of the URI's revision.

    Returns:
        The mirror, or the reason why there is none.

    Raises:
        InvalidConfiguration: `WELLHEAD_MIRROR` is unusable.
        WellheadError: of `resolve_commit`, but for an unreachable Hub.
    """
    root = mirror_root(settings)
    try:
        commit = commit_of(uri) or resolve_commit()
    except StoreUnavailable as error:
        return _without_the_hub(uri, root, settings, environment, error)
    folder = model_folder(root, uri)
    missing = f"{uri.location} is not mirrored at {below(folder, commit).location}"
    for place in (below(folder, commit), folder):
        found = _look(place, settings, environment)
        if isinstance(found, Manifest):
            if not _is_of(found, uri) or _source(found).revision != commit:
                missing = f"the mirror at {place.location} is of {found.source} and not of commit {commit}"
                continue
            return Found(place, found, f"mirrored at {place.location}, commit {commit}")
        missing = found or missing
    return missing


def _without_the_hub(
    uri: StorageUri, root: StorageUri, settings: Settings, environment: Mapping[str, str], error: StoreUnavailable
) -> Found | str:
    folder, revision = model_folder(root, uri), revision_of(uri)
    noted = _read_ref(below(folder, ref_name(uri)), settings, environment)
    for place in [*([below(folder, noted)] if noted else []), folder]:
        found = _look(place, settings, environment)
        if isinstance(found, str):
            return found
        if found is None:
            continue
        source = _source(found)
        asked_for = noted == source.revision or revision_of(parse(found.asked or found.source)) == revision
        if _is_of(found, uri) and asked_for:
            reason = (
                f"mirrored at {place.location}, commit {source.revision}, which was {revision} when it was mirrored; "
                f"the Hub cannot be asked for a newer one ({error.problem.rstrip('.')})"
            )
            return Found(place, found, reason)
    return f"{uri.location} is not mirrored at {folder.location}, and the Hub cannot be asked for its commit"


def _look(place: StorageUri, settings: Settings, environment: Mapping[str, str]) -> Manifest | str | None:
    """The manifest of a complete mirror, None where there is nothing, or what is wrong with it."""
    try:
        store = open_store(place, environment, settings).store
        objects = {item.name: item for item in store.objects()}
        if MANIFEST_NAME not in objects:
            begun = PROGRESS_NAME in objects
            return f"the mirror at {place.location} is not finished" if begun else None
        manifest = parse_manifest(store.read(objects[MANIFEST_NAME]))
    except ObjectNotFound:
        return None
    except WellheadError as error:
        return f"the mirror at {place.location} cannot be read: {error.problem.rstrip('.')}"
    if manifest is None or manifest.kind != "mirror" or _source(manifest).kind != "hf":
        return f"the manifest at {place.location} is not one of a Hugging Face mirror"
    return _fault(place, manifest, objects) or manifest


def _fault(place: StorageUri, manifest: Manifest, objects: Mapping[str, StoredObject]) -> str:
    if not manifest.whole:
        return f"the mirror at {place.location} holds a part of the model only"
    for file in manifest.files:
        item = objects.get(file.name)
        # ETags of directories are made in another way by those who write and those who read them.
        replaced = place.kind != "file" and item is not None and item.etag != file.copy_etag
        if item is None or item.size != file.size or replaced:
            fault = "is missing" if item is None else "has changed"
            return f"the mirror at {place.location} is damaged: {file.name} {fault}"
    return ""


def _source(manifest: Manifest) -> StorageUri:
    try:
        return parse(manifest.source)
    except WellheadError:
        return StorageUri("file", "file", "", "/")


def _is_of(manifest: Manifest, uri: StorageUri) -> bool:
    source = _source(manifest)
    return (source.container, source.key) == (uri.container, uri.key)


def _read_ref(place: StorageUri, settings: Settings, environment: Mapping[str, str]) -> str:
    try:
        store = open_store(place, environment, settings).store
        text = store.read(store.objects()[0]).decode("ascii", "replace").strip()
    except (WellheadError, IndexError):
        return ""
    return text if is_commit(text) else ""
