"""A stand-in for vLLM's official image with the real vLLM in it: this environment's packages, mounted.

Copying them would take five minutes and 5 GB for what is the same files in the end; `make journey` does that, with the
Dockerfile's own target `runtime-cpu`. Here the target `runtime` is built upon them, as on vLLM's image.
"""

from __future__ import annotations

import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.containers.workshop import digest

if TYPE_CHECKING:
    from tests.containers.base_image import BaseImage
    from tests.containers.workshop import Workshop

PLACE = "/opt/engine"
# What the Dockerfile's runtime-cpu brings besides vLLM, for the same reasons.
CONTAINERFILE = f"""
ARG BASE
FROM ${{BASE}}
RUN apt-get update -qq \\
 && apt-get install -qq -y --no-install-recommends g++ libnuma1 libpython3-dev \\
 && rm -rf /var/lib/apt/lists/* \\
 && python3 -m venv /opt/venv \\
 && echo {PLACE} > "$(/opt/venv/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/engine.pth"
ENV PATH=/opt/venv/bin:${{PATH}}
ENTRYPOINT ["vllm", "serve"]
"""


def packages(python: str) -> Path | None:
    """Where this environment's packages lie, or nothing where they are for another Python than the base image's."""
    return Path(sysconfig.get_path("purelib")) if sysconfig.get_python_version() == python else None


def mounted_engine_image(workshop: Workshop, base: BaseImage) -> str:
    """Make the stand-in, or find the one made earlier; returns its name. The packages are not in it."""
    name = f"localhost/wellhead-test/mounted-engine:{digest(base.name, CONTAINERFILE)}"
    if not workshop.has_image(name):
        with tempfile.TemporaryDirectory(dir=workshop.folder, prefix="unfinished-") as folder:
            (Path(folder) / "Containerfile").write_text(CONTAINERFILE)
            bud = ("bud", "--isolation=chroot", f"--build-arg=BASE={base.name}", f"--tag={name}")
            workshop.buildah(*bud, ".", cwd=Path(folder))
        workshop.forget_other_images(name)
    return name
