"""KServe's webhook for the pods of InferenceServices."""

from __future__ import annotations

import json

from tests.kserve.cluster import Cluster, Release
from tests.kserve.errors import KServeError, NotModelledError, Refused
from tests.kserve.initializer import Request, StorageSpec, provide_models
from tests.kserve.local_models import cached_uri
from tests.kserve.manifests import Manifest, named
from tests.kserve.names import (
    AGENT,
    INITIALIZER,
    MODEL_PATH,
    SERVICE_LABEL,
    SOURCE_URI,
    STORAGE_CONTAINER,
    STORAGE_SPEC,
    STORAGE_SPEC_KEY,
    STORAGE_SPEC_PARAMETERS,
)
from tests.kserve.oci import add_image
from tests.kserve.settings import Settings
from tests.kserve.storage_containers import Chooser

_WEBHOOK = "inferenceservice.kserve-webhook-server.pod-mutator"
_AGGREGATE, _SCRAPE = "serving.kserve.io/enable-metric-aggregation", "serving.kserve.io/enable-prometheus-scraping"
_USER = "serving.kserve.io/storage-initializer-uid"
_INTERCEPTION, _SIDECARS = "sidecar.istio.io/interceptionMode", "sidecar.istio.io/status"
_ISTIO_USER = 1337
_ACCELERATOR, _ACCELERATOR_LABEL = "serving.kserve.io/gke-accelerator", "cloud.google.com/gke-accelerator"


def mutate_pod(pod: Manifest, cluster: Cluster, settings: Settings, chooser: Chooser) -> None:
    """Changes a pod in place; one that is not KServe's stays as it is.

    Raises:
        Refused: at the stage "Pod".
        NotModelledError: a pod that wants KServe's agent.
    """
    if SERVICE_LABEL not in pod["metadata"].get("labels", {}):
        return
    try:
        _mutate(pod, cluster, settings, chooser)
    except KServeError as error:
        raise Refused("Pod", f'admission webhook "{_WEBHOOK}" denied the request: {error}') from None


def _mutate(pod: Manifest, cluster: Cluster, settings: Settings, chooser: Chooser) -> None:
    metadata, spec = pod["metadata"], pod["spec"]
    annotations = metadata.setdefault("annotations", {})
    if AGENT in annotations:
        raise NotModelledError("KServe's agent")
    _select_accelerator(spec, annotations)
    source = annotations.get(SOURCE_URI)
    if source is not None:
        uri = cached_uri(source, metadata["labels"], annotations)
        request = Request(
            namespace=metadata["namespace"],
            uris=[(uri, MODEL_PATH)],
            several=False,
            annotations=annotations,
            storage=_storage_spec(annotations),
            storage_container=_storage_container(uri, annotations, cluster.release, chooser),
        )
        if not provide_models(cluster, settings, spec, request):
            chooser.forget()
    initializer, user = named(spec.get("initContainers"), INITIALIZER), _network_user(spec, annotations)
    if initializer is not None and user is not None:
        initializer["securityContext"] = {**(initializer.get("securityContext") or {}), "runAsUser": user}
    _annotate_for_prometheus(annotations, settings)
    if source is not None:
        add_image(source, settings, spec)


def _storage_spec(annotations: dict[str, str]) -> StorageSpec | None:
    if annotations.get(STORAGE_SPEC) != "true":
        return None
    parameters = json.loads(annotations.get(STORAGE_SPEC_PARAMETERS) or "{}")
    return StorageSpec(annotations.get(STORAGE_SPEC_KEY, ""), parameters)


def _storage_container(uri: str, annotations: dict[str, str], release: Release, chooser: Chooser) -> Manifest | None:
    """By name where an annotation has one, which KServe before 0.20 does not read."""
    name = annotations.get(STORAGE_CONTAINER)
    if name and release is not Release.V0_18:
        return chooser.by_name(name, uri)
    return chooser.by_uri(uri)


def _select_accelerator(spec: Manifest, annotations: dict[str, str]) -> None:
    limits = [(each.get("resources") or {}).get("limits") or {} for each in spec["containers"]]
    if _ACCELERATOR in annotations and any("nvidia.com/gpu" in each for each in limits):
        spec["nodeSelector"] = {**(spec.get("nodeSelector") or {}), _ACCELERATOR_LABEL: annotations[_ACCELERATOR]}


def _network_user(spec: Manifest, annotations: dict[str, str]) -> int | None:
    """The user whose traffic Istio lets through before its sidecar runs: the one asked for, or the sidecar's own."""
    if _USER in annotations:
        asked = annotations[_USER]
        return int(asked) if asked.lstrip("+-").isdigit() else None
    if named(spec.get("initContainers"), "istio-init") or annotations.get(_INTERCEPTION) != "REDIRECT":
        return None
    sidecars = json.loads(annotations.get(_SIDECARS) or "{}").get("containers") or []
    sidecar = named(spec["containers"], sidecars[0]) if sidecars else None
    return None if sidecar is None else (sidecar.get("securityContext") or {}).get("runAsUser", _ISTIO_USER)


def _annotate_for_prometheus(annotations: dict[str, str], settings: Settings) -> None:
    """Port and path only where scraping is asked for; the ports are those of Knative's queue-proxy."""
    annotations.setdefault(_AGGREGATE, settings.metrics.get("enableMetricAggregation") or "false")
    annotations.setdefault(_SCRAPE, settings.metrics.get("enablePrometheusScraping") or "false")
    if annotations[_SCRAPE] == "true":
        annotations["prometheus.io/port"] = "9088" if annotations[_AGGREGATE] == "true" else "9091"
        annotations["prometheus.io/path"] = "/metrics"
