"""What a restricted pod says about one of its containers, in the form that runc reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.containers.seccomp import runtime_default

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.containers.images import Image

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
MODEL_FOLDER = "/mnt/models"
CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted")
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
HOST_NAME = "pod"
CPU_PERIOD = 100_000  # microseconds, as the kubelet takes


@dataclass(frozen=True)
class Mount:
    """A folder or file of the machine inside the container."""

    source: Path
    destination: str
    writable: bool = False

    def entry(self) -> dict[str, Any]:
        """The mount as the OCI runtime specification writes it."""
        options = ["rbind", "rprivate", "rw" if self.writable else "ro"]
        return {"destination": self.destination, "type": "bind", "source": str(self.source), "options": options}


@dataclass(frozen=True)
class Memory:
    """An `emptyDir` of medium Memory, open to every user."""

    destination: str
    size: str = "64m"


@dataclass(frozen=True)
class Pod:
    """What the pod says about one of its containers.

    `command` replaces the image's entry point and `args` its arguments, as in Kubernetes; `memory` is in bytes.
    """

    image: Image
    args: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[Mount] = ()
    memories: Sequence[Memory] = ()
    user: int | None = None
    groups: Sequence[int] = ()
    capabilities: Sequence[str] = ()
    memory: int | None = None
    cores: float | None = None
    read_only: bool = True


def configuration(pod: Pod, given: Sequence[Mount], root: Path) -> dict[str, Any]:
    """The container as the OCI runtime specification writes it.

    Args:
        pod: what is asked for.
        given: what the kubelet mounts by itself.
        root: the image's files.
    """
    config = pod.image.config
    user, _, group = str(config.get("User") or "0").partition(":")
    environment = {"HOSTNAME": HOST_NAME, "HOME": "/", **pod.image.environment, **pod.environment}
    identity = {
        "uid": int(user) if pod.user is None else pod.user,
        "gid": int(group or 0),
        "additionalGids": [*pod.groups],
    }
    entry_point = list(pod.command) or [*(config.get("Entrypoint") or ())]
    arguments = list(pod.args) or ([] if pod.command else [*(config.get("Cmd") or ())])
    resources: dict[str, Any] = {"devices": [{"allow": False, "access": "rwm"}]}
    if pod.memory is not None:
        resources["memory"] = {"limit": pod.memory, "swap": pod.memory}
    if pod.cores is not None:
        resources["cpu"] = {"quota": int(pod.cores * CPU_PERIOD), "period": CPU_PERIOD}
    layers = [Mount(folder, place) for place, folder in pod.image.mounted.items()]
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
        "hostname": HOST_NAME,
        "root": {"path": str(root), "readonly": pod.read_only},
        "process": {
            "user": identity,
            "args": [*entry_point, *arguments],
            "env": [f"{name}={value}" for name, value in environment.items()],
            "cwd": config.get("WorkingDir") or "/",
            "capabilities": {kind: list(pod.capabilities) for kind in CAPABILITY_SETS},
            "noNewPrivileges": True,
        },
        "mounts": [
            *_system_mounts(),
            # Outer folders first, or an inner one would be hidden again.
            *(mount.entry() for mount in sorted((*layers, *given, *pod.mounts), key=_depth)),
        ],
        "linux": linux,
    }


def _depth(mount: Mount) -> int:
    return mount.destination.count("/")


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
    ]
