"""Models in images: a sidecar (modelcar) or an image volume."""

from __future__ import annotations

from tests.kserve.errors import KServeError, NotModelledError
from tests.kserve.manifests import Manifest, named, set_variable
from tests.kserve.mounts import ModelMount, add_model_mount
from tests.kserve.names import MAIN, MODEL_PATH, MODEL_VOLUME, TRANSFORMER
from tests.kserve.settings import Settings

_MODES = ("native", "modelcar", "fetch")
# KServe has a shell script here. Nothing depends on it, so it is left out, as in the recorded pods.
_SCRIPT = "# KServe's own script, left out here"


def is_oci(uri: str, settings: Settings) -> bool:
    """An image that KServe brings into the pod without an initializer, or not at all."""
    mode, _ = _mode_and_image(uri, settings)
    return mode is not None


def add_image(uri: str, settings: Settings, pod: Manifest) -> None:
    """Brings the image to the model server and, where there is one, to the transformer.

    `oci+native://` and its like do nothing unless the ConfigMap has `enableOciModelSupport` (it has not as shipped).

    Raises:
        KServeError: no container to bring it to.
        NotModelledError: a mode whose pods nobody has recorded.
    """
    mode, image = _mode_and_image(uri, settings)
    if not mode:
        return
    if mode == "fetch":
        raise NotModelledError("oci+fetch://: what KServe does with it is not known well enough")
    for name in [MAIN, *([TRANSFORMER] if named(pod["containers"], TRANSFORMER) else [])]:
        add_image_to(pod, name, mode, image, settings)


def add_image_to(pod: Manifest, container_name: str, mode: str, image: str, settings: Settings) -> None:
    """Brings an image to one container, as `modelcar` or `native`."""
    container = named(pod["containers"], container_name)
    if container is None:
        raise KServeError(f"no container found with name {container_name}")
    if mode == "native":
        _add_image_volume(pod, container, image)
    else:
        _add_modelcar(pod, container, image, settings)


def _mode_and_image(uri: str, settings: Settings) -> tuple[str | None, str]:
    """The mode is None where the URI is no image for KServe, and empty where it is one, but switched off."""
    scheme, _, image = uri.partition("://")
    values = settings.initializer
    enabled = bool(values.get("enableOciModelSupport"))
    if scheme == "oci":
        default = "modelcar" if enabled or values.get("enableModelcar") else None
        return values.get("ociModelMode") or default, image
    if scheme.startswith("oci+") and scheme.removeprefix("oci+") in _MODES:
        return scheme.removeprefix("oci+") if enabled else "", image
    return None, image


def _add_image_volume(pod: Manifest, container: Manifest, image: str) -> None:
    """From KServe's documentation, not from a recorded pod: read-only, from the image's folder `models`."""
    add_model_mount(pod, container["name"], ModelMount(MODEL_VOLUME, MODEL_PATH, True, sub_path="models"))
    volume = named(pod["volumes"], MODEL_VOLUME)
    if volume is not None and "emptyDir" in volume:
        del volume["emptyDir"]
        volume["image"] = {"reference": image, "pullPolicy": "IfNotPresent"}


def _add_modelcar(pod: Manifest, container: Manifest, image: str, settings: Settings) -> None:
    """The model server sees the sidecar's files through a link, which may appear a little late."""
    set_variable(container, "MODEL_INIT_MODE", "async")
    add_model_mount(pod, container["name"], ModelMount(MODEL_VOLUME, "/mnt", False))
    user = settings.initializer.get("uidModelcar")
    if user is not None:
        container["securityContext"] = {**(container.get("securityContext") or {}), "runAsUser": user}
    if named(pod["containers"], "modelcar") is None:
        sidecar = _image_container("modelcar", image, settings)
        sidecar["volumeMounts"] = [{"name": MODEL_VOLUME, "mountPath": "/mnt"}]
        if user is not None:
            sidecar["securityContext"] = {"runAsUser": user}
        pod["containers"].append(sidecar)
        pod.setdefault("initContainers", []).append(_image_container("modelcar-init", image, settings))
    pod["shareProcessNamespace"] = True


def _image_container(name: str, image: str, settings: Settings) -> Manifest:
    values = settings.initializer
    size = {"cpu": values.get("cpuModelcar") or "10m", "memory": values.get("memoryModelcar") or "15Mi"}
    return {
        "name": name,
        "image": image,
        "args": ["sh", "-c", _SCRIPT],
        "resources": {"limits": dict(size), "requests": dict(size)},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
