"""What the container tests share before there is a container: tools, a cache, and a private image store.

Everything slow lies in `${XDG_CACHE_HOME:-~/.cache}/wellhead/containers`, outside the repository, under names
that contain a hash of what it was made from: a second run on the same machine reuses it, a changed input makes
it anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parents[2]
KEEP_SECONDS = 14 * 24 * 3600
TOOLS = ("buildah", "runc", "debootstrap")


class ToolError(RuntimeError):
    """A tool failed; the message has the end of what it said."""


def why_impossible() -> str:
    """Why containers cannot be built and run here, or nothing."""
    if missing := [tool for tool in TOOLS if find_tool(tool) is None]:
        return f"not installed: {', '.join(missing)} (make system-tools)"
    return "" if os.geteuid() == 0 else "building and running containers takes root here"


def find_tool(name: str) -> str | None:
    """Where a tool lies; Debian's runc and debootstrap are in `sbin`, which is not on every PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")


def run(*command: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it printed.

    Raises:
        ToolError: it did not end with 0.
    """
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        said = (finished.stdout + finished.stderr).strip()[-4000:]
        raise ToolError(f"{' '.join(str(part) for part in command)}: exit code {finished.returncode}\n{said}")
    return finished.stdout


def digest(*parts: str | bytes) -> str:
    """A short name for what something was made from."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part.encode() if isinstance(part, str) else part)
        hashed.update(b"\0")
    return hashed.hexdigest()[:16]


def digest_files(files: Iterable[Path], root: Path) -> str:
    """The same for files: their names, modes and contents."""
    parts: list[str | bytes] = []
    for file in sorted(files):
        parts += [file.relative_to(root).as_posix(), oct(file.stat().st_mode), file.read_bytes()]
    return digest(*parts)


def cache_folder() -> Path:
    """The folder that outlives a run, made if needed."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wellhead" / "containers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class Workshop:
    """A folder with an image store that nothing else on the machine knows."""

    folder: Path

    def buildah(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Run buildah on the private store, with the storage driver that works on any file system."""
        store = self.folder / "store"
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        options = ("--storage-driver", "vfs", "--root", store / "root", "--runroot", store / "run")
        return run("buildah", *options, *arguments, cwd=cwd, environment={"TMPDIR": str(temporary)})

    def has_image(self, name: str) -> bool:
        """Whether the store holds an image of exactly this name."""
        listed = self.buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()
        return name in listed

    def forget_other_images(self, name: str) -> None:
        """Remove the images made from earlier inputs, and their unpacked copies."""
        repository, _, tag = name.rpartition(":")
        for line in self.buildah("containers", "--format", "{{.ContainerName}}").split():
            if line.startswith(f"{repository.rpartition('/')[2]}-") and not line.endswith(tag):
                self.buildah("rm", line)
        for line in self.buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
            if line.startswith(f"{repository}:") and line != name:
                self.buildah("rmi", "--force", line)
        self.buildah("rmi", "--prune")


@contextmanager
def open_workshop() -> Iterator[Workshop]:
    """The workshop, for one test run at a time: two would remove each other's images."""
    folder = cache_folder()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _tidy(folder)
        yield Workshop(folder)


def _tidy(folder: Path) -> None:
    """Remove what a killed run left unfinished, and wheels that no run has wanted for a while."""
    for leftover in [*folder.glob("unfinished-*"), *folder.glob("tmp/*")]:
        shutil.rmtree(leftover, ignore_errors=True)
    for wheels in folder.glob("wheels-*"):
        if wheels.stat().st_mtime < time.time() - KEEP_SECONDS:
            shutil.rmtree(wheels)
