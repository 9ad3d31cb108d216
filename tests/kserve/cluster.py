"""The objects that a cluster holds: KServe's own, and the manifests that were applied to it."""

from __future__ import annotations

import base64
import copy
import enum
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from tests.kserve.manifests import Manifest, namespace_of

_STOCK = Path(__file__).with_name("stock")
_CLUSTER_SCOPED = {
    *("Namespace", "ClusterStorageContainer", "ClusterServingRuntime", "PriorityClass"),
    *("LocalModelCache", "LocalModelNode", "LocalModelNodeGroup"),
}


class Release(enum.Enum):
    """Versions of KServe that build different pods."""

    V0_18 = "0.18"
    V0_20 = "0.20"


@dataclass(frozen=True)
class Cluster:
    """What `kubectl get` would find. Build one with `with_stock`."""

    objects: tuple[Manifest, ...]
    release: Release = Release.V0_20

    @classmethod
    def with_stock(cls, manifests: list[Manifest], release: Release = Release.V0_20) -> Cluster:
        """KServe's own objects (tests/kserve/stock) with `manifests` applied over them, the last one of a name wins."""
        applied: dict[tuple[str, str, str], Manifest] = {}
        for manifest in [*_stock(), *manifests]:
            key = _key(manifest)
            kept = applied[key].get("data") if manifest["kind"] == "ConfigMap" and key in applied else None
            applied[key] = {**manifest, "data": {**kept, **(manifest.get("data") or {})}} if kept else manifest
        return cls(tuple(applied.values()), release)

    def of_kind(self, kind: str, namespace: str | None = None) -> list[Manifest]:
        """Every object of that kind, in one namespace or in all."""
        return [
            each
            for each in self.objects
            if each["kind"] == kind and (namespace is None or namespace_of(each) == namespace)
        ]

    def find(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        return next((each for each in self.of_kind(kind, namespace) if each["metadata"]["name"] == name), None)


@cache
def _stock() -> tuple[Manifest, ...]:
    return tuple(manifest for path in sorted(_STOCK.glob("*.yaml")) for manifest in parse(path.read_text()))


def parse(text: str) -> list[Manifest]:
    """The objects of a YAML file of one or more documents; a `List` counts as what it holds.

    Raises:
        ValueError: a document that is no Kubernetes object.
    """
    objects: list[Manifest] = []
    for document in yaml.safe_load_all(text):
        if document is None:
            continue
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            raise ValueError(f"this is no Kubernetes object: {str(document)[:80]}")
        objects += document["items"] if document["kind"] == "List" else [document]
    for each in objects:
        if not (each.get("metadata") or {}).get("name"):
            raise ValueError(f"a {each['kind']} without a name")
    return objects


def secret_data(secret: Manifest) -> dict[str, str]:
    """The content of a Secret, `stringData` over decoded `data`."""
    decoded = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
    return {**decoded, **(secret.get("stringData") or {})}


def service_account(cluster: Cluster, name: str, namespace: str) -> Manifest | None:
    """The account; `default` exists in every namespace without being asked for."""
    found = cluster.find("ServiceAccount", name, namespace)
    if found is None and name == "default":
        return {"kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
    return copy.deepcopy(found)


def _key(manifest: Manifest) -> tuple[str, str, str]:
    namespace = "" if manifest["kind"] in _CLUSTER_SCOPED else namespace_of(manifest)
    return manifest["kind"], namespace, str(manifest["metadata"].get("name"))
