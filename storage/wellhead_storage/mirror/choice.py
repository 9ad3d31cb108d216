"""Which objects of the source a mirror is to hold, and whether they are a whole model."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from wellhead_storage.errors import IncompleteCheckpoint, ObjectNotFound
from wellhead_storage.inventory import Skipped, classify
from wellhead_storage.paths import is_ours
from wellhead_storage.patterns import Patterns
from wellhead_storage.retrying import persist
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Store, StoredObject
from wellhead_storage.survey import check_shards, follow_index, read_header


@dataclass(frozen=True, slots=True)
class Choice:
    """What to mirror.

    Attributes:
        names: of the objects.
        left: the others, and why.
        needed: names of all that an engine needs, wanted or not.
        by_layout: the model was chosen, and has to be whole; else objects were, whatever they are.
        fault: why they cannot be a whole model, as far as the listing and the index tell; empty where they can.
        shards: safetensors whose headers are to be checked.
        index: tensor → shard, where there is a safetensors index.
    """

    names: frozenset[str]
    left: tuple[Skipped, ...]
    needed: frozenset[str]
    by_layout: bool
    fault: str = ""
    shards: tuple[StoredObject, ...] = ()
    index: Mapping[str, str] | None = None


def choose(
    store: Store, objects: list[StoredObject], patterns: Patterns, settings: Settings, *, everything: bool
) -> Choice:
    """One layout of weights and the metadata, or everything, and of that what the patterns want.

    Patterns to include stand in for the choice of a layout, patterns to exclude narrow it.

    Raises:
        ObjectNotFound: nothing is left.
        IncompleteCheckpoint: a shard is missing, where the model was to be chosen.
    """
    ours = [Skipped(item, "housekeeping") for item in objects if is_ours(item.name)]
    objects = [item for item in objects if not is_ours(item.name)]
    by_layout = not everything and not patterns.allow
    inventory, index, fault = classify(objects), None, ""
    try:
        inventory, index = follow_index(store.uri, objects, inventory, lambda item: _read(store, item, settings))
    except IncompleteCheckpoint as error:
        if by_layout:
            raise
        fault = error.problem
    needed = [*inventory.weights, *inventory.metadata]
    wanted, unwanted = patterns.select(needed if by_layout else objects)
    if not wanted:
        raise ObjectNotFound(f"Nothing of {store.uri.location} is wanted.", "Check --include and --exclude.")
    return Choice(
        names=frozenset(item.name for item in wanted),
        left=(*ours, *(inventory.skipped if by_layout else ()), *unwanted),
        needed=frozenset(item.name for item in needed),
        by_layout=by_layout,
        fault=fault,
        shards=inventory.weights if inventory.layout == "safetensors" else (),
        index=index,
    )


def fault_of(store: Store, choice: Choice, pool: Executor, settings: Settings) -> str:
    """What is wrong with the shards, by their headers; empty where nothing is.

    Raises:
        IncompleteCheckpoint: the same, where the model has to be whole.
    """
    if choice.fault:
        return choice.fault
    try:
        headers = pool.map(lambda item: read_header(store, item, settings), choice.shards)
        named = dict(zip((item.name for item in choice.shards), headers, strict=True))
        check_shards(store.uri, choice.shards, named, choice.index)
    except IncompleteCheckpoint as error:
        if choice.by_layout:
            raise
        return error.problem
    return ""


def _read(store: Store, item: StoredObject, settings: Settings) -> bytes:
    return persist(partial(store.read, item), settings)
