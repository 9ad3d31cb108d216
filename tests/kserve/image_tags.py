"""Images that KServe exchanges for another build of the same server."""

from __future__ import annotations

import re

from tests.kserve.manifests import Manifest
from tests.kserve.runtimes import Runtime

_TAG = re.compile(r":[\w.\-_]*$")
_GPUS = ("nvidia.com/gpu", "amd.com/gpu", "intel.com/gpu", "habana.ai/gaudi")
# Servers that have an image with this tag for GPUs.
_WITH_GPU_TAG = ("huggingfaceserver", "tensorflow-serving", "torchserve")


def update_image(container: Manifest, version: str | None, runtime: Runtime) -> None:
    """Applies `runtimeVersion`, or else what KServe thinks it knows about the server. An image by digest stays."""
    image = container.get("image") or ""
    tag = _TAG.search(image)
    if "@sha256:" in image:
        return
    if version is not None:
        container["image"] = f"{image[: tag.start()] if tag else image}:{version}"
    elif tag is not None:
        repository = image[: tag.start()]
        if runtime.server_type in _WITH_GPU_TAG and _uses_gpu(container) and not image.endswith("-gpu"):
            container["image"] = f"{image}-gpu"
        if runtime.server_type == "vllmserver" and not _uses_gpu(container) and not repository.endswith("-cpu"):
            container["image"] = f"{repository}-cpu{tag[0]}"


def _uses_gpu(container: Manifest) -> bool:
    limits = (container.get("resources") or {}).get("limits") or {}
    return any(name in _GPUS or name.startswith("nvidia.com/mig-") for name in limits)
