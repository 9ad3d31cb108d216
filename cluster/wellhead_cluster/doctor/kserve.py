"""KServe's own part: its version, its ConfigMap, and what it ships where nobody has said otherwise. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.manifests import Manifest, entries, labels_of, section, strings

NAMESPACE = "kserve"
FIRST_FULL = (0, 20)
"""The first version that merges a storage container's `env` by name, and that knows `storageContainerName`."""

_CONTROLLER = "kserve-controller-manager"
_VERSION = re.compile(r"v?(\d+)\.(\d+)")

# config/storagecontainers/default.yaml of v0.20.0.
DEFAULT_CONTAINER: Manifest = {
    "apiVersion": "serving.kserve.io/v1alpha1",
    "kind": "ClusterStorageContainer",
    "metadata": {"name": "default"},
    "spec": {
        "container": {"name": "storage-initializer", "image": "kserve/storage-initializer"},
        "workloadType": "initContainer",
        "supportsMultiModelDownload": True,
        "supportedUriFormats": [
            *({"prefix": f"{scheme}://"} for scheme in ("gs", "s3", "hdfs", "hf", "modelscope", "webhdfs")),
            {"regex": "https://(.+?).blob.core.windows.net/(.+)"},
            {"regex": "https://(.+?).file.core.windows.net/(.+)"},
            {"regex": "https?://(.+)/(.+)"},
        ],
    },
}
# config/configmap/inferenceservice.yaml of v0.20.0, as far as it matters here.
_SHIPPED: dict[str, dict[str, Any]] = {
    "storageInitializer": {"enableModelcar": True, "memoryLimit": "1Gi", "cpuLimit": "1"},
    "credentials": {
        "storageSpecSecretName": "storage-config",
        "storageSecretNameAnnotation": "serving.kserve.io/storageSecretName",
        "gcs": {"gcsCredentialFileName": "gcloud-application-credentials.json"},
        "s3": {"s3AccessKeyIDName": "AWS_ACCESS_KEY_ID", "s3SecretAccessKeyName": "AWS_SECRET_ACCESS_KEY"},
    },
    "deploy": {"defaultDeploymentMode": "Serverless"},
    "security": {"autoMountServiceAccountToken": True},
    "inferenceService": {},
    "localModel": {"enabled": False},
}


@dataclass(frozen=True, slots=True)
class Release:
    """KServe's version.

    Attributes:
        version: major and minor; None where it is not known.
        source: where it was read, or why it is not known.
    """

    version: tuple[int, int] | None
    source: str

    @property
    def full(self) -> bool:
        """Whether the full storage container works; an unknown version is taken for a new one."""
        return self.version is None or self.version >= FIRST_FULL

    def __str__(self) -> str:
        return "unknown" if self.version is None else ".".join(map(str, self.version))


def release_of(known: Known, stated: str, namespace: str = NAMESPACE) -> Release:
    """The version that was stated, else the one of the controller's Deployment."""
    if match := _VERSION.match(stated):
        return Release((int(match[1]), int(match[2])), "as stated")
    found = known.find("Deployment", _CONTROLLER, namespace)
    if not isinstance(found, dict):
        return Release(None, found.reason or f"there is no Deployment {_CONTROLLER} in namespace {namespace}")
    containers = entries(found, "spec", "template", "spec", "containers")
    tags = [str(each.get("image") or "").rpartition("/")[2].partition("@")[0].partition(":")[2] for each in containers]
    labels = labels_of(found)
    # Only KServe's own container says KServe's version; a chart's label says the chart's, which is the same.
    for text in (*tags[:1], labels.get("app.kubernetes.io/version", "")):
        if match := _VERSION.match(text):
            return Release((int(match[1]), int(match[2])), f"Deployment {namespace}/{_CONTROLLER}")
    return Release(None, f"the image of Deployment {namespace}/{_CONTROLLER} has no version in its tag")


@dataclass(frozen=True, slots=True)
class Config:
    """The ConfigMap `inferenceservice-config`.

    Attributes:
        values: key → JSON object; KServe's own as shipped where the ConfigMap is not known.
        assumed: why it is taken as shipped; empty where it was read.
    """

    values: dict[str, dict[str, Any]]
    assumed: str = ""

    def of(self, key: str) -> dict[str, Any]:
        """One key's object."""
        return self.values.get(key, {})

    @property
    def s3(self) -> dict[str, str]:
        """Names of S3's keys, and defaults of its settings."""
        return strings(self.of("credentials"), "s3")

    @property
    def google_file(self) -> str:
        """The key that makes a secret one for Google."""
        return str(section(self.of("credentials"), "gcs").get("gcsCredentialFileName") or "")

    @property
    def secret_annotation(self) -> str:
        """The annotation that names the only secret to use."""
        return str(self.of("credentials").get("storageSecretNameAnnotation") or "")

    @property
    def storage_secret(self) -> str:
        """The secret with the entries that `storage.key` names."""
        return str(self.of("credentials").get("storageSpecSecretName") or "storage-config")

    @property
    def disallowed(self) -> frozenset[str]:
        """Annotations of a service that do not reach its pods (kserve.md 3.4)."""
        own = self.of("inferenceService").get("serviceAnnotationDisallowedList") or ()
        return frozenset(map(str, own)) | _DISALLOWED


_DISALLOWED = frozenset(
    {
        "autoscaling.knative.dev/min-scale",
        "autoscaling.knative.dev/max-scale",
        "internal.serving.kserve.io/storage-initializer-sourceuri",
        "kubectl.kubernetes.io/last-applied-configuration",
        "modelFormat",
    }
)


def config_of(known: Known, namespace: str = NAMESPACE) -> Config:
    """What the ConfigMap says; as shipped where it is not known."""
    found = known.find("ConfigMap", "inferenceservice-config", namespace)
    if not isinstance(found, dict):
        return Config(_SHIPPED, found.reason or f"there is no ConfigMap inferenceservice-config in {namespace}")
    values = {}
    for key, text in strings(found, "data").items():
        try:
            value = json.loads(text)
        except ValueError:
            continue  # the `_example` of KServe's own, or a key that KServe itself could not read
        if isinstance(value, dict):
            values[key] = value
    return Config(values)
