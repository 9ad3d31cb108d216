"""A private CA for the initializer, from KServe's ConfigMap or from S3 settings."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from tests.kserve.manifests import Manifest, add_missing_variable, variable
from tests.kserve.settings import SYSTEM_NAMESPACE, Settings

_VOLUME = "cabundle-cert"
_PATH = "/etc/ssl/custom-certs"


@dataclass(frozen=True)
class Bundle:
    """A ConfigMap with certificates, and the folder it is mounted at."""

    config_map: str
    path: str


def bundle_for(container: Manifest, settings: Settings, namespace: str) -> Bundle | None:
    """Decided by the variables that the container has *now*: before the storage container is merged over it.

    Outside KServe's own namespace the cluster-wide bundle is expected in a ConfigMap called `global-ca-bundle`.
    """
    name = settings.initializer.get("caBundleConfigMapName") or ""
    own = variable(container, "AWS_CA_BUNDLE_CONFIGMAP")
    if not name and own is None:
        return None
    if namespace != SYSTEM_NAMESPACE:
        name = "global-ca-bundle"
    if own is not None:
        name = own.get("value", "")
    file = variable(container, "AWS_CA_BUNDLE")
    folder = settings.initializer.get("caBundleVolumeMountPath") or _PATH
    return Bundle(name, folder if file is None else posixpath.dirname(file.get("value", "")) or ".")


def add_bundle(bundle: Bundle, container: Manifest, volumes: list[Manifest]) -> None:
    """Tells the container about the bundle, unless it was told otherwise, and mounts it."""
    add_missing_variable(container, "CA_BUNDLE_CONFIGMAP_NAME", bundle.config_map)
    add_missing_variable(container, "CA_BUNDLE_VOLUME_MOUNT_POINT", bundle.path)
    volumes.append({"name": _VOLUME, "configMap": {"name": bundle.config_map}})
    mount = {"name": _VOLUME, "mountPath": bundle.path, "readOnly": True}
    container.setdefault("volumeMounts", []).append(mount)
