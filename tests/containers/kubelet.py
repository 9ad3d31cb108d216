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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.containers.seccomp import runtime_default
from tests.containers.workshop import find_tool, run

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Mapping, Sequence

    from tests.containers.images import Image

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
MODEL_FOLDER = "/mnt/models"
TERMINATION_LOG = "/dev/termination-log"
CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
GIVEN_FILES = ("/etc/hosts", "/etc/resolv.conf")


@dataclass(frozen=True)
class Mount:
    """A folder or file of the machine inside the container; a source of `tmpfs` is memory."""

    source: Path | str
    destination: str
    writable: bool = False
    size: str = "64m"

    def entry(self) -> dict[str, Any]:
        """The mount as the OCI runtime specification writes it."""
        if self.source == "tmpfs":
            kind, options = "tmpfs", ["nosuid", "nodev", "mode=1777", f"size={self.size}"]
        else:
            kind, options = "bind", ["rbind", "rprivate", "rw" if self.writable else "ro"]
        return {"destination": self.destination, "type": kind, "source": str(self.source), "options": options}


@dataclass(frozen=True)
class Pod:
    """What the pod says about one of its containers.

    `command` replaces the image's entry point and `args` its arguments, as in Kubernetes.
    """

    image: Image
    args: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    user: int | None = None
    memory: int | None = None


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
    (bundle / "config.json").write_text(json.dumps(_configuration(pod, message), indent=1))
    with (bundle / "stdout").open("wb") as stdout, (bundle / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [*_runc(bundle), "run", "--bundle", str(bundle), name],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        yield Container(name, bundle, process)
    finally:
        if process.poll() is None:
            runc(bundle, "kill", name, "SIGKILL")
            process.wait(10)


def finished(pod: Pod, folder: Path, seconds: float = 120.0) -> Outcome:
    """Run a container to its end."""
    with started(pod, folder) as container:
        return container.wait(seconds)


def runc(bundle: Path, *arguments: str) -> str:
    """Run runc on the state that belongs to this bundle."""
    return run(*_runc(bundle), *arguments)


def _runc(bundle: Path) -> list[str]:
    return [find_tool("runc") or "runc", "--root", str(bundle / "state")]


def _configuration(pod: Pod, message: Path) -> dict[str, Any]:
    config = pod.image.config
    user, _, group = str(config.get("User") or "0").partition(":")
    environment = {"HOSTNAME": "pod", "HOME": "/", **pod.image.environment, **pod.environment}
    entry_point = list(pod.command) or [*(config.get("Entrypoint") or ())]
    arguments = list(pod.args) or ([] if pod.command else [*(config.get("Cmd") or ())])
    resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
    if pod.memory is not None:
        resources["memory"] = {"limit": pod.memory, "swap": pod.memory}
    linux: dict[str, Any] = {
        "resources": resources,
        "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
        "maskedPaths": MASKED,
        "readonlyPaths": READ_ONLY,
    }
    if profile := runtime_default():
        linux["seccomp"] = profile
    return {
        "ociVersion": "1.0.2",
        "hostname": "pod",
        "root": {"path": str(pod.image.root), "readonly": True},
        "process": {
            "user": {"uid": int(user) if pod.user is None else pod.user, "gid": int(group or 0)},
            "args": [*entry_point, *arguments],
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": config.get("WorkingDir") or "/",
            "capabilities": {kind: [] for kind in CAPABILITY_SETS},
            "noNewPrivileges": True,
        },
        "mounts": [
            *_system_mounts(),
            Mount(message, TERMINATION_LOG, writable=True).entry(),
            # Outer folders first, or an inner one would be hidden again.
            *(mount.entry() for mount in sorted(pod.mounts, key=lambda mount: mount.destination.count("/"))),
        ],
        "linux": linux,
    }


def _system_mounts() -> list[dict[str, Any]]:
    quiet = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": [*quiet, "mode=1777", "size=65536k"],
        },
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": [*quiet, "relatime", "ro"],
        },
        *(Mount(file, file).entry() for file in GIVEN_FILES if Path(file).exists()),
    ]
