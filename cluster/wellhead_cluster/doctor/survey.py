"""What to read in a cluster for one service, and nothing more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.manifests import Manifest, annotations_of, entries, name_of, section, strings
from wellhead_cluster.doctor.situation import SERVICES
from wellhead_storage.errors import AccessDenied, ObjectNotFound

if TYPE_CHECKING:
    from wellhead_cluster.doctor.api import Api

_OF_CLUSTER = ("ClusterServingRuntime", "ClusterStorageContainer", "LocalModelCache")
_OF_NAMESPACE = ("ServingRuntime", "LocalModelNamespaceCache")
_CLAIMS = "PersistentVolumeClaim"  # names of claims stand in too many places to ask for each
_SECRET_ANNOTATION = "serving.kserve.io/storageSecretName"  # noqa: S105 - the name of an annotation
_BUNDLE = "serving.kserve.io/s3-cabundle-configmap"
_CONFIGS = "LLMInferenceServiceConfig"


def find_service(api: Api, name: str, namespace: str) -> Manifest:
    """The service of that name, of either kind.

    Raises:
        ObjectNotFound: there is none.
        AccessDenied: nobody may look.
    """
    for kind in SERVICES:
        if found := api.get(kind, name, namespace):
            return found
    refused = [api.gaps[f"{kind}/{name}"] for kind in SERVICES if f"{kind}/{name}" in api.gaps]
    if refused:
        raise AccessDenied(
            f"Whether there is a service {namespace}/{name} is not known: {refused[0]}.",
            "Ask for the rights in docs/doctor.md, or give its manifest with -f.",
        )
    raise ObjectNotFound(
        f"There is no InferenceService and no LLMInferenceService {namespace}/{name}.",
        "Name its namespace with -n, or give its manifest with -f.",
    )


def read_surroundings(api: Api, service: Manifest, namespace: str, kserve: str) -> Known:
    """Everything that the checks ask for.

    Args:
        api: connected.
        service: the object, from the cluster or from a file.
        namespace: of the service.
        kserve: KServe's own.
    """
    objects: list[Manifest] = [service]

    def get(kind: str, name: str, space: str) -> Manifest | None:
        found = api.get(kind, name, space) if name else None
        if found:
            objects.append(found)
        return found

    get("Deployment", "kserve-controller-manager", kserve)
    get("ConfigMap", "inferenceservice-config", kserve)
    objects += api.list(_CLAIMS, namespace)
    if service["kind"] == "InferenceService":
        for kind in (*_OF_CLUSTER, *_OF_NAMESPACE):
            objects += api.list(kind, namespace if kind in _OF_NAMESPACE else "")
        get("Deployment", f"{name_of(service)}-predictor", namespace)
        accounts = [section(service, "spec", "predictor")]
    else:
        accounts = _templates(section(service, "spec"))
        for reference in entries(service, "spec", "baseRefs"):
            config = get(_CONFIGS, str(reference.get("name")), namespace) or get(
                _CONFIGS, str(reference.get("name")), kserve
            )
            accounts += _templates(section(config or {}, "spec"))
        for kind in ("ConfigMap", "Secret"):
            get(kind, f"{name_of(service)}-wellhead", namespace)
    secrets = {annotations_of(service).get(_SECRET_ANNOTATION, ""), *_referred(objects, "Secret")}
    if section(service, "spec", "predictor", "model", "storage"):
        secrets.add(_storage_secret(objects))
    maps = {*_referred(objects, "ConfigMap"), "global-ca-bundle"}
    for name in sorted({str(each.get("serviceAccountName") or "default") for each in accounts} or {"default"}):
        account = get("ServiceAccount", name, namespace) or {}
        secrets |= {str(each.get("name") or "") for each in entries(account, "secrets")}
        maps.add(annotations_of(account).get(_BUNDLE, ""))
    for name in sorted(secrets - {""}):
        secret = get("Secret", name, namespace) or {}
        maps.add(annotations_of(secret).get(_BUNDLE, ""))
    for name in sorted(maps - {""}):
        get("ConfigMap", name, namespace)
    return Known(tuple(objects), namespace, dict(api.gaps))


def _templates(spec: Manifest) -> list[Manifest]:
    """Pod templates of an LLMInferenceService, or of one of its configs."""
    workloads = (spec, section(spec, "prefill"))
    return [section(workload, part) for workload in workloads for part in ("template", "worker") if part in workload]


def _referred(objects: list[Manifest], kind: str) -> set[str]:
    """Secrets or ConfigMaps that containers take variables from, wherever in these objects."""
    fields = {"Secret": ("secretRef", "secretKeyRef"), "ConfigMap": ("configMapRef", "configMapKeyRef")}[kind]
    found: set[str] = set()

    def look(value: object) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                name = inner.get("name") if key in fields and isinstance(inner, dict) else None
                found.update({name} if isinstance(name, str) and "{{" not in name else ())
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    for each in objects:
        look(section(each, "spec"))
    return found


def _storage_secret(objects: list[Manifest]) -> str:
    for each in objects:
        if each["kind"] == "ConfigMap" and name_of(each) == "inferenceservice-config":
            try:
                values = json.loads(strings(each, "data").get("credentials") or "{}")
            except ValueError:
                break
            return str(values.get("storageSpecSecretName") or "storage-config")
    return "storage-config"
