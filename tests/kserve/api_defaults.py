"""What the API server fills in where an object says nothing. The one place that knows of it.

A LeaderWorkerSet gets none of this: it is a custom resource, and what is in it stays as KServe wrote it.
"""

from __future__ import annotations

from tests.kserve.manifests import Manifest
from tests.kserve.quantities import canonical, canonical_resources
from tests.kserve.zero_values import without_zero_values

_ROLLING_UPDATE = {"maxSurge": "25%", "maxUnavailable": "25%"}
_JOB = {
    "backoffLimit": 6,
    "completionMode": "NonIndexed",
    "completions": 1,
    "manualSelector": False,
    "parallelism": 1,
    "podReplacementPolicy": "TerminatingOrFailed",
    "suspend": False,
}
_POD = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 30,
}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def default_deployment(deployment: Manifest) -> None:
    """Defaults of a Deployment, in place. KServe states some of them itself, with the same values."""
    spec = deployment["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy["rollingUpdate"] = {**_ROLLING_UPDATE, **(strategy.get("rollingUpdate") or {})}
    default_pod_spec(spec["template"]["spec"])


def default_job(job: Manifest) -> None:
    """Defaults of a Job, in place; its selector is made of random labels and left out."""
    for field, value in _JOB.items():
        job["spec"].setdefault(field, value)
    default_pod_spec(job["spec"]["template"]["spec"])


def default_pod_spec(spec: Manifest) -> None:
    """Defaults of a pod or its template, in place."""
    held = without_zero_values(spec)
    spec.clear()
    spec.update(held)
    for field, value in _POD.items():
        spec.setdefault(field, value)
    spec.setdefault("securityContext", {})
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        _default_container(container)
    for volume in spec.get("volumes", []):
        _default_volume(volume)


def _default_container(container: Manifest) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("imagePullPolicy", "Always" if _is_latest(container.get("image", "")) else "IfNotPresent")
    canonical_resources(container.setdefault("resources", {}))
    for port in container.get("ports", []):
        port.setdefault("protocol", "TCP")
    for entry in container.get("env", []):
        _default_field_ref(entry.get("valueFrom") or {})
    for probe in [container[name] for name in _PROBES if name in container]:
        for field, value in _PROBE.items():
            probe.setdefault(field, value)
        _default_handler(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_handler(hook)


def default_requests(spec: Manifest) -> None:
    """In a pod, but not in a template: what is limited and not requested is requested in full."""
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        resources = container["resources"]
        if resources.get("limits"):
            requests = {**resources["limits"], **(resources.get("requests") or {})}
            resources["requests"] = {name: requests[name] for name in sorted(requests)}


def _is_latest(image: str) -> bool:
    if "@" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in {"", "latest"}


def _default_field_ref(source: Manifest) -> None:
    if source.get("fieldRef") is not None:
        source["fieldRef"].setdefault("apiVersion", "v1")


def _default_handler(handler: Manifest) -> None:
    if handler.get("httpGet") is not None:
        handler["httpGet"].setdefault("path", "/")
        handler["httpGet"].setdefault("scheme", "HTTP")
    if handler.get("grpc") is not None:
        handler["grpc"].setdefault("service", "")


def _default_volume(volume: Manifest) -> None:
    if len(volume) == 1:
        volume["emptyDir"] = {}
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        if volume.get(kind) is not None:
            volume[kind].setdefault("defaultMode", 420)
    if volume.get("hostPath") is not None:
        volume["hostPath"].setdefault("type", "")
    if (volume.get("emptyDir") or {}).get("sizeLimit") is not None:
        volume["emptyDir"]["sizeLimit"] = canonical(volume["emptyDir"]["sizeLimit"])
    if volume.get("image") is not None:
        latest = _is_latest(volume["image"].get("reference", ""))
        volume["image"].setdefault("pullPolicy", "Always" if latest else "IfNotPresent")
    if volume.get("ephemeral") is not None:
        _default_claim(volume["ephemeral"]["volumeClaimTemplate"])
    items = list((volume.get("downwardAPI") or {}).get("items") or [])
    for source in (volume.get("projected") or {}).get("sources") or []:
        items += (source.get("downwardAPI") or {}).get("items") or []
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    for item in items:
        _default_field_ref(item)


def _default_claim(template: Manifest) -> None:
    template.setdefault("metadata", {})
    template["spec"].setdefault("volumeMode", "Filesystem")
    canonical_resources(template["spec"].setdefault("resources", {}))
