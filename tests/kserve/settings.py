"""KServe's ConfigMap `inferenceservice-config`, as far as pods depend on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.kserve.cluster import Cluster

SYSTEM_NAMESPACE = "kserve"


@dataclass(frozen=True)
class Settings:
    """One attribute per key of the ConfigMap, each with KServe's own JSON field names inside."""

    initializer: dict[str, Any]
    credentials: dict[str, Any]
    deploy: dict[str, Any]
    security: dict[str, Any]
    service: dict[str, Any]
    metrics: dict[str, Any]
    local_model: dict[str, Any]

    @classmethod
    def of(cls, cluster: Cluster) -> Settings:
        found = cluster.find("ConfigMap", "inferenceservice-config", SYSTEM_NAMESPACE) or {}
        data = found.get("data") or {}
        names = {
            "initializer": "storageInitializer",
            "credentials": "credentials",
            "deploy": "deploy",
            "security": "security",
            "service": "inferenceService",
            "metrics": "metricsAggregator",
            "local_model": "localModel",
        }
        return cls(**{attribute: json.loads(data.get(key) or "{}") for attribute, key in names.items()})

    @property
    def s3(self) -> dict[str, str]:
        return dict(self.credentials.get("s3") or {})

    @property
    def secret_name_annotation(self) -> str:
        return str(self.credentials.get("storageSecretNameAnnotation") or "")

    @property
    def disallowed_annotations(self) -> frozenset[str]:
        """Annotations of a service that do not reach its pods."""
        return DISALLOWED_ANNOTATIONS | set(self.service.get("serviceAnnotationDisallowedList") or ())


DISALLOWED_ANNOTATIONS = frozenset(
    {
        "autoscaling.knative.dev/min-scale",
        "autoscaling.knative.dev/max-scale",
        "internal.serving.kserve.io/storage-initializer-sourceuri",
        "kubectl.kubernetes.io/last-applied-configuration",
        "modelFormat",
    }
)
