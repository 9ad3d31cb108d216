"""One container laid over another, as KServe does it: a strategic merge, then repairs to the environment."""

from __future__ import annotations

import copy
from typing import Any

from tests.kserve.manifests import Manifest, named
from tests.kserve.strategic_merge import merge


def merge_containers(base: Manifest, overlay: Manifest) -> Manifest:
    """`MergeContainerWithPatch` of KServe 0.20: where a variable has a value and a source, the overlay's one stays."""
    merged = merge(base, overlay)
    for entry in merged.get("env", []):
        if "value" in entry and "valueFrom" in entry:
            wanted = named(overlay.get("env"), entry["name"]) or {}
            if "valueFrom" in wanted:
                del entry["value"]
            elif wanted.get("value"):
                del entry["valueFrom"]
    merged["name"] = overlay.get("name") or base["name"]
    return merged


def merge_runtime_container(runtime: Manifest, service: Manifest) -> Manifest:
    """The runtime's container with the service's fields over it; arguments are put one after the other."""
    merged = merge_containers(runtime, service)
    arguments = [*(runtime.get("args") or []), *(service.get("args") or [])]
    if arguments:
        merged["args"] = arguments
    return merged


def merge_containers_by_position(base: Manifest, overlay: Manifest) -> Manifest:
    """What KServe up to 0.19 made of a storage container.

    The merge itself was right, but its result was decoded into the container that was there before, so every list
    entry kept what the entry at the same *place* had: a variable with two sources, which the API server refuses.
    """
    merged: Manifest = _decoded_over(base, merge(base, overlay))
    merged["name"] = overlay.get("name") or base["name"]
    return merged


def _decoded_over(old: Any, new: Any) -> Any:
    """`json.Unmarshal` into a value that is not empty."""
    if isinstance(old, dict) and isinstance(new, dict):
        fields = {field: _decoded_over(old.get(field), value) for field, value in new.items()}
        return {**copy.deepcopy(old), **fields}
    if isinstance(old, list) and isinstance(new, list):
        return [_decoded_over(old[index] if index < len(old) else None, value) for index, value in enumerate(new)]
    return copy.deepcopy(new)
