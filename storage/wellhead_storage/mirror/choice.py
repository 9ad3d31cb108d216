"""Which objects of the source a mirror is to hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from wellhead_storage.checkpoint import check_listing, parse_index
from wellhead_storage.errors import ObjectNotFound
from wellhead_storage.inventory import Skipped, classify
from wellhead_storage.paths import is_ours
from wellhead_storage.patterns import Patterns
from wellhead_storage.retrying import persist
from wellhead_storage.settings import Settings
from wellhead_storage.stores.interface import Store, StoredObject


@dataclass(frozen=True, slots=True)
class Choice:
    """What to mirror.

    Attributes:
        names: of the objects.
        left: the others, and why.
        whole: all that an engine needs is among them.
    """

    names: frozenset[str]
    left: tuple[Skipped, ...]
    whole: bool


def choose(
    store: Store, objects: list[StoredObject], patterns: Patterns, settings: Settings, *, everything: bool
) -> Choice:
    """One layout of weights and the metadata, or everything, and of that what the patterns want.

    Patterns to include stand in for the choice of a layout, patterns to exclude narrow it.

    Raises:
        ObjectNotFound: nothing is left.
        IncompleteCheckpoint: a shard is missing.
    """
    ours = [Skipped(item, "housekeeping") for item in objects if is_ours(item.name)]
    objects = [item for item in objects if not is_ours(item.name)]
    inventory = classify(objects)
    by_layout = not everything and not patterns.allow
    if by_layout and inventory.index and inventory.layout in {"safetensors", "mistral", "nested", "none"}:
        raw = persist(partial(store.read, inventory.index), settings)
        index = parse_index(raw, store.uri.child(inventory.index.name))
        check_listing(store.uri, objects, (), index)
        inventory = classify(objects, index)
    if by_layout and inventory.layout == "safetensors":
        check_listing(store.uri, objects, inventory.weights, None)
    needed = [*inventory.weights, *inventory.metadata]
    wanted, unwanted = patterns.select(needed if by_layout else objects)
    if not wanted:
        raise ObjectNotFound(f"Nothing of {store.uri.location} is wanted.", "Check --include and --exclude.")
    names = frozenset(item.name for item in wanted)
    return Choice(
        names=names,
        left=(*ours, *(inventory.skipped if by_layout else ()), *unwanted),
        whole=all(item.name in names for item in needed),
    )
