"""Kubernetes' own admission of pods, as far as it changes them; and which of it comes before KServe's webhook."""

from __future__ import annotations

import copy

from tests.kserve.cluster import Cluster, service_account
from tests.kserve.errors import Refused
from tests.kserve.manifests import Manifest, named

_TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_VOLUME = "kube-api-access-xxxxx"
_PATIENCE = 300


def pod_from_template(template: Manifest, namespace: str) -> Manifest:
    """What a ReplicaSet creates, without a name."""
    metadata = {**copy.deepcopy(template.get("metadata") or {}), "namespace": namespace}
    metadata.pop("name", None)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": copy.deepcopy(template["spec"])}


def admit_service_account(pod: Manifest, cluster: Cluster, name: str) -> None:
    """Before KServe's webhook: the account exists, its token is mounted in every container that is there by now.

    Args:
        name: of the pod, for the refusal.

    Raises:
        Refused: at the stage "Pod", if there is no such account.
    """
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    account_name = spec.get("serviceAccountName") or "default"
    account = service_account(cluster, account_name, namespace)
    if account is None:
        raise Refused(
            "Pod",
            f'pods "{name}" is forbidden: error looking up service account {namespace}/{account_name}: '
            f'serviceaccount "{account_name}" not found',
        )
    spec["serviceAccountName"] = spec["serviceAccount"] = account_name
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = account["imagePullSecrets"]
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        mount_token(pod)


def mount_token(pod: Manifest) -> None:
    """Idempotent: after KServe's webhook it runs again and reaches the init container too."""
    spec, mounted = pod["spec"], False
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        mounts = container.setdefault("volumeMounts", [])
        if not any(mount["mountPath"] == _TOKEN_PATH for mount in mounts):
            mounts.append({"name": TOKEN_VOLUME, "mountPath": _TOKEN_PATH, "readOnly": True})
            mounted = True
    volumes = spec.setdefault("volumes", [])
    if mounted and named(volumes, TOKEN_VOLUME) is None:
        volumes.append(_token_volume())


def admit_rest(pod: Manifest, cluster: Cluster) -> None:
    """Priority, tolerations, links."""
    spec = pod["spec"]
    spec.setdefault("enableServiceLinks", True)
    priority = cluster.find("PriorityClass", spec.get("priorityClassName") or "") or {}
    spec.setdefault("priority", priority.get("value", 0))
    spec.setdefault("preemptionPolicy", priority.get("preemptionPolicy", "PreemptLowerPriority"))
    tolerations = spec.setdefault("tolerations", [])
    for condition in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{condition}"
        if not any(_tolerates(toleration, key) for toleration in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _PATIENCE}
            )


def _tolerates(toleration: Manifest, key: str) -> bool:
    return toleration.get("key") in {None, "", key} and toleration.get("effect") in {None, "", "NoExecute"}


def _token_volume() -> Manifest:
    """The kubelet's token, good for an hour and seven seconds."""
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources: list[Manifest] = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": TOKEN_VOLUME, "projected": {"defaultMode": 420, "sources": sources}}
