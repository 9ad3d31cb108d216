"""Is this safetensors checkpoint whole? Pure: listing, index and headers in, the first fault out as an error.

vLLM's streaming loader checks none of this: with a shard missing it becomes healthy and answers nonsense
(vllm-and-streamer.md 12, seen). Every message names the object and the way out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wellhead_storage.errors import IncompleteCheckpoint
from wellhead_storage.inventory import INDEX
from wellhead_storage.safetensors_header import Header
from wellhead_storage.stores.interface import StoredObject
from wellhead_storage.uri import StorageUri

_NUMBERED = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")
_AGAIN = "Upload it again."


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """What the headers say about a whole checkpoint.

    Attributes:
        tensors: number of tensors.
        largest: bytes of the largest tensor, which the streamer's buffer must hold.
        dtypes: dtype → number of tensors.
        parameters: elements of all tensors (packed ones, where a quantised checkpoint packs several into one).
    """

    tensors: int
    largest: int
    dtypes: dict[str, int]
    parameters: int = 0


def parse_index(raw: bytes, location: str) -> dict[str, str]:
    """`weight_map` of model.safetensors.index.json: tensor → shard file.

    Raises:
        IncompleteCheckpoint: not such a file.
    """
    try:
        found: object = json.loads(raw)["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if not found or not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise IncompleteCheckpoint(f"{location} is not a safetensors index.", _AGAIN)
    return found


def check_listing(
    folder: StorageUri,
    objects: Iterable[StoredObject],
    shards: Iterable[StoredObject],
    index: Mapping[str, str] | None,
) -> None:
    """Before any header is read: every promised shard is listed, and none is empty.

    Raises:
        IncompleteCheckpoint: names the first missing or empty shard.
    """
    present = {item.name for item in objects}
    if index is not None:
        missing = sorted(set(index.values()) - present)
        _refuse_missing(folder, missing, f"{INDEX} names it")
    for stem, numbers in _numbered(shards).items():
        for count, found in numbers.items():
            width = len(str(count).zfill(5))
            missing = [
                f"{stem}-{number:0{width}}-of-{count:0{width}}.safetensors"
                for number in range(1, count + 1)
                if number not in found
            ]
            _refuse_missing(folder, missing, f"{len(found)} of {count} shards are there")
    for item in shards:
        if item.size == 0:
            raise IncompleteCheckpoint(f"{folder.child(item.name)} is empty.", _AGAIN)


def _numbered(shards: Iterable[StoredObject]) -> dict[str, dict[int, set[int]]]:
    found: dict[str, dict[int, set[int]]] = {}
    for item in shards:
        if match := _NUMBERED.fullmatch(item.name):
            found.setdefault(match["stem"], {}).setdefault(int(match["count"]), set()).add(int(match["number"]))
    return found


def _refuse_missing(folder: StorageUri, missing: list[str], why: str) -> None:
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise IncompleteCheckpoint(f"{folder.child(missing[0])} is missing{more}: {why}.", _AGAIN)


def check_size(folder: StorageUri, item: StoredObject, header: Header) -> None:
    """A shard has exactly the bytes that its header describes.

    Raises:
        IncompleteCheckpoint: truncated, or with bytes too many.
    """
    if item.size < header.file_size:
        raise IncompleteCheckpoint(
            f"{folder.child(item.name)} is truncated: {item.size:,} bytes, its header needs {header.file_size:,}.",
            _AGAIN,
        )
    if item.size > header.file_size:
        raise IncompleteCheckpoint(
            f"{folder.child(item.name)} has {item.size - header.file_size:,} bytes more than its header describes.",
            _AGAIN,
        )


def check_tensors(folder: StorageUri, headers: Mapping[str, Header], index: Mapping[str, str] | None) -> TensorFacts:
    """Index and headers agree, and no tensor stands in two shards.

    Raises:
        IncompleteCheckpoint: names the first tensor that is missing or double.
    """
    home: dict[str, str] = {}
    dtypes: dict[str, int] = {}
    largest = parameters = 0
    for shard, header in headers.items():
        for name, tensor in header.tensors.items():
            if name in home:
                raise IncompleteCheckpoint(
                    f"Tensor {name!r} stands in both {home[name]} and {shard} of {folder.location}.",
                    "Delete the shards that do not belong to this checkpoint.",
                )
            home[name] = shard
            dtypes[tensor.dtype] = dtypes.get(tensor.dtype, 0) + 1
            largest = max(largest, tensor.size)
            parameters += tensor.elements
    for name, shard in (index or {}).items():
        if home.get(name) != shard:
            raise IncompleteCheckpoint(
                f"{folder.child(shard)} lacks the tensor {name!r} that {INDEX} promises.",
                "Upload shards and index of the same checkpoint.",
            )
    return TensorFacts(len(home), largest, dict(sorted(dtypes.items())), parameters)
