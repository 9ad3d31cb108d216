"""One listing → what the engine needs: weights of one layout, metadata, and what is left out and why.

Pure: a list of objects in, an `Inventory` out. The rules follow what vLLM's default loader would take
(`config/load.py`, `default_loader.py` of 0.32: safetensors before .bin, `original/**` ignored) plus what its
streaming loader cannot tell apart (vllm-and-streamer.md 12).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from wellhead_storage.stores.interface import StoredObject

Layout = Literal["safetensors", "mistral", "pytorch", "gguf", "adapter", "nested", "none"]

INDEX = "model.safetensors.index.json"

_WEIGHT_SUFFIXES = {
    ".safetensors": "safetensors",
    ".bin": "PyTorch",
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".ckpt": "PyTorch",
    ".gguf": "GGUF",
    ".ggml": "GGUF",
    ".onnx": "ONNX",
    ".onnx_data": "ONNX",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".ot": "Rust",
    ".tflite": "TensorFlow Lite",
    ".tensors": "Tensorizer",
}
_HOUSEKEEPING = re.compile(
    r"(^|/)(\.git|\.cache|\.wellhead|\.locks|\.ipynb_checkpoints)(/|$)|(^|/)\.(gitattributes|gitignore|DS_Store)$"
)
_DOCUMENTATION = {".md", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".pdf", ".mp4", ".ipynb"}
_OTHER_FORMATS = {"original", "onnx", "openvino", "coreml", "gguf", "metal", "tensorrt", "flax"}
_ADAPTER = "adapter_model"  # peft's name; vLLM finds an adapter's weights under it
# training_args.bin, optimizer.bin and the like belong to training, not to the model.
_TRAINING = ("training_args", "optimizer", "scheduler", "scaler", "random_states", "rng_state")
# sentence-transformers keeps further modules, weights included, in folders such as 1_Pooling or 2_Dense.
_MODULE_FOLDER = re.compile(r"\d+_[A-Za-z]\w*/")


@dataclass(frozen=True, slots=True)
class Skipped:
    """An object that is left in the store, and why."""

    item: StoredObject
    reason: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What one model folder holds.

    Attributes:
        layout: the one layout of weights that was taken.
        weights: its files, in natural order.
        metadata: everything else the engine may want: config, tokenizer, code, small module weights.
        skipped: what is left in the store.
        index: the safetensors index among the metadata, if there is one.
    """

    layout: Layout
    weights: tuple[StoredObject, ...]
    metadata: tuple[StoredObject, ...]
    skipped: tuple[Skipped, ...]
    index: StoredObject | None = None

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weight files."""
        return sum(item.size for item in self.weights)

    @property
    def stray_safetensors(self) -> tuple[StoredObject, ...]:
        """Safetensors beside the chosen shards, which a streaming loader would load as well."""
        return tuple(
            entry.item
            for entry in self.skipped
            if entry.item.name.endswith(".safetensors") and "/" not in entry.item.name
        )


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts shard 2 before shard 10, as vLLM's loader does (`weight_utils.py`)."""
    return [
        (0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part)
        for part in re.split(r"([0-9]+)", name)
        if part
    ]


def drop_markers(objects: Iterable[StoredObject]) -> list[StoredObject]:
    """Leave out zero-byte objects that only stand for a folder (`name/`, which obstore lists as `name`)."""
    listed = list(objects)
    taken = {str(parent) for item in listed for parent in PurePosixPath(item.name).parents}
    taken |= {item.name for item in listed if item.size}
    empty = {item.name: item for item in listed if not item.size and item.name not in taken}
    return [item for item in listed if item.size or empty.get(item.name) is item]


def classify(objects: Iterable[StoredObject], index: Mapping[str, str] | None = None) -> Inventory:
    """Sort the objects of a folder into weights, metadata and what to leave.

    Args:
        objects: the listing.
        index: `weight_map` of the safetensors index (tensor → shard), once it is known.
    """
    weights: list[StoredObject] = []
    metadata: list[StoredObject] = []
    skipped: list[Skipped] = []
    for item in sorted(objects, key=lambda item: natural_order(item.name)):
        path = PurePosixPath(item.name)
        if _HOUSEKEEPING.search(item.name):
            skipped.append(Skipped(item, "housekeeping"))
        elif path.suffix.lower() in _DOCUMENTATION:
            skipped.append(Skipped(item, "documentation"))
        elif len(path.parts) > 1 and path.parts[0].lower() in _OTHER_FORMATS:
            skipped.append(Skipped(item, f"another copy of the model in {path.parts[0]}/"))
        elif path.suffix.lower() in _WEIGHT_SUFFIXES and not _MODULE_FOLDER.match(item.name):
            weights.append(item)
        else:
            metadata.append(item)
    return _choose(weights, metadata, skipped, index)


def _choose(
    weights: list[StoredObject],
    metadata: list[StoredObject],
    skipped: list[Skipped],
    index: Mapping[str, str] | None,
) -> Inventory:
    names = {item.name for item in metadata}
    top = [item for item in weights if "/" not in item.name]
    own = [item for item in top if not item.name.startswith((_ADAPTER, *_TRAINING))]
    if own:
        top = [item for item in top if not item.name.startswith(_ADAPTER)]
    layout: Layout
    # Tools leave config.json beside adapters, too, and adapter_config.json beside the models they were merged into.
    if "adapter_config.json" in names and not (own and "config.json" in names):
        layout, chosen = "adapter", weights
    elif shards := _shards(top, index):
        layout, chosen = "safetensors", shards
    elif consolidated := [item for item in top if item.name.endswith(".safetensors")]:
        layout, chosen = "mistral", consolidated
    elif pytorch := _of_format(top, "PyTorch"):
        layout, chosen = "pytorch", pytorch
    elif gguf := _of_format(top, "GGUF"):
        layout, chosen = "gguf", gguf
    else:
        layout, chosen = ("nested" if weights else "none"), weights

    taken = {item.name for item in chosen}
    skipped += [Skipped(item, _why_left(item, layout, index)) for item in weights if item.name not in taken]
    return Inventory(
        layout=layout,
        weights=tuple(chosen),
        metadata=tuple(metadata),
        skipped=tuple(skipped),
        index=next((item for item in metadata if item.name == INDEX), None),
    )


def _shards(top: list[StoredObject], index: Mapping[str, str] | None) -> list[StoredObject]:
    """Hugging Face shards: those the index names, or all but Mistral's `consolidated*`."""
    files = [item for item in top if item.name.endswith(".safetensors")]
    if index is not None:
        named = set(index.values())
        return [item for item in files if item.name in named]
    return [item for item in files if not item.name.startswith("consolidated")]


def _of_format(top: list[StoredObject], wanted: str) -> list[StoredObject]:
    return [
        item
        for item in top
        if _WEIGHT_SUFFIXES[PurePosixPath(item.name).suffix.lower()] == wanted and not item.name.startswith(_TRAINING)
    ]


def _why_left(item: StoredObject, layout: Layout, index: Mapping[str, str] | None) -> str:
    kind = _WEIGHT_SUFFIXES[PurePosixPath(item.name).suffix.lower()]
    if "/" in item.name:
        return f"{kind} weights in a subfolder, next to the {layout} layout"
    if item.name.startswith(_ADAPTER):
        return f"{kind} weights of a LoRA adapter, next to the {layout} layout"
    if kind == "safetensors" and item.name.startswith("consolidated"):
        return "Mistral's own layout, next to the Hugging Face shards"
    if kind == "safetensors" and index is not None:
        return "not named by the safetensors index"
    return f"{kind} weights, next to the {layout} layout"
