"""From an LLMInferenceService to its Deployments or LeaderWorkerSets, as far as models, images and volumes go."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from tests.kserve.admission import admit_rest, admit_service_account, pod_from_template
from tests.kserve.api_defaults import default_deployment, default_pod_spec, default_requests
from tests.kserve.api_validation import validate_pod
from tests.kserve.cluster import Cluster, service_account
from tests.kserve.errors import KServeError, NotModelledError, Refused
from tests.kserve.llm_configs import child_name, is_data_parallel, resolve_spec
from tests.kserve.llm_storage import MAIN, Source, attach_model, check_adapters
from tests.kserve.manifests import Manifest, annotations_of, labels_of, name_of, named, namespace_of
from tests.kserve.quantities import canonical_resources
from tests.kserve.settings import Settings
from tests.kserve.zero_values import without_zero_values

_SIDECAR = "llm-d-routing-sidecar"
_ERROR = "ReconcileSingleNodeWorkloadError"
# Annotations and labels of the object that reach its pods; those of its spec all do.
_PASSED_ANNOTATIONS = ("k8s.v1.cni.cncf.io", "kueue.x-k8s.io", "prometheus.io", "internal.serving.kserve.io/localmodel")
_PASSED_LABELS = ("kueue.x-k8s.io", "internal.serving.kserve.io/localmodel")
_NOT_FOR_PODS = "serving.kserve.io/model-based-routing-enabled"


@dataclass(frozen=True)
class Workloads:
    """What an LLMInferenceService becomes.

    Attributes:
        workloads: the main one, then the one for prefill.
        pods: one for each template of the workloads; of a LeaderWorkerSet the leader's, then the worker's.
    """

    workloads: tuple[Manifest, ...]
    pods: tuple[Manifest, ...]


def reconcile_llm(service: Manifest, cluster: Cluster, settings: Settings) -> Workloads:
    """What KServe's controller makes of a stored service.

    Raises:
        Refused: at the stage "reconcile", or "Pod" for a service account that does not exist.
        NotModelledError: a part of the spec that changes pods in ways nobody has recorded.
    """
    builder = _Builder(service, resolve_spec(service, cluster), cluster, settings)
    unknown = [part for part in ("tracing", "kvCacheOffloading") if builder.spec.get(part)]
    if unknown or builder.spec["model"].get("confidential"):
        raise NotModelledError(", ".join(unknown) or "model.confidential")
    try:
        check_adapters(builder.spec)
    except KServeError as error:
        raise Refused("reconcile", str(error)) from None
    workloads = [builder.main(), *([builder.prefill()] if "prefill" in builder.spec else [])]
    pods = [builder.pod(each, template) for each in workloads for template in _templates(each)]
    return Workloads(tuple(workloads), tuple(pods))


@dataclass(frozen=True)
class _Builder:
    service: Manifest
    spec: Manifest
    cluster: Cluster
    settings: Settings

    def main(self) -> Manifest:
        role = "both" if "prefill" not in self.spec else "decode"
        if "worker" in self.spec:
            return self._leader_worker_set(self.spec, role, "")
        return self._deployment(self.spec, role, "")

    def prefill(self) -> Manifest:
        workload = self.spec["prefill"]
        if "worker" in workload:
            return self._leader_worker_set(workload, "prefill", "-prefill")
        return self._deployment(workload, "prefill", "-prefill")

    def pod(self, workload: Manifest, template: Manifest) -> Manifest:
        """KServe's pod webhook does not see these pods: they lack its label."""
        pod = pod_from_template(template, namespace_of(self.service))
        name = f"{name_of(workload)}-0"
        cluster = self._with_own_account(pod["spec"].get("serviceAccountName"))
        admit_service_account(pod, cluster, name)
        validate_pod(name, pod["spec"])
        default_pod_spec(pod["spec"])
        default_requests(pod["spec"])
        admit_rest(pod, cluster)
        return pod

    def _deployment(self, workload: Manifest, role: str, suffix: str) -> Manifest:
        labels = {**self._labels(f"workload{suffix}"), **_role(role)}
        pod = copy.deepcopy(workload["template"])
        account_name = pod.get("serviceAccountName") or ""
        if named(pod.get("initContainers"), _SIDECAR) is not None:
            account_name = pod["serviceAccountName"] = account_name or child_name(name_of(self.service), "-kserve")
        self._tell_sidecar(pod)
        what = "prefill" if suffix else "main"
        begin = "failed to reconcile prefill workload: " if suffix else "failed to reconcile service account: "
        self._attach(pod, account_name, f"{begin}failed to get expected {what} deployment: ", f"{what} deployment")
        name = child_name(name_of(self.service), f"-kserve{suffix}")
        metadata = {"name": name, "namespace": namespace_of(self.service), "labels": dict(labels)}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": dict(labels)},
                "template": {"metadata": self._pod_metadata(labels, workload), "spec": pod},
            },
        }
        if workload.get("replicas") is not None:
            deployment["spec"]["replicas"] = workload["replicas"]  # type: ignore[index]
        default_deployment(deployment)
        return deployment

    def _leader_worker_set(self, workload: Manifest, role: str, suffix: str) -> Manifest:
        """That labels and annotations of the spec reach leader and workers alike was not seen, only for Deployments."""
        labels = self._labels(f"workload-worker{suffix}")
        templates: Manifest = {"restartPolicy": "RecreateGroupOnPodRestart", "size": _size(workload)}
        templates["workerTemplate"] = self._member(workload, "worker", labels, suffix)
        if "template" in workload:
            leader = {**self._labels(f"workload-leader{suffix}"), **_role(role)}
            templates["leaderTemplate"] = self._member(workload, "template", leader, suffix)
        if suffix and is_data_parallel(workload):
            templates["subGroupPolicy"] = {"subGroupSize": templates["size"]}
        name = child_name(name_of(self.service), f"-kserve-mn{suffix}")
        return {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": {"name": name, "namespace": namespace_of(self.service), "labels": dict(labels)},
            "spec": {
                "leaderWorkerTemplate": templates,
                "replicas": workload.get("replicas") or 1,
                "rolloutStrategy": {"type": "RollingUpdate"},
                "startupPolicy": "LeaderCreated",
            },
        }

    def _member(self, workload: Manifest, part: str, labels: dict[str, str], suffix: str) -> Manifest:
        pod = copy.deepcopy(workload[part])
        stated = [(workload.get(each) or {}).get("serviceAccountName") for each in ("template", "worker")]
        own = child_name(name_of(self.service), f"-kserve-mn{suffix}")
        pod["serviceAccountName"] = next(filter(None, stated), own)
        begin = "failed to reconcile service account: failed to get expected main deployment: "
        self._attach(pod, pod["serviceAccountName"], begin, "main deployment")
        self._tell_sidecar(pod)
        held = without_zero_values(pod)
        for container in [*held.get("initContainers", []), *held["containers"]]:
            canonical_resources(container.setdefault("resources", {}))
        return {"metadata": self._pod_metadata(labels, workload), "spec": held}

    def _attach(self, pod: Manifest, account_name: str, begin: str, what: str) -> None:
        namespace = namespace_of(self.service)
        account = service_account(self._with_own_account(account_name), account_name or "default", namespace)
        if account is None:
            what_account = "prefill" if what.startswith("prefill") else "main"
            raise Refused(
                "reconcile",
                f"{begin}failed to fetch existing single node {what_account} service account "
                f'{namespace}/{account_name}: ServiceAccount "{account_name}" not found',
                reason=_ERROR,
            )
        try:
            attach_model(pod, Source(self.cluster, self.settings, self.service, self.spec, account))
        except KServeError as error:
            message = f"{begin}failed to attach model artifacts to {what}: {error}"
            raise Refused("reconcile", message, reason=_ERROR) from None
        if named(pod["containers"], MAIN) is None:
            raise Refused("reconcile", f"{begin}no container found with name {MAIN}", reason=_ERROR)

    def _tell_sidecar(self, pod: Manifest) -> None:
        sidecar, router = named(pod.get("initContainers"), _SIDECAR), self.spec.get("router")
        if sidecar is not None and router is not None:
            pool = ((router.get("scheduler") or {}).get("pool") or {}).get("ref") or {}
            name = pool.get("name") or child_name(name_of(self.service), "-inference-pool")
            sidecar.setdefault("env", []).append({"name": "INFERENCE_POOL_NAME", "value": name})

    def _with_own_account(self, name: str | None) -> Cluster:
        """KServe makes accounts of its own, with the secrets and annotations of `default`."""
        namespace, start = namespace_of(self.service), f"{name_of(self.service)}-kserve"
        if name is None or not name.startswith(start) or self.cluster.find("ServiceAccount", name, namespace):
            return self.cluster
        made = {**(service_account(self.cluster, "default", namespace) or {})}
        made["metadata"] = {**made["metadata"], "name": name}
        return Cluster((*self.cluster.objects, made), self.cluster.release)

    def _labels(self, component: str) -> dict[str, str]:
        return {
            "app.kubernetes.io/component": f"llminferenceservice-{component}",
            "app.kubernetes.io/name": name_of(self.service),
            "app.kubernetes.io/part-of": "llminferenceservice",
        }

    def _pod_metadata(self, labels: dict[str, str], workload: Manifest) -> Manifest:
        passed = _starting(annotations_of(self.service), _PASSED_ANNOTATIONS)
        annotations = {**passed, **(workload.get("annotations") or {})}
        annotations.pop(_NOT_FOR_PODS, None)
        own = _starting(labels_of(self.service), _PASSED_LABELS)
        metadata: Manifest = {"labels": {**labels, **own, **(workload.get("labels") or {})}}
        return {**metadata, "annotations": annotations} if annotations else metadata


def _templates(workload: Manifest) -> list[Manifest]:
    if workload["kind"] == "Deployment":
        return [workload["spec"]["template"]]
    templates = workload["spec"]["leaderWorkerTemplate"]
    return [templates[name] for name in ("leaderTemplate", "workerTemplate") if name in templates]


def _role(role: str) -> dict[str, str]:
    return {"kserve.io/component": "workload", "llm-d.ai/role": role}


def _size(workload: Manifest) -> int:
    parallelism = workload.get("parallelism") or {}
    if is_data_parallel(workload):
        return max(int(parallelism.get("data", 1)) // int(parallelism.get("dataLocal", 1)), 1)
    return int(parallelism.get("pipeline", 1))


def _starting(values: dict[str, str], prefixes: tuple[str, ...]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key.startswith(prefixes)}
