"""LocalModelCache: services that are served from a node's disk, and the Jobs that put models there."""

from __future__ import annotations

import hashlib

from tests.kserve.api_defaults import default_job
from tests.kserve.cluster import Cluster
from tests.kserve.credentials import Target, add_credentials
from tests.kserve.errors import KServeError, Refused
from tests.kserve.manifests import Manifest, annotations_of, labels_of, name_of
from tests.kserve.names import CLAIM_VOLUME, LOCAL_MODEL, LOCAL_MODEL_CLAIM, LOCAL_MODEL_SOURCE, MODEL_PATH
from tests.kserve.settings import Settings
from tests.kserve.storage_config import add_storage_config
from tests.kserve.storage_containers import DOWNLOAD_JOB, Chooser

_DISABLED = "serving.kserve.io/disable-localmodel"
_NODE_GROUP = "serving.kserve.io/nodegroup"


def label_cached_model(service: Manifest, cluster: Cluster, settings: Settings) -> None:
    """Labels a service whose URI is a cached model, or lies in one; switched off as KServe ships."""
    uri = (service["spec"]["predictor"].get("model") or {}).get("storageUri")
    annotations = annotations_of(service)
    if not settings.local_model.get("enabled") or uri is None or _DISABLED in annotations:
        return
    for cache in cluster.of_kind("LocalModelCache"):
        groups = cache["spec"]["nodeGroups"]
        group = annotations.get(_NODE_GROUP, groups[0])
        if group in groups and _holds(cache["spec"]["sourceModelUri"], uri):
            service["metadata"]["labels"] = {**labels_of(service), LOCAL_MODEL: name_of(cache)}
            annotations[LOCAL_MODEL_SOURCE] = cache["spec"]["sourceModelUri"]
            annotations[LOCAL_MODEL_CLAIM] = f"{name_of(cache)}-{group}"
            service["metadata"]["annotations"] = annotations
            return


def cached_uri(uri: str, labels: dict[str, str], annotations: dict[str, str]) -> str:
    """The URI to use in a pod: a volume claim where the service was found to be cached.

    Raises:
        KServeError: the label is there without its annotation.
    """
    if LOCAL_MODEL not in labels:
        return uri
    if LOCAL_MODEL_CLAIM not in annotations:
        raise KServeError(f"Annotation {LOCAL_MODEL_CLAIM} not found")
    source = annotations.get(LOCAL_MODEL_SOURCE, "")
    path = uri.removeprefix(source)
    path = path if path.startswith("/") else f"/{path}"
    return f"pvc://{annotations[LOCAL_MODEL_CLAIM]}/models/{storage_key(source)}{path}"


def storage_key(uri: str) -> str:
    """The folder that KServe keeps a cached model in."""
    return hashlib.sha256(uri.encode()).hexdigest()[:16]


def download_jobs(owner: Manifest, cluster: Cluster, settings: Settings, chooser: Chooser) -> list[Manifest]:
    """The Jobs that fill a LocalModelNode, or a LocalModelCache on one node of each of its groups.

    Raises:
        Refused: KServe's controller would have stopped with an error.
    """
    if owner["kind"] == "LocalModelNode":
        node, models = name_of(owner), owner["spec"].get("localModels") or []
    else:
        shared = {**owner["spec"], "modelName": name_of(owner)}
        node, models = "node-1", [{**shared, "nodeGroup": group} for group in owner["spec"]["nodeGroups"]]
    try:
        return [_job(model, node, cluster, settings, chooser) for model in models]
    except KServeError as error:
        raise Refused("reconcile", str(error)) from None


def _job(model: Manifest, node: str, cluster: Cluster, settings: Settings, chooser: Chooser) -> Manifest:
    uri, name, values = model["sourceModelUri"], model["modelName"], settings.local_model
    namespace = values.get("jobNamespace") or "kserve-localmodel-jobs"
    claim = f"{name}-{model['nodeGroup']}"
    container = _container(uri, settings, chooser)
    pod: Manifest = {
        "containers": [container],
        "nodeSelector": {"kubernetes.io/hostname": node},
        "restartPolicy": "Never",
        "securityContext": {"fsGroup": values.get("fsGroup")},
        "volumes": [{"name": CLAIM_VOLUME, "persistentVolumeClaim": {"claimName": claim}}],
    }
    if model.get("storage"):
        storage = model["storage"]
        parameters = dict(storage.get("parameters") or {})
        add_storage_config(cluster, settings, namespace, {}, storage.get("key") or "", parameters, container)
    elif model.get("serviceAccountName"):
        target = Target(container, pod["volumes"])
        add_credentials(cluster, settings, namespace, {}, model["serviceAccountName"], target)
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "generateName": f"{name}-{node}",
            "namespace": namespace,
            "labels": {"model": name, "node": node},
        },
        "spec": {"ttlSecondsAfterFinished": values.get("jobTTLSecondsAfterFinished", 3600), "template": {"spec": pod}},
    }
    default_job(job)
    return job


def _container(uri: str, settings: Settings, chooser: Chooser) -> Manifest:
    """The storage container's container as it is, but for arguments and mounts, which are KServe's."""
    found = chooser.by_uri(uri, DOWNLOAD_JOB)
    container: Manifest = {
        "name": "kserve-localmodel-download",
        "image": settings.local_model.get("defaultJobImage") or "kserve/storage-initializer:latest",
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if found is not None:
        container = dict(found["container"])
    container["args"] = [uri, MODEL_PATH]
    mount = {"name": CLAIM_VOLUME, "mountPath": MODEL_PATH, "subPath": f"models/{storage_key(uri)}"}
    container["volumeMounts"] = [mount]
    return container


def _holds(cached: str, uri: str) -> bool:
    cached, uri = cached.removesuffix("/"), uri.removesuffix("/")
    return uri == cached or uri.startswith(f"{cached}/")
