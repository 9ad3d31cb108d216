"""Kubernetes' strategic merge of pod specs and containers, with the order that it leaves lists in.

Held against `kubectl patch --local --type strategic` in test_strategic_merge.py.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.kserve.manifests import Manifest

# The lists of a pod spec that merge element by element, and the field that tells elements apart (`patchMergeKey` in
# k8s.io/api/core/v1). Every other list is replaced as a whole: args, command, envFrom, tolerations, …
MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "topologySpreadConstraints": "topologyKey",
}


def merge(original: Manifest, patch: Manifest) -> Manifest:
    """`patch` laid over `original`; both stay as they are. A null in the patch removes the field."""
    merged = copy.deepcopy(original)
    for field, value in patch.items():
        if value is None:
            merged.pop(field, None)
        else:
            merged[field] = _merged_field(field, merged.get(field), copy.deepcopy(value))
    return merged


def _merged_field(field: str, old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return merge(old, new)
    if isinstance(old, list) and isinstance(new, list) and field in MERGE_KEYS:
        return merge_lists(old, new, MERGE_KEYS[field])
    return new


def merge_lists(original: list[Manifest], patch: list[Manifest], key: str) -> list[Manifest]:
    """Elements with the same key merge, the others are added.

    The order is the patch's. An element that only the original has goes before the first element of the patch that
    stood behind it in the original; so what only the patch has tends to come first.
    """
    merged = {element.get(key): element for element in original}
    for element in patch:
        identity = element.get(key)
        merged[identity] = merge(merged[identity], element) if identity in merged else copy.deepcopy(element)
    patched = list(dict.fromkeys(element.get(key) for element in patch))
    place = {element.get(key): index for index, element in enumerate(original)}
    kept = [identity for identity in place if identity not in patched]

    ordered = []
    while kept and patched:
        behind = place.get(patched[0])
        ordered.append(kept.pop(0) if behind is not None and place[kept[0]] < behind else patched.pop(0))
    return [merged[identity] for identity in [*ordered, *patched, *kept]]
