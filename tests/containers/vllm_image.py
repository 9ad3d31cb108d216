"""A stand-in for vLLM's official image, which no registry hands out here.

What matters for our Dockerfile is real: a Python with packages of its own choice, some of them older than ours,
made without byte code, and a streamer of another version. The heavy packages are stubs: a name, a version, and
for vLLM a command that prints what it was asked, or serves without a model (`stand_in_engine.py`).
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.containers.workshop import digest

if TYPE_CHECKING:
    from tests.containers.base_image import BaseImage
    from tests.containers.workshop import Workshop

STREAMER = "0.17.0"
PYDANTIC = "2.12.5"
# Wheels to download beyond the initializer's, without their dependencies.
WHEELS = (
    f"runai-model-streamer=={STREAMER}",
    f"runai-model-streamer-s3=={STREAMER}",
    f"pydantic=={PYDANTIC}",
    "pydantic-core==2.41.5",
)
STUBS = {
    "vllm": "0.32.0",
    "torch": "2.13.0+cu130",
    "numpy": "2.3.5",
    "boto3": "1.44.5",
    "humanize": "4.17.0",
    "runai-model-streamer": "0.16.1",
    "runai-model-streamer-s3": "0.16.1",
}
COMMAND = """import argparse, json, sys


def main():
    if sys.argv[1:2] == ["serve"]:
        from vllm.entrypoints.cli.serve import ServeSubcommand

        ServeSubcommand.cmd(argparse.Namespace(model_weights=None))
    else:
        print(json.dumps({"real vllm": sys.argv[1:]}))
"""
SERVE = Path(__file__).with_name("stand_in_engine.py").read_text()
CONTAINERFILE = f"""
ARG BASE
FROM ${{BASE}}
COPY stubs/ wheels/ /wheels/
RUN python3 -m venv /opt/venv \\
 && /opt/venv/bin/pip install --quiet --no-index --no-compile --find-links /wheels \\
      pydantic=={PYDANTIC} {" ".join(f"{name}=={version}" for name, version in STUBS.items())} \\
 && rm -rf /wheels
ENV PATH=/opt/venv/bin:${{PATH}}
ENTRYPOINT ["vllm", "serve"]
"""


def vllm_image(workshop: Workshop, base: BaseImage, wheels: Path) -> str:
    """Make the stand-in, or find the one made earlier; returns its name."""
    key = digest(base.name, wheels.name, CONTAINERFILE, COMMAND, SERVE)
    name = f"localhost/wellhead-test/vllm:{key}"
    if not workshop.has_image(name):
        with tempfile.TemporaryDirectory(dir=workshop.folder, prefix="unfinished-") as temporary:
            folder = Path(temporary)
            (folder / "stubs").mkdir()
            for package, version in STUBS.items():
                _stub(folder / "stubs", package, version)
            shutil.copytree(wheels, folder / "wheels")
            (folder / "Containerfile").write_text(CONTAINERFILE)
            bud = ("bud", "--isolation=chroot", f"--build-arg=BASE={base.name}", f"--tag={name}")
            workshop.buildah(*bud, ".", cwd=folder)
        workshop.forget_other_images(name)
    return name


def _stub(folder: Path, package: str, version: str) -> None:
    """Write a wheel with metadata and, for vLLM, a command."""
    module = package.replace("-", "_")
    metadata = f"{module}-{version}.dist-info"
    files = {
        f"{metadata}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
        f"{metadata}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if package == "vllm":
        files["vllm/entrypoints/cli/main.py"] = COMMAND
        files["vllm/entrypoints/cli/serve.py"] = SERVE
        files[f"{metadata}/entry_points.txt"] = "[console_scripts]\nvllm = vllm.entrypoints.cli.main:main\n"
    files[f"{metadata}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{metadata}/RECORD"])
    with zipfile.ZipFile(folder / f"{module}-{version}-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
