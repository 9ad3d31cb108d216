"""A Pod manifest run as the kubelet runs it: its volumes, then its init containers one by one, then the model server.

What it says about user, root, privileges and memory is obeyed; what this stand-in for a kubelet does not know is an
error, so that no field of a manifest is silently without effect. Two things differ from a cluster: the network is the
machine's own, so the server's port is one that is free here (`on_free_port`), and a resource that this machine lacks
(`nvidia.com/gpu`) is not asked for.
"""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.containers.kubelet import Container, Outcome, finished, started
from tests.containers.pod import Pod
from tests.containers.variables import CannotStart, expanded, service_variables, variables
from tests.containers.volumes import mounts, volumes
from tests.kserve.quantities import amount

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.containers.images import Image
    from tests.kserve.cluster import Cluster
    from tests.kserve.manifests import Manifest

Statuses = dict[str, list[dict[str, Any]]]
KILLED = 137
FALLBACK_LINES, FALLBACK_BYTES = 80, 2048
# Every namespace has the first one, and a service of this name is a trap: its variables begin like our own.
SERVICES = ("kubernetes", "llama-predictor", "wellhead-demo")


@dataclass(frozen=True)
class Machine:
    """What a node has.

    Attributes:
        images: by name, without the tag.
        folder: where pods may keep what they need.
        claims: a folder for each PersistentVolumeClaim.
    """

    images: Mapping[str, Image]
    folder: Path

    @property
    def claims(self) -> Path:
        return self.folder / "claims"


class ManifestPod:
    """A pod whose volumes exist.

    Attributes:
        statuses: what the kubelet would report, one entry for each container that ran.
        folders: the volumes.
    """

    def __init__(
        self, manifest: Manifest, cluster: Cluster, machine: Machine, folder: Path, made: Mapping[str, Path]
    ) -> None:
        self._manifest = manifest
        self._cluster = cluster
        self._machine = machine
        self._folder = folder
        self.folders = made
        self.statuses: Statuses = {"initContainerStatuses": [], "containerStatuses": []}

    def initialize(self) -> list[Outcome]:
        """Run the init containers, up to the first one that fails.

        But for sidecars (`restartPolicy: Always`): KServe's router is somebody else's image, which is not here.
        """
        outcomes = []
        for container in self._manifest["spec"].get("initContainers") or []:
            if container.get("restartPolicy") == "Always":
                continue
            outcomes.append(finished(self._container(container), self._folder))
            self.statuses["initContainerStatuses"].append(_status(container, outcomes[-1]))
            if outcomes[-1].exit_code:
                break
        return outcomes

    @contextmanager
    def server(self) -> Iterator[Container]:
        """The first container, started."""
        with started(self._container(self._manifest["spec"]["containers"][0]), self._folder) as container:
            yield container

    def ended(self, container: Container, seconds: float = 60.0) -> Outcome:
        """Wait for the server's end, which is then among the statuses."""
        outcome = container.wait(seconds)
        self.statuses["containerStatuses"].append(_status(self._manifest["spec"]["containers"][0], outcome))
        return outcome

    def _container(self, container: Manifest) -> Pod:
        given = service_variables(SERVICES) if self._manifest["spec"].get("enableServiceLinks", True) else {}
        environment = variables(container, self._manifest, self._cluster, given)
        limits = (container.get("resources") or {}).get("limits") or {}
        return Pod(
            image=self._machine.images[container["image"].rpartition(":")[0]],
            command=[expanded(each, environment) for each in container.get("command") or []],
            args=[expanded(each, environment) for each in container.get("args") or []],
            environment=environment,
            mounts=mounts(container, self.folders),
            memory=int(amount(limits["memory"])) if "memory" in limits else None,
            cores=float(amount(limits["cpu"])) if "cpu" in limits else None,
            **self._security(container),
        )

    def _security(self, container: Manifest) -> dict[str, Any]:
        """What the kubelet asks of runc; nothing weaker than the restricted profile is run here.

        But for capabilities that are added: KServe's own templates do so for several nodes.
        """
        context = {**(self._manifest["spec"].get("securityContext") or {}), **(container.get("securityContext") or {})}
        group = context.pop("fsGroup", None)
        user = context.pop("runAsUser", None)
        read_only = context.pop("readOnlyRootFilesystem", False)
        capabilities = {**context.pop("capabilities", {})}
        added = [f"CAP_{name}" for name in capabilities.pop("add", [])]
        demanded = {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        if context != demanded or capabilities != {"drop": ["ALL"]}:
            raise NotImplementedError(f"a container with the security context {context}, {capabilities}")
        image = self._machine.images[container["image"].rpartition(":")[0]]
        if user == 0 or (user is None and str(image.config.get("User") or "0").startswith("0")):
            raise CannotStart("container has runAsNonRoot and image will run as root")
        groups = [] if group is None else [group]
        return {"user": user, "groups": groups, "capabilities": added, "read_only": read_only}


@contextmanager
def running(manifest: Manifest, cluster: Cluster, machine: Machine) -> Iterator[ManifestPod]:
    """A pod on this machine, up to its volumes."""
    machine.claims.mkdir(exist_ok=True)
    folder = machine.folder / f"pod-{len(list(machine.folder.iterdir()))}"
    folder.mkdir()
    with volumes(manifest, cluster, folder / "volumes", machine.claims) as made:
        yield ManifestPod(manifest, cluster, machine, folder, made)


def on_free_port(pod: Manifest) -> tuple[Manifest, int]:
    """The pod with a free port of this machine in the place of the server's first one, wherever it is named."""
    server = pod["spec"]["containers"][0]
    port = server["ports"][0]["containerPort"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    pattern = re.compile(rf"\b{port}\b")

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(each) for key, each in value.items()}
        if isinstance(value, list):
            return [moved(each) for each in value]
        if isinstance(value, str):
            return pattern.sub(str(free), value)
        return free if value == port and not isinstance(value, bool) else value

    containers = [moved(server), *pod["spec"]["containers"][1:]]
    return {**pod, "spec": {**pod["spec"], "containers": containers}}, free


def _status(container: Manifest, outcome: Outcome) -> Manifest:
    """The container's entry in the pod's status.

    A message that it did not write itself is the end of its log where the policy says so; `finished` keeps both streams
    apart, of which ours writes the second only.
    """
    message = outcome.message
    if not message and outcome.exit_code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        message = "".join(outcome.stderr.splitlines(keepends=True)[-FALLBACK_LINES:])[-FALLBACK_BYTES:]
    reason = "Completed" if outcome.exit_code == 0 else "OOMKilled" if outcome.exit_code == KILLED else "Error"
    ended = {"exitCode": outcome.exit_code, "reason": reason, **({"message": message} if message else {})}
    return {"name": container["name"], "state": {"terminated": ended}, "lastState": {}}


def crash_looping(statuses: Statuses) -> Statuses:
    """The statuses a little later, when the kubelet waits before it starts the failed container again."""
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    return {
        kind: [
            {**each, "state": waiting, "lastState": each["state"]} if each["state"]["terminated"]["exitCode"] else each
            for each in entries
        ]
        for kind, entries in statuses.items()
    }
