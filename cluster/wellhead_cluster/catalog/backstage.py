"""`catalog-info.yaml` for Backstage: each model a Resource of type `ai-model`. Pure.

A folder in a bucket is a resource; a Component of type `model-server` would be a service that answers, which is none of
our business here. Limits: Backstage's "Descriptor Format of Catalog Entities".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from wellhead_cluster.catalog.entry import Entry
from wellhead_cluster.catalog.model_checks import is_web_address
from wellhead_cluster.catalog.problems import Problem

FILE = "catalog-info.yaml"
ANNOTATIONS: Mapping[str, tuple[str, Callable[[Entry], object]]] = {
    "wellhead.dev/uri": ("URI of the folder that serves it", lambda entry: entry.uri),
    "wellhead.dev/mode": ("stream or download, as `wellhead init` would decide", lambda entry: entry.mode),
    "wellhead.dev/load-format": ("vLLM's load format", lambda entry: entry.load_format),
    "wellhead.dev/dtype": ("type of most numbers in the weights", lambda entry: entry.dtype),
    "wellhead.dev/quantization": ("method of quantization", lambda entry: entry.quantization),
    "wellhead.dev/weight-bytes": ("size of all weights in bytes", lambda entry: entry.weight_bytes),
    "wellhead.dev/parameter-count": ("elements of all tensors", lambda entry: entry.parameters),
    "wellhead.dev/accelerator-memory-gib": (
        "GiB that all accelerators together should have",
        lambda entry: entry.accelerator_gib,
    ),
    "wellhead.dev/license": ("licence that the model card names", lambda entry: entry.card.license),
}
"""What an entity says of its model: the meaning, and where it is from. What is not known has no annotation."""

_LONGEST = 63
_NAME = re.compile(r"[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*")
_TAG = re.compile(r"[a-z0-9+#:]+(-[a-z0-9+#:]+)*")
_REFERENCE = re.compile(r"([A-Za-z]+:)?([a-z0-9-]+/)?[A-Za-z0-9]+([-_.][A-Za-z0-9]+)*")
_ANNOTATION = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def is_reference(text: str) -> bool:
    """Whether a text is `[kind:][namespace/]name`, as owners are named."""
    return _REFERENCE.fullmatch(text) is not None


def entity_document(entry: Entry, owner: str) -> dict[str, Any]:
    """One entity.

    Args:
        entry: the model.
        owner: `group:default/ml-platform`, for example.
    """
    card = entry.card
    name = entity_name(entry.name)
    metadata: dict[str, Any] = {
        "name": name,
        "title": entry.name if entry.name != name else "",
        "description": card.description,
        "annotations": {key: str(value) for key, (_, of) in ANNOTATIONS.items() if (value := of(entry))},
        "tags": _tags([*card.tasks, card.library, entry.model_type, entry.mode]),
        "links": [{"url": card.license_link, "title": "Licence"}] if card.license_link else [],
    }
    return {
        "apiVersion": "backstage.io/v1alpha1",
        "kind": "Resource",
        "metadata": {key: value for key, value in metadata.items() if value},
        "spec": {"type": "ai-model", "owner": owner},
    }


def entity_name(name: str) -> str:
    """The name of a model as Backstage takes it: `Qwen/Qwen3-8B` becomes `Qwen-Qwen3-8B`."""
    words = re.sub(r"[^A-Za-z0-9_.]+", "-", name)[:_LONGEST]
    return re.sub(r"[-_.]*([-_.])", r"\1", words).strip("-_.")


def _tags(words: Sequence[str]) -> list[str]:
    tags = (re.sub(r"[^a-z0-9+#:]+", "-", word.lower()).strip("-")[:_LONGEST].rstrip("-") for word in words)
    return [tag for tag in dict.fromkeys(tags) if tag and tag != "unknown"]


def check_entities(documents: Sequence[object]) -> list[Problem]:
    """What Backstage would refuse.

    Args:
        documents: of the file.
    """
    found: list[Problem] = []
    seen: set[tuple[object, ...]] = set()
    for number, document in enumerate(documents):
        if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
            found.append(Problem(f"entity {number}", "it is no entity with metadata"))
            continue
        identity = identity_of(document)
        if identity in seen:
            found.append(Problem(f"entity {identity[-1]!r}", "it stands there twice, and Backstage takes one of them"))
        seen.add(identity)
        found += _check(f"entity {identity[-1]!r}", document)
    return found


def identity_of(document: dict[str, Any]) -> tuple[object, ...]:
    """What Backstage tells entities apart by; case does not count."""
    metadata = document["metadata"]
    parts = (document.get("kind"), metadata.get("namespace") or "default", metadata.get("name"))
    return tuple(str(part).lower() for part in parts)


def _check(where: str, document: dict[str, Any]) -> Iterator[Problem]:
    metadata, spec = document["metadata"], document.get("spec")
    for key in ("apiVersion", "kind"):
        if not isinstance(document.get(key), str):
            yield Problem(where, f"{key} has to be a string, and Backstage refuses the entity")
    name = metadata.get("name")
    if not isinstance(name, str) or len(name) > _LONGEST or not _NAME.fullmatch(name):
        yield Problem(where, f"the name {name!r} is none that Backstage takes")
    for tag in metadata.get("tags") or []:
        if not isinstance(tag, str) or len(tag) > _LONGEST or not _TAG.fullmatch(tag):
            yield Problem(where, f"the tag {tag!r} is none that Backstage takes")
    for key, value in (metadata.get("annotations") or {}).items():
        if not _ANNOTATION.fullmatch(key) or not isinstance(value, str):
            yield Problem(where, f"the annotation {key!r} is none that Backstage takes")
    for link in metadata.get("links") or []:
        if not isinstance(link, dict) or not is_web_address(str(link.get("url"))):
            yield Problem(where, f"the link {link!r} is none that Backstage takes")
    if document.get("kind") == "Resource":
        for key in ("type", "owner"):
            if not isinstance(spec, dict) or not isinstance(spec.get(key), str) or not spec[key]:
                yield Problem(where, f"spec.{key} is missing, and Backstage refuses the entity")
