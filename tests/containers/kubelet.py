"""Running an image the way a kubelet runs a container of a restricted pod, with the same runc.

Not root, a read-only root, no capability, no new privileges, the default system call filter, a masked /proc;
of the machine's files only what is mounted. One thing differs: the network is the machine's own, because the
object store listens on its loopback.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.containers.pod import HOST_NAME, Mount, Pod, configuration
from tests.containers.workshop import ToolError, find_tool, run

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from pathlib import Path

TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True)
class Outcome:
    """How a container ended. `message` is what its termination log holds: what a user of KServe reads."""

    exit_code: int
    stdout: str
    stderr: str
    message: str
    seconds: float


class Container:
    """A container that was started."""

    def __init__(self, name: str, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._name = name
        self._folder = folder
        self._process = process
        self._started = time.monotonic()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to process 1 of the container, as the kubelet does when the pod is deleted."""
        runc(self._folder, "kill", self._name, number.name)

    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def output(self) -> str:
        """What it wrote to standard output so far."""
        return (self._folder / "stdout").read_text(errors="replace")

    def wait(self, seconds: float = 120.0) -> Outcome:
        """Wait until it ends.

        Raises:
            subprocess.TimeoutExpired: it did not, in this time.
        """
        code = self._process.wait(seconds)
        took = time.monotonic() - self._started
        stdout, stderr, message = (
            (self._folder / name).read_text(errors="replace") for name in ("stdout", "stderr", "message")
        )
        return Outcome(code, stdout, stderr, message, took)


@contextmanager
def started(pod: Pod, folder: Path) -> Iterator[Container]:
    """Start a container; its bundle, output and termination log lie in a new folder below `folder`."""
    name = f"wellhead-test-{secrets.token_hex(4)}"
    bundle = folder / name
    bundle.mkdir(parents=True)
    message = bundle / "message"
    message.touch()
    message.chmod(0o666)
    hosts = bundle / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {HOST_NAME}\n")
    with ExitStack() as stack:
        given = [Mount(message, TERMINATION_LOG, writable=True), Mount(hosts, "/etc/hosts")]
        for memory in pod.memories:
            source = bundle / f"memory{memory.destination.replace('/', '-')}"
            stack.enter_context(memory_mounted(source, memory.size))
            given.append(Mount(source, memory.destination, writable=True))
        root = pod.image.root if pod.read_only else stack.enter_context(_writable(pod.image.root, bundle))
        (bundle / "config.json").write_text(json.dumps(configuration(pod, given, root), indent=1))
        stdout = stack.enter_context((bundle / "stdout").open("wb"))
        stderr = stack.enter_context((bundle / "stderr").open("wb"))
        command = [*_runc(bundle), "run", "--bundle", str(bundle), name]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        try:
            yield Container(name, bundle, process)
        finally:
            _end(bundle, name, process)


@contextmanager
def memory_mounted(folder: Path, size: str) -> Iterator[None]:
    """A new folder of memory, open to every user.

    Mounted outside, as the kubelet does: runc gives a tmpfs of its own the mode of what it hides.
    """
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0777,nosuid,nodev", "tmpfs", folder)
    try:
        yield
    finally:
        run("umount", "--lazy", folder)


@contextmanager
def _writable(root: Path, bundle: Path) -> Iterator[Path]:
    """The image's files under a layer that takes what the container writes."""
    layer, merged = bundle / "layer", bundle / "root"
    merged.mkdir()
    with memory_mounted(layer, "256m"):
        for name in ("upper", "work"):
            (layer / name).mkdir(mode=0o755)
        options = f"lowerdir={root},upperdir={layer / 'upper'},workdir={layer / 'work'}"
        run("mount", "-t", "overlay", "-o", options, "overlay", merged)
        try:
            yield merged
        finally:
            run("umount", "--lazy", merged)


def _end(bundle: Path, name: str, process: subprocess.Popen[bytes]) -> None:
    """Kill what still runs; runc may be about to create the container, or have removed it already."""
    for _ in range(100):
        if process.poll() is not None:
            return
        with suppress(ToolError):
            runc(bundle, "kill", name, "SIGKILL")
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    raise TimeoutError(f"container {name} does not end")


def finished(pod: Pod, folder: Path, seconds: float = 120.0) -> Outcome:
    """Run a container to its end."""
    with started(pod, folder) as container:
        return container.wait(seconds)


def runc(bundle: Path, *arguments: str) -> str:
    """Run runc on the state that belongs to this bundle."""
    return run(*_runc(bundle), *arguments)


def _runc(bundle: Path) -> list[str]:
    return [find_tool("runc") or "runc", "--root", str(bundle / "state")]
