"""Building a target of our Dockerfile without a network, and unpacking the result."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.containers.workshop import REPOSITORY, digest, digest_files, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.containers.base_image import BaseImage
    from tests.containers.workshop import Workshop

VERSION = "0.0.0-test"


@dataclass(frozen=True)
class Image:
    """An image in the store, its configuration, and its files unpacked into a folder.

    `mounted` are folders of this machine that stand for layers, by their place in the image.
    """

    name: str
    config: Mapping[str, Any]
    size: int
    root: Path
    mounted: Mapping[str, Path] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables the image sets."""
        return dict(entry.split("=", 1) for entry in self.config.get("Env") or ())


def wheelhouse(workshop: Workshop, python: str, extra: Sequence[str] = ()) -> Path:
    """A folder of wheels for that Python: the initializer's, the build backend's, and some more.

    Args:
        workshop: whose folder keeps it.
        python: version, as in `3.11`.
        extra: what a test needs beyond that, as for pip, without dependencies.
    """
    return _download(workshop, python, [_pins("initializer")], [[each] for each in extra])


def engine_wheelhouse(workshop: Workshop, python: str) -> Path:
    """The wheels for the image with vLLM's CPU build; torch's comes from where pip is configured to look."""
    return _download(workshop, python, [_pins("initializer"), _pins("engine"), _pins("torch-cpu")], [])


def _pins(name: str) -> Path:
    return REPOSITORY / "requirements" / f"{name}.txt"


def _download(workshop: Workshop, python: str, pins: list[Path], extra: list[list[str]]) -> Path:
    backend = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["build-system"]["requires"]
    key = digest(python, *(file.read_text() for file in pins), *backend, "+", json.dumps(extra))
    folder = workshop.folder / f"wheels-{key}"
    if not folder.exists():
        unfinished = Path(tempfile.mkdtemp(dir=workshop.folder, prefix="unfinished-"))
        options = ("--quiet", "--only-binary", ":all:", "--python-version", python, "--dest", unfinished)
        pip = (sys.executable, "-m", "pip", "download", *options)
        run(*pip, *backend)
        # One by one: they may name two versions of the same package.
        for each in [*(["-r", str(file)] for file in pins), *extra]:
            run(*pip, "--no-deps", *each)
        unfinished.rename(folder)
    os.utime(folder)  # wanted today
    return folder


def build(
    workshop: Workshop,
    base: BaseImage,
    target: str,
    wheels: Path,
    arguments: Mapping[str, str] | None = None,
    mounted: Mapping[str, Path] | None = None,
    variant: str = "",
) -> Image:
    """Build a target on the base image, or find what was built from the very same files.

    Args:
        workshop: whose store has the result.
        base: the stand-in for the official Python image.
        target: of the Dockerfile.
        wheels: what pip may install.
        arguments: further build arguments.
        mounted: folders that the image needs in these places, while it is built and when it runs.
        variant: tells images of one target apart.
    """
    mounted = mounted or {}
    arguments = {
        "PYTHON_IMAGE": base.name,
        "PIP_NO_INDEX": "1",
        "VERSION": VERSION,
        **(arguments or {}),
    }
    inputs = (wheels.name, json.dumps(arguments, sort_keys=True), *map(str, mounted.values()))
    key = digest(digest_files(_context(), REPOSITORY), *inputs)
    name = f"localhost/wellhead-test/{target}{variant}:{key}"
    if not workshop.has_image(name):
        with tempfile.TemporaryDirectory(dir=workshop.folder, prefix="unfinished-") as context:
            _stage(Path(context), wheels)
            options = [f"--build-arg={variable}={value}" for variable, value in arguments.items()]
            options += [f"--volume={folder}:{place}:ro" for place, folder in mounted.items()]
            bud = ("bud", "--isolation=chroot", f"--target={target}", f"--tag={name}")
            workshop.buildah(*bud, *options, ".", cwd=Path(context))
        workshop.forget_other_images(name)
    return replace(_unpack(workshop, name), mounted=mounted)


def _unpack(workshop: Workshop, name: str) -> Image:
    container = name.rpartition("/")[2].replace(":", "-")
    if container not in workshop.buildah("containers", "--format", "{{.ContainerName}}").split():
        workshop.buildah("from", "--name", container, name)
    root = Path(workshop.buildah("mount", container).strip())
    config = json.loads(workshop.buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
    return Image(name, config, _size(root), root)


def _size(root: Path) -> int:
    inodes = {(status.st_dev, status.st_ino): status.st_size for status in map(Path.lstat, root.rglob("*"))}
    return sum(inodes.values())


def _context() -> Iterator[Path]:
    """The files of the repository that the Dockerfile reads: what `.dockerignore` lets through."""
    for name in ("Dockerfile", ".dockerignore", "LICENSE", "README.md", "pyproject.toml"):
        yield REPOSITORY / name
    yield from (REPOSITORY / "requirements").glob("*.txt")
    for folder in ("storage/wellhead_storage", "runtime/wellhead_runtime", "cluster/wellhead_cluster"):
        for path in (REPOSITORY / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _stage(folder: Path, wheels: Path) -> None:
    for file in _context():
        copy = folder / file.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
    shutil.copytree(wheels, folder / "build" / "wheelhouse")
    # What a developer's checkout has lying about must not get into an image.
    (folder / ".env").write_text("AWS_SECRET_ACCESS_KEY=must-stay-outside\n")
