"""Kubernetes' strategic merge, for the parts of a pod that KServe merges. Pure.

Lists whose elements have a key merge element by element (`patchMergeKey` in k8s.io/api/core/v1), every other list is
replaced. The order of elements, which nothing here depends on, is not Kubernetes'.
"""

from __future__ import annotations

import copy

from wellhead_cluster.doctor.manifests import Manifest, words

_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
}
# A variable has one source, a volume one kind, a probe one way to ask: KServe repairs the first, the API server
# refuses the others, which must stay visible.
_VALUE, _SOURCE = "value", "valueFrom"


def merge(base: Manifest, patch: Manifest) -> Manifest:
    """`patch` laid over `base`; both stay as they are. A null removes the field."""
    merged = copy.deepcopy(base)
    for field, value in patch.items():
        old = merged.get(field)
        if value is None:
            merged.pop(field, None)
        elif isinstance(old, dict) and isinstance(value, dict):
            merged[field] = merge(old, value)
        elif isinstance(old, list) and isinstance(value, list) and field in _KEYS:
            merged[field] = _merge_lists(old, value, _KEYS[field])
        else:
            merged[field] = copy.deepcopy(value)
    if _VALUE in merged and _SOURCE in merged:
        merged.pop(_SOURCE if _VALUE in patch else _VALUE)
    return merged


def merge_servers(runtime: Manifest, service: Manifest) -> Manifest:
    """A runtime's container with the service's fields over it; arguments are put one after the other."""
    merged = merge(runtime, service)
    if arguments := [*words(runtime, "args"), *words(service, "args")]:
        merged["args"] = arguments
    return merged


def _merge_lists(base: list[Manifest], patch: list[Manifest], key: str) -> list[Manifest]:
    merged: dict[object, Manifest] = {}
    for each in [*base, *patch]:
        if isinstance(each, dict):
            identity = each.get(key)
            merged[identity] = merge(merged[identity], each) if identity in merged else copy.deepcopy(each)
    return list(merged.values())
