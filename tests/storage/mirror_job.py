"""A Job of `servingruntimes/jobs` as its pods run it, on this machine: the container's command and variables."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.storage.pod import WELLHEAD
from tests.support.container_environment import Secrets, container_environment, on_this_machine
from tests.support.fake_hub import TOKEN, FakeHub
from tests.support.mirror_jobs import edited_job
from wellhead_storage.manifest import PROGRESS_NAME, parse_manifest


@dataclass(frozen=True)
class Target:
    """Where a Job writes to.

    Attributes:
        parameters: lines of parameters.yaml.
        secret: the content of the Secret that those name.
        read: every object there, by its name below the destination.
        cluster: variables that only this test's servers need.
        volumes: where a folder of the pod lies on this machine.
    """

    parameters: dict[str, str]
    read: Callable[[], dict[str, bytes]]
    secret: dict[str, str] = field(default_factory=dict)
    cluster: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)

    @property
    def recorded(self) -> set[str]:
        """Names in the progress record of an unfinished mirror."""
        found = parse_manifest(self.read().get(PROGRESS_NAME, b""))
        return {file.name for file in found.files} if found else set()


# A mount namespace in which the folders named first, up to `--`, are all that can be written.
_READ_ONLY_ROOT = """
while [ "$1" != -- ]; do mount --bind "$1" "$1" || exit 99; shift; done
shift && mount -o remount,bind,ro / && exec "$@"
"""


class Job:
    """A Job, and what its controller does with the ends of its pods."""

    def __init__(self, folder: Path, variant: str, target: Target, hub: FakeHub, *, of_hub: bool = False) -> None:
        parameters = {"hub-secret": "hub", **target.parameters}
        self.manifest = edited_job(folder, variant, parameters, hub=of_hub)
        self.target = target
        self.read_only_root = False
        self.secrets: Secrets = {"hub": {"HF_TOKEN": TOKEN}, f"{variant.removeprefix('mirror-')}-writer": target.secret}
        self.cluster = {
            "PATH": "/usr/bin:/bin",
            "HF_ENDPOINT": hub.endpoint,
            "WELLHEAD_CONNECTIONS": "1",
            "WELLHEAD_TERMINATION_LOG": str(folder / "termination-log"),
            **target.cluster,
        }

    def pod(self, **variables: str) -> subprocess.Popen[str]:
        (container,) = self.manifest["spec"]["template"]["spec"]["containers"]
        assert container["command"][0] == "wellhead"
        command = [WELLHEAD, *container["command"][1:], *container["args"]]
        own, volumes = container_environment(container, self.secrets), self.target.volumes
        inside = ["unshare", "--mount", "sh", "-c", _READ_ONLY_ROOT, "sh", *volumes.values(), "--"]
        return subprocess.Popen(
            [*(inside if self.read_only_root else []), *(on_this_machine(word, volumes) for word in command)],
            env={
                **self.cluster,
                **{name: on_this_machine(value, volumes) for name, value in own.items()},
                **variables,
            },
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **variables: str) -> tuple[int, str]:
        """A pod's exit code and the last line of its log."""
        with self.pod(**variables) as process:
            try:
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()
        return process.returncode, (err + out).splitlines()[-1]

    def is_tried_again(self, code: int) -> bool:
        """Whether another pod follows one that ended with this code, as Kubernetes counts signals."""
        rules: list[Mapping[str, Any]] = self.manifest["spec"]["podFailurePolicy"]["rules"]
        hopeless = [value for rule in rules for value in rule.get("onExitCodes", {}).get("values", [])]
        return (128 - code if code < 0 else code) not in hopeless
