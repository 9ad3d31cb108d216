"""The init container `storage-initializer`, and the mounts that go with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.kserve.certificates import add_bundle, bundle_for
from tests.kserve.cluster import Cluster, Release
from tests.kserve.containers import merge_containers, merge_containers_by_position
from tests.kserve.credentials import Target, add_credentials
from tests.kserve.errors import KServeError
from tests.kserve.manifests import Manifest, add_missing_variable, named, variable
from tests.kserve.mounts import ModelMount, add_model_mount, claim_and_path, common_parent, volume_name
from tests.kserve.names import (
    AGENT,
    CLAIM_VOLUME,
    INITIALIZER,
    MAIN,
    MODEL_PATH,
    MODEL_VOLUME,
    READONLY,
    TRANSFORMER,
    WORKER,
)
from tests.kserve.oci import is_oci
from tests.kserve.settings import Settings
from tests.kserve.storage_config import add_storage_config

_HUGGING_FACE = {
    "HF_HUB_ENABLE_HF_TRANSFER": "1",
    "HF_XET_HIGH_PERFORMANCE": "1",
    "HF_XET_NUM_CONCURRENT_RANGE_GETS": "8",
}


@dataclass(frozen=True)
class StorageSpec:
    """A service's `storage` block."""

    key: str = ""
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What to provide for a pod.

    Attributes:
        uris: pairs of URI and path.
        several: they come from `storageUris`, which has its own rules for volumes.
        annotations: of the pod.
        storage: use this entry of storage-config in place of the service account's secrets.
        storage_container: spec of the ClusterStorageContainer, None for what KServe's ConfigMap says alone.
    """

    namespace: str
    uris: list[tuple[str, str]]
    several: bool
    annotations: dict[str, str]
    storage: StorageSpec | None = None
    storage_container: Manifest | None = None


def provide_models(cluster: Cluster, settings: Settings, pod: Manifest, request: Request) -> bool:
    """KServe's `CommonStorageInitialization`: changes a pod spec in place.

    Returns:
        Whether an initializer was added, so that the storage container mattered.

    Raises:
        KServeError: whatever KServe would have said.
    """
    if AGENT in request.annotations or is_oci(request.uris[0][0], settings):
        return False
    if named(pod.get("initContainers"), INITIALIZER) is not None:
        return False
    server = named(pod["containers"], MAIN) or named(pod["containers"], WORKER)
    if server is None:
        raise KServeError("Invalid configuration: cannot find container")
    servers = [server["name"], *([TRANSFORMER] if named(pod["containers"], TRANSFORMER) else [])]
    read_only = request.annotations.get(READONLY) != "false"

    if request.several:
        initializer = _mount_several(settings, pod, servers, read_only, request)
    else:
        initializer = _mount_one(settings, pod, servers, read_only, request.uris[0])
        own = variable(server, "STORAGE_URI")
        if own is not None and own.get("value"):
            own["value"] = MODEL_PATH
    if initializer is None:
        return False

    volumes = pod.setdefault("volumes", [])
    if request.storage is not None:
        key, parameters = request.storage.key, request.storage.parameters
        add_storage_config(cluster, settings, request.namespace, request.annotations, key, parameters, initializer)
    else:
        account = pod.get("serviceAccountName") or ""
        target = Target(initializer, volumes)
        add_credentials(cluster, settings, request.namespace, request.annotations, account, target)
    bundle = bundle_for(initializer, settings, request.namespace)
    if request.storage_container is not None:
        merged = _with_storage_container(cluster.release, initializer, request.storage_container["container"])
        initializer.clear()
        initializer.update(merged)
    if bundle is not None:
        add_bundle(bundle, initializer, volumes)
    add_hugging_face_defaults(initializer)
    return True


def initializer_container(settings: Settings, arguments: list[str]) -> Manifest:
    """What KServe's ConfigMap says about the initializer. There is no command: the image's entry point runs."""
    values = settings.initializer
    return {
        "name": INITIALIZER,
        "image": values.get("image") or "kserve/storage-initializer:latest",
        "args": arguments,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "limits": {"cpu": values["cpuLimit"], "memory": values["memoryLimit"]},
            "requests": {"cpu": values["cpuRequest"], "memory": values["memoryRequest"]},
        },
    }


def add_hugging_face_defaults(container: Manifest) -> None:
    for name, value in _HUGGING_FACE.items():
        add_missing_variable(container, name, value)


def _with_storage_container(release: Release, initializer: Manifest, container: Manifest) -> Manifest:
    if release is Release.V0_18:
        return merge_containers_by_position(initializer, container)
    return merge_containers(initializer, container)


def _mount_one(
    settings: Settings, pod: Manifest, servers: list[str], read_only: bool, source: tuple[str, str]
) -> Manifest | None:
    uri, path = source
    if uri.startswith("pvc://"):
        claim, sub_path = claim_and_path(uri)
        mount = ModelMount(CLAIM_VOLUME, MODEL_PATH, read_only, claim, sub_path)
        for name in servers:
            add_model_mount(pod, name, mount)
        return None
    initializer = _append_initializer(settings, pod, [uri, path])
    for name in [*servers, INITIALIZER]:
        add_model_mount(pod, name, ModelMount(MODEL_VOLUME, MODEL_PATH, read_only))
    return initializer


def _mount_several(
    settings: Settings, pod: Manifest, servers: list[str], read_only: bool, request: Request
) -> Manifest | None:
    """Claims are mounted whole, whatever path their URI names; the rest shares one volume at the common parent."""
    storage_container = request.storage_container
    if storage_container is not None and not storage_container.get("supportsMultiModelDownload"):
        raise KServeError(
            f'storage container "{storage_container["container"]["name"]}" does not support multi-model download; '
            "use the default kserve storage initializer or a compatible storage container"
        )
    for uri, path in request.uris:
        if uri.startswith("pvc://"):
            for name in servers:
                add_model_mount(pod, name, ModelMount(volume_name(path), path, read_only, claim_and_path(uri)[0]))
    downloads = [pair for pair in request.uris if not pair[0].startswith("pvc://")]
    if not downloads:
        return None
    initializer = _append_initializer(settings, pod, [argument for pair in downloads for argument in pair])
    parent = common_parent([path for _, path in downloads])
    for name in [*servers, INITIALIZER]:
        add_model_mount(pod, name, ModelMount(volume_name(parent), parent, read_only))
    return initializer


def _append_initializer(settings: Settings, pod: Manifest, arguments: list[str]) -> Manifest:
    container = initializer_container(settings, arguments)
    pod.setdefault("initContainers", []).append(container)
    return container
