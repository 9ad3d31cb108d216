"""Look at a model folder once: list it, fetch metadata and shard headers in parallel waves, check the checkpoint.

Round trips in sequence, whatever the number of shards: the listing's pages, one wave for metadata and the first 8
bytes of every shard, one wave for the headers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from wellhead_storage.checkpoint import TensorFacts, check_listing, check_size, check_tensors, parse_index
from wellhead_storage.download.fetch import fetch
from wellhead_storage.download.staging import Staging
from wellhead_storage.download.transfer import Transfer
from wellhead_storage.errors import IncompleteCheckpoint, ObjectNotFound
from wellhead_storage.inventory import INDEX, Inventory, classify, drop_markers
from wellhead_storage.manifest import MANIFEST_NAME, PROGRESS_NAME
from wellhead_storage.paths import refuse_collisions, refuse_doubles, safe_target
from wellhead_storage.retrying import persist
from wellhead_storage.safetensors_header import (
    LENGTH_BYTES,
    Header,
    MalformedHeader,
    header_length,
    parse_header,
)
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Store, StoredObject
from wellhead_storage.uri import StorageUri

_READ = {"config.json", INDEX}


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found.

    Attributes:
        inventory: the objects, sorted.
        headers: shard → header; empty unless the layout is safetensors.
        facts: what the headers say together.
        config: parsed config.json, or None.
        obstacles: what the store itself says against streaming, in sentences.
    """

    inventory: Inventory
    headers: dict[str, Header] = field(default_factory=dict)
    facts: TensorFacts = field(default_factory=lambda: TensorFacts(0, 0, {}))
    config: object = None
    obstacles: tuple[str, ...] = ()

    @property
    def header_bytes(self) -> int:
        """Bytes of all shard headers."""
        return sum(len(header.raw) for header in self.headers.values())


def list_objects(store: Store, destination: Path) -> list[StoredObject]:
    """The objects of the folder, each of which can become a file.

    Raises:
        ObjectNotFound: there are none.
        IntegrityError: a key that would leave the destination, is file and folder at once, or stands for two files.
        IncompleteCheckpoint: the folder is a mirror in the making.
    """
    objects = drop_markers(store.objects())
    if not objects:
        raise ObjectNotFound(f"{store.uri.location} holds no objects.", "Check the path; names are case-sensitive.")
    names = {item.name for item in objects}
    if PROGRESS_NAME in names and MANIFEST_NAME not in names:
        raise IncompleteCheckpoint(
            f"{store.uri.location} is a mirror that is not finished.", "Run `wellhead mirror` again, until it ends."
        )
    for item in objects:
        safe_target(destination, item.name)
    refuse_collisions(item.name for item in objects)
    refuse_doubles(item.name for item in objects)
    return objects


def survey(
    store: Store,
    objects: list[StoredObject],
    staging: Staging,
    transfer: Transfer,
    preflight: Callable[[], list[str]] | None = None,
    *,
    bring: bool = True,
) -> Survey:
    """Stage the metadata and verify the weights.

    Args:
        store: where they are.
        objects: its listing.
        staging: where the metadata goes.
        transfer: pools and settings of the call.
        preflight: what to ask the store beside that, where there are weights to stream.
        bring: False stages only the metadata that is read here: whatever else a folder holds may be large.

    Raises:
        IncompleteCheckpoint: the first fault of a safetensors checkpoint.
    """
    inventory = classify(objects)
    shards = inventory.weights if inventory.layout == "safetensors" else ()
    first_bytes: dict[str, bytes] = {}
    obstacles: list[str] = []

    def measure(item: StoredObject) -> None:
        read = partial(store.read, item, 0, min(LENGTH_BYTES, item.size))
        first_bytes[item.name] = persist(read, transfer.settings)

    beside: list[Callable[[], None]] = [partial(measure, item) for item in shards]
    if preflight and shards:
        beside.append(lambda: obstacles.extend(preflight()))
    wanted = [item for item in inventory.metadata if bring or item.name in _READ]
    fetch(store, wanted, staging, transfer, beside=beside)
    config = _config(inventory, staging)
    inventory, index = follow_index(store.uri, objects, inventory, lambda item: staging.read(item.name))
    shards = inventory.weights if inventory.layout == "safetensors" else ()
    if not shards:
        return Survey(inventory, config=config)
    jobs = [partial(read_header, store, item, transfer.settings, first_bytes.get(item.name)) for item in shards]
    headers = dict(zip((item.name for item in shards), transfer.small.run(jobs), strict=True))
    return Survey(inventory, headers, check_shards(store.uri, shards, headers, index), config, tuple(obstacles))


def follow_index(
    folder: StorageUri, objects: list[StoredObject], inventory: Inventory, read: Callable[[StoredObject], bytes]
) -> tuple[Inventory, dict[str, str] | None]:
    """Let the safetensors index say which shards belong to the model, and check that the listing has all of them.

    Args:
        folder: what it is called in messages.
        objects: its listing.
        inventory: what names alone say of it.
        read: gives the index.

    Returns:
        The inventory, and the index (tensor → shard) where there is one that counts.

    Raises:
        IncompleteCheckpoint: the index is none, or a shard is missing or empty.
    """
    index = None
    if inventory.index and inventory.layout in {"safetensors", "mistral", "nested", "none"}:
        index = parse_index(read(inventory.index), folder.child(inventory.index.name))
        check_listing(folder, objects, (), index)
        inventory = classify(objects, index)
    if inventory.layout == "safetensors":
        check_listing(folder, objects, inventory.weights, index)
    return inventory, index


def read_header(store: Store, item: StoredObject, settings: Settings, first: bytes | None = None) -> Header:
    """The header of a shard.

    Args:
        store: where it is.
        item: the shard.
        settings: how long to try.
        first: its first 8 bytes, where they are known; they take a request of their own.

    Raises:
        IncompleteCheckpoint: it has none.
    """
    try:
        if first is None:
            first = persist(partial(store.read, item, 0, min(LENGTH_BYTES, item.size)), settings)
        length = header_length(first, item.size)
        rest = persist(partial(store.read, item, LENGTH_BYTES, length), settings)
        return parse_header(first + rest)
    except MalformedHeader as error:
        raise IncompleteCheckpoint(f"{store.uri.child(item.name)} is damaged: {error}.", "Upload it again.") from error


def check_shards(
    folder: StorageUri,
    shards: Iterable[StoredObject],
    headers: Mapping[str, Header],
    index: Mapping[str, str] | None,
) -> TensorFacts:
    """Every shard has the bytes that its header describes, and together they are what the index promises.

    Args:
        folder: what it is called in messages.
        shards: the shards.
        headers: theirs, by name.
        index: tensor → shard, where there is an index.

    Raises:
        IncompleteCheckpoint: the first fault.
    """
    for item in shards:
        check_size(folder, item, headers[item.name])
    return check_tensors(folder, headers, index)


def _config(inventory: Inventory, staging: Staging) -> object:
    if not any(item.name == "config.json" for item in inventory.metadata):
        return None
    try:
        return json.loads(staging.read("config.json"))
    except (ValueError, RecursionError):
        return None  # vLLM says what is wrong with it better than we could
