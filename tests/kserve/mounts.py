"""Model volumes: how they get into a pod, and how their names and paths are found."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kserve.manifests import Manifest, named


@dataclass(frozen=True)
class ModelMount:
    """A volume at a path. It is an emptyDir unless it is a claim.

    Attributes:
        read_only: for the model server; an initializer always writes.
    """

    volume: str
    path: str
    read_only: bool
    claim: str = ""
    sub_path: str = ""


def add_model_mount(pod: Manifest, container_name: str, mount: ModelMount) -> None:
    """Mounts the volume in a container, and adds it to the pod, each unless it is there already.

    "Already" goes by the volume's name alone: a runtime that declares the model volume decides what it is, and one that
    mounts it decides where and whether it can be written.
    """
    container = named(pod.get("containers"), container_name)
    read_only = mount.read_only
    if container is None:
        container, read_only = named(pod.get("initContainers"), container_name), False
    if container is None:
        return
    mounts = container.setdefault("volumeMounts", [])
    if named(mounts, mount.volume) is not None:
        return
    entry: Manifest = {"name": mount.volume, "mountPath": mount.path}
    if read_only:
        entry["readOnly"] = True
    if mount.sub_path:
        entry["subPath"] = mount.sub_path
    mounts.append(entry)
    volumes = pod.setdefault("volumes", [])
    if named(volumes, mount.volume) is None:
        source = {"persistentVolumeClaim": {"claimName": mount.claim}} if mount.claim else {"emptyDir": {}}
        volumes.append({"name": mount.volume, **source})


def claim_and_path(uri: str) -> tuple[str, str]:
    """`pvc://claim/a/b` → `("claim", "a/b")`."""
    claim, _, path = uri.removeprefix("pvc://").partition("/")
    return claim, path


def common_parent(paths: list[str]) -> str:
    """The deepest folder that holds every path, `/` where they share none; a single path is its own."""
    if len(paths) == 1:
        return paths[0]
    parts = [path.strip("/").split("/") if path.strip("/") else [] for path in paths]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "/" + "/".join(shared)


def volume_name(path: str) -> str:
    """`/mnt/models` → `mnt-models`."""
    return path.strip("/").replace("/", "-")
