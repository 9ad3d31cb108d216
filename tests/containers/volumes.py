"""The volumes of a pod, on this machine."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.containers.kubelet import memory_mounted
from tests.containers.pod import Mount
from tests.kserve.cluster import Cluster, secret_data
from tests.kserve.manifests import namespace_of
from tests.kserve.quantities import amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.kserve.manifests import Manifest

TOKEN = "header.payload.signature-of-a-service-account-token"


@contextmanager
def volumes(pod: Manifest, cluster: Cluster, folder: Path, claims: Path) -> Iterator[Mapping[str, Path]]:
    """Make every volume of a pod; those in memory are gone afterwards.

    Args:
        pod: the manifest.
        cluster: has the Secrets and ConfigMaps.
        folder: a new folder for what lives as long as the pod.
        claims: a folder in which each PersistentVolumeClaim is a folder of its own.
    """
    folder.mkdir()
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    with ExitStack() as stack:
        made = {}
        for volume in pod["spec"].get("volumes") or []:
            path = folder / volume["name"]
            if claim := volume.get("persistentVolumeClaim"):
                path = claims / claim["claimName"]
            made[volume["name"]] = path
            _make(stack, volume, path, pod, cluster)
            if group is not None and ("emptyDir" in volume or claim):
                # As the kubelet does for `fsGroup`.
                os.chown(path, -1, group)
                path.chmod(0o2775)
        yield made


def mounts(container: Manifest, made: Mapping[str, Path]) -> list[Mount]:
    """Where the container sees them."""
    found = []
    for mount in container.get("volumeMounts") or []:
        source = made[mount["name"]]
        if inner := (mount.get("subPath") or "").strip("/"):
            source /= inner
            source.mkdir(parents=True, exist_ok=True)
            source.chmod(made[mount["name"]].stat().st_mode & 0o7777)
        found.append(Mount(source, mount["mountPath"], writable=not mount.get("readOnly")))
    return found


def _make(stack: ExitStack, volume: Manifest, path: Path, pod: Manifest, cluster: Cluster) -> None:
    if "emptyDir" in volume:
        directory = volume["emptyDir"]
        if directory.get("medium") == "Memory":
            size = int(amount(directory.get("sizeLimit", "2Gi")))
            stack.enter_context(memory_mounted(path, str(size)))
        else:
            path.mkdir()
            path.chmod(0o777)
    elif "persistentVolumeClaim" in volume:
        path.mkdir(exist_ok=True)
    elif "projected" in volume:
        path.mkdir()
        for source in volume["projected"]["sources"]:
            if token := source.get("serviceAccountToken"):
                (path / token["path"]).write_text(TOKEN)
    elif "secret" in volume:
        _write(path, cluster.find("Secret", volume["secret"]["secretName"], namespace_of(pod)), volume["secret"])
    elif "configMap" in volume:
        _write(path, cluster.find("ConfigMap", volume["configMap"]["name"], namespace_of(pod)), volume["configMap"])
    else:
        raise NotImplementedError(f"volume {volume}")


def _write(path: Path, found: Manifest | None, source: Manifest) -> None:
    if found is None and not source.get("optional"):
        raise LookupError(f"MountVolume.SetUp failed: {source}")
    path.mkdir()
    content = {} if found is None else secret_data(found) if found["kind"] == "Secret" else found.get("data") or {}
    for key, value in content.items():
        (path / key).write_text(value)
