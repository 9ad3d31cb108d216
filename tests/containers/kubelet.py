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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.containers.pod import HOST_NAME, Memory, Mount, Pod, configuration
from tests.containers.workshop import find_tool, run

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
        given += [stack.enter_context(_mounted(memory, bundle)) for memory in pod.memories]
        (bundle / "config.json").write_text(json.dumps(configuration(pod, given), indent=1))
        stdout = stack.enter_context((bundle / "stdout").open("wb"))
        stderr = stack.enter_context((bundle / "stderr").open("wb"))
        command = [*_runc(bundle), "run", "--bundle", str(bundle), name]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        try:
            yield Container(name, bundle, process)
        finally:
            if process.poll() is None:
                runc(bundle, "kill", name, "SIGKILL")
                process.wait(10)


@contextmanager
def _mounted(memory: Memory, bundle: Path) -> Iterator[Mount]:
    """Mount the memory outside, as the kubelet does: runc gives a tmpfs of its own the mode of what it hides."""
    source = bundle / f"memory{memory.destination.replace('/', '-')}"
    source.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={memory.size},mode=0777,nosuid,nodev", "tmpfs", source)
    try:
        yield Mount(source, memory.destination, writable=True)
    finally:
        run("umount", "--lazy", source)


def finished(pod: Pod, folder: Path, seconds: float = 120.0) -> Outcome:
    """Run a container to its end."""
    with started(pod, folder) as container:
        return container.wait(seconds)


def runc(bundle: Path, *arguments: str) -> str:
    """Run runc on the state that belongs to this bundle."""
    return run(*_runc(bundle), *arguments)


def _runc(bundle: Path) -> list[str]:
    return [find_tool("runc") or "runc", "--root", str(bundle / "state")]
