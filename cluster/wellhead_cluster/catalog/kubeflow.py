"""The two files of a Kubeflow Hub model-catalog source, as documents. Pure.

Numbers stand on the artifact, where answers show them; on the model they are strings, because those are all that the
server shows there. None is an integer of its own, which has 32 bits.
"""

from __future__ import annotations

from typing import Any

from wellhead_cluster.catalog.entry import Entry
from wellhead_cluster.catalog.source_checks import PATH
from wellhead_cluster.catalog.values import number, text
from wellhead_storage.files import in_gib

MODELS = "models.yaml"
SOURCES = "sources.yaml"


def model_document(entry: Entry, provider: str) -> dict[str, Any]:
    """One entry of `models.yaml`.

    Args:
        entry: the model.
        provider: who offers it, or nothing.
    """
    card = entry.card
    fields: dict[str, Any] = {
        "name": entry.name,
        "provider": provider,
        "description": card.description,
        "readme": card.readme,
        "language": list(card.languages),
        "license": card.license,
        "licenseLink": card.license_link,
        "libraryName": card.library,
        "tasks": list(card.tasks),
        "customProperties": {name: text(value) for name, value in _shown(entry).items() if value},
        "artifacts": [{"uri": entry.uri, "artifactType": "model-artifact", "customProperties": _measured(entry)}],
    }
    return {name: value for name, value in fields.items() if value}


def _shown(entry: Entry) -> dict[str, str]:
    return {
        "model_type": entry.model_type,
        "load_format": entry.load_format,
        "mode": entry.mode,
        "dtype": entry.dtype,
        "quantization": entry.quantization,
        "weight_size": in_gib(entry.weight_bytes) if entry.weight_bytes else "",
        "parameter_count": _digits(entry.parameters),
        "context_length": _digits(entry.context_length),
        "suggested_gpu_memory_gib": _digits(entry.accelerator_gib),
        "base_model": ", ".join(entry.card.base_models),
    }


def _measured(entry: Entry) -> dict[str, Any]:
    words = {
        "load_format": entry.load_format,
        "mode": entry.mode,
        "layout": entry.layout,
        "dtype": entry.dtype,
        "quantization": entry.quantization,
    }
    numbers = {
        "bytes": entry.weight_bytes,
        "shards": entry.shards,
        "parameter_count": entry.parameters,
        "context_length": entry.context_length,
        "suggested_gpu_memory_gib": entry.accelerator_gib,
    }
    return {
        **{name: text(value) for name, value in words.items() if value},
        **{name: number(value) for name, value in numbers.items() if value},
    }


def _digits(value: int | None) -> str:
    return str(value) if value else ""


def sources_document(source: str, name: str) -> dict[str, Any]:
    """`sources.yaml` with one source, a label that makes a group of it, and a query for models that stream.

    Args:
        source: id of the source, for ever.
        name: what people read.
    """
    return {
        "model_catalogs": [
            {
                "id": source,
                "name": name,
                "type": "yaml",
                "enabled": True,
                "labels": [name],
                "properties": {PATH: MODELS},
            }
        ],
        "labels": [{"name": name, "assetType": "models", "displayName": name}],
        "namedQueries": {
            "streaming": {"filters": {"load_format.string_value": {"operator": "=", "value": "runai_streamer"}}}
        },
    }
