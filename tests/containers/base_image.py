"""A base image made on this machine: its own release, with a Python that can make virtual environments.

It stands in for the official Python image, which no registry hands out here. The packages come from the
mirror that apt is configured with.
"""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.containers.workshop import digest, find_tool, run

if TYPE_CHECKING:
    from tests.containers.workshop import Workshop

PACKAGES = ("python3", "python3-venv", "ca-certificates")
# What the official slim images lack, too.
SURPLUS = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "var/log")
RECIPE = "1"  # to be raised with any other change of how the image is made
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class BaseImage:
    """The name under which the store knows it, and the version of its Python (`3.11`)."""

    name: str
    python: str


def base_image(workshop: Workshop) -> BaseImage:
    """Make the image, or find the one made earlier."""
    release = platform.freedesktop_os_release()
    suite = release["VERSION_CODENAME"]
    key = digest(release["ID"], suite, platform.machine(), *PACKAGES, *SURPLUS, RECIPE)
    name = f"localhost/wellhead-test/base:{suite}-{key}"
    if not workshop.has_image(name):
        _make(workshop, name, release["ID"], suite)
        workshop.forget_other_images(name)
    label = workshop.buildah("inspect", "--type", "image", "--format", '{{index .OCIv1.Config.Labels "python"}}', name)
    return BaseImage(name, label.strip())


def _make(workshop: Workshop, name: str, distribution: str, suite: str) -> None:
    container = workshop.buildah("from", "scratch").strip()
    try:
        root = Path(workshop.buildah("mount", container).strip())
        debootstrap = find_tool("debootstrap") or "debootstrap"
        # Ubuntu keeps python3-venv in its second component.
        components = "main,universe" if distribution == "ubuntu" else "main"
        run(
            debootstrap,
            "--variant=minbase",
            f"--components={components}",
            f"--include={','.join(PACKAGES)}",
            suite,
            root,
            _mirror(suite),
        )
        for folder in (*SURPLUS, "var/lib/apt/lists", "var/cache/apt/archives"):
            shutil.rmtree(root / folder, ignore_errors=True)
            (root / folder).mkdir()
        for file in (root / "var/cache/apt").glob("*.bin"):
            file.unlink()
        program = "import sys; print('%d.%d' % sys.version_info[:2])"
        version = run("chroot", root, "python3", "-c", program).strip()
        workshop.buildah("config", "--env", f"PATH={PATH}", "--label", f"python={version}", container)
        workshop.buildah("commit", "--quiet", "--disable-compression", container, name)
    finally:
        workshop.buildah("rm", container)


def _mirror(suite: str) -> str:
    """The mirror that this machine's apt takes the release from."""
    listed = run("apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages")
    for line in listed.splitlines():
        site, _, release = line.partition(" ")
        if release == suite:
            return site
    raise LookupError(f"apt on this machine has no source for {suite}:\n{listed}")
