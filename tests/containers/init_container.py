"""Our init container in a pod: what KServe's webhook and the kubelet make of the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.containers.kubelet import Outcome, finished
from tests.containers.pod import MODEL_FOLDER, TOKEN_FOLDER, Mount, Pod

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.containers.images import Image

TOKEN = "header.payload.signature-of-a-service-account-token"
MEMORY = 512 << 20  # half of what our ClusterStorageContainer allows

# What KServe and Kubernetes add to any init container; the last two are for a Service called `wellhead-demo`.
GIVEN = {
    "WELLHEAD_ENGINE": "vllm",
    "WELLHEAD_MODE": "",
    "WELLHEAD_LOG_FORMAT": "json",
    "HF_HUB_ENABLE_HF_TRANSFER": "1",
    "HF_XET_HIGH_PERFORMANCE": "1",
    "HF_XET_NUM_CONCURRENT_RANGE_GETS": "8",
    "WELLHEAD_DEMO_PORT": "tcp://10.96.231.3:80",
    "WELLHEAD_DEMO_SERVICE_HOST": "10.96.231.3",
}


class InitContainer:
    """The container with the pod's volume and its service account's token, to be run with any URI.

    Attributes:
        destination: the pod's volume, on this machine.
        token: the folder that the kubelet mounts for the service account.
    """

    def __init__(self, image: Image, folder: Path, credentials: Mapping[str, str]) -> None:
        self._image = image
        self._folder = folder
        self._credentials = credentials
        self.destination = folder / "volume"
        self.token = folder / "serviceaccount"
        self.destination.mkdir()
        self.destination.chmod(0o777)  # an emptyDir is open to every user of the pod
        self.token.mkdir()
        (self.token / "token").write_text(TOKEN)

    def pod(
        self,
        *args: str,
        mode: str = "",
        user: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Pod:
        """The container as KServe describes it; `args` is a URI, or pairs of URI and folder."""
        return Pod(
            self._image,
            args=args if len(args) > 1 else (*args, MODEL_FOLDER),
            environment={**GIVEN, **self._credentials, "WELLHEAD_MODE": mode, **(environment or {})},
            mounts=(Mount(self.destination, MODEL_FOLDER, writable=True), Mount(self.token, TOKEN_FOLDER)),
            user=user,
            memory=MEMORY,
        )

    def run(
        self,
        *args: str,
        mode: str = "",
        user: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run it to its end."""
        return finished(self.pod(*args, mode=mode, user=user, environment=environment), self._folder)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a model folder but Wellhead's own."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".wellhead" not in path.relative_to(folder).parts
    }


def leftovers(folder: Path) -> list[str]:
    """Every file at all, Wellhead's own too."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
