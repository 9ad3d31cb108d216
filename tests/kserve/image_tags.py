"""Images that KServe exchanges for another build of the same server."""

from __future__ import annotations

import re

from tests.kserve.manifests import Manifest
from tests.kserve.runtimes import Runtime

_TAG = re.compile(r":[\w.\-_]*$")
_SERVER_TYPE = "serving.kserve.io/server-type"
_GPUS = ("nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu", "habana.ai/gaudi")
# KServe knows its own runtimes by name too.
_TYPES = {
    "kserve-huggingfaceserver": "huggingfaceserver",
    "kserve-tensorflow-serving": "tensorflow-serving",
    "kserve-torchserve": "torchserve",
    "kserve-vllmserver": "vllmserver",
}


def update_image(container: Manifest, version: str | None, runtime: Runtime) -> None:
    """Applies `runtimeVersion`, or else what KServe thinks it knows about the server. An image by digest stays."""
    image = container.get("image") or ""
    tag = _TAG.search(image)
    kind = runtime.annotations.get(_SERVER_TYPE) or _TYPES.get(runtime.name)
    if "@sha256:" in image:
        return
    if version is not None:
        container["image"] = f"{image[: tag.start()] if tag else image}:{version}"
    elif kind is not None and tag is not None:
        repository = image[: tag.start()]
        if _uses_gpu(container):
            if kind != "vllmserver" and not image.endswith("-gpu"):
                container["image"] = f"{image}-gpu"
        elif kind == "vllmserver" and not repository.endswith("-cpu"):
            container["image"] = f"{repository}-cpu{tag[0]}"


def _uses_gpu(container: Manifest) -> bool:
    limits = (container.get("resources") or {}).get("limits") or {}
    return any(name in _GPUS or name.startswith("nvidia.com/mig-") for name in limits)
