"""Kubernetes objects as plain data, asked with patience: what has another shape than it should counts as not there."""

from __future__ import annotations

import base64
import binascii
from typing import Any

Manifest = dict[str, Any]

INITIALIZER = "storage-initializer"
MAIN = "kserve-container"
MODEL_VOLUME = "kserve-provision-location"
MODEL_PATH = "/mnt/models"
ENGINE = "wellhead.dev/engine"
MODE = "wellhead.dev/mode"


def section(manifest: Manifest, *path: str) -> Manifest:
    """The mapping at that place; empty where there is none."""
    place: object = manifest
    for field in path:
        place = place.get(field) if isinstance(place, dict) else None
    return place if isinstance(place, dict) else {}


def entries(manifest: Manifest, *path: str) -> list[Manifest]:
    """The mappings of the list at that place."""
    place = section(manifest, *path[:-1]).get(path[-1])
    return [each for each in place if isinstance(each, dict)] if isinstance(place, list) else []


def words(manifest: Manifest, field: str) -> list[str]:
    """The list of strings in a field, `args` for example."""
    place = manifest.get(field)
    return [str(each) for each in place] if isinstance(place, list) else []


def name_of(manifest: Manifest) -> str:
    """`metadata.name`."""
    return str(section(manifest, "metadata").get("name") or "")


def strings(manifest: Manifest, *path: str) -> dict[str, str]:
    """The mapping at that place with its values as text, annotations for example."""
    return {str(key): str(value) for key, value in section(manifest, *path).items() if value is not None}


def annotations_of(manifest: Manifest) -> dict[str, str]:
    """`metadata.annotations`."""
    return strings(manifest, "metadata", "annotations")


def labels_of(manifest: Manifest) -> dict[str, str]:
    """`metadata.labels`."""
    return strings(manifest, "metadata", "labels")


def named(items: list[Manifest], name: str) -> Manifest:
    """The container, volume or variable of that name; empty where there is none."""
    return next((item for item in items if item.get("name") == name), {})


def title(manifest: Manifest) -> str:
    """`Kind name`, for sentences."""
    return f"{manifest.get('kind')} {name_of(manifest)}"


def secret_data(secret: Manifest) -> dict[str, str]:
    """What a Secret holds, in the clear: never to be shown. `stringData` wins, as with the API server."""
    decoded = {}
    for key, value in strings(secret, "data").items():
        try:
            decoded[key] = base64.b64decode(value, validate=False).decode()
        except (binascii.Error, ValueError):  # bytes that are no text: there, but nothing for us
            decoded[key] = ""
    return {**decoded, **strings(secret, "stringData")}


def is_ours(container: Manifest) -> bool:
    """Whether a container looks like Wellhead's: by its image's name, or by its variables."""
    image = str(container.get("image") or "").rpartition("/")[2]
    return image.startswith("wellhead-") or any(
        str(each.get("name") or "").startswith("WELLHEAD_") for each in entries(container, "env")
    )
