"""What KServe's users read when a pod fails: `status.modelStatus` of an InferenceService.

KServe looks at two containers of the newest pod, and copies the whole termination message of the one that failed
(`PropagateModelStatus`, pkg/apis/serving/v1beta1/inference_service_status.go); a failure stays until the next one.
"""

from __future__ import annotations

from typing import Any

from tests.kserve.errors import NotModelledError
from tests.kserve.manifests import Manifest, named

_TRANSITIONS = {
    "Pending": "InProgress",
    "Loading": "InProgress",
    "FailedToLoad": "BlockedByFailedLoad",
    "Loaded": "UpToDate",
}


def model_status(pod_status: Manifest, earlier: Manifest | None = None, *, ready: bool = False) -> Manifest:
    """The status that follows from that of the newest pod.

    Args:
        pod_status: with `initContainerStatuses` and `containerStatuses`, as the kubelet writes them.
        earlier: the status so far.
        ready: whether the service is.

    Raises:
        NotModelledError: the init container runs again after a failure; nobody has recorded what is shown then.
    """
    state, failure = ("Loaded", None) if ready else _state(pod_status)
    last = failure or (earlier or {}).get("lastFailureInfo")
    return {
        "copies": {"failedCopies": 0},
        **({"lastFailureInfo": last} if last else {}),
        "states": {"activeModelState": state if state == "Loaded" else "", "targetModelState": state},
        "transitionStatus": _TRANSITIONS[state],
    }


def _state(pod_status: Manifest) -> tuple[str, Manifest | None]:
    initializer = named(pod_status.get("initContainerStatuses") or [], "storage-initializer") or {}
    if "running" in initializer.get("state", {}):
        if _ended(initializer, "lastState"):
            raise NotModelledError("an init container that runs again")
        return "Loading", None
    server = named(pod_status.get("containerStatuses") or [], "kserve-container") or {}
    for container in (initializer, server):
        if failure := _failure(container):
            return "FailedToLoad", failure
    return "Pending", None


def _failure(container: Manifest) -> Manifest | None:
    """Of a container that ended in error, or that the kubelet is tired of starting; killed for memory is neither."""
    ended = _ended(container, "state")
    if ended and ended.get("reason") == "Error":
        return _info(ended)
    if container.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff":
        return _info(_ended(container, "lastState") or {})
    return None


def _ended(container: Manifest, state: str) -> dict[str, Any] | None:
    ended: dict[str, Any] | None = container.get(state, {}).get("terminated")
    return ended


def _info(ended: dict[str, Any]) -> Manifest:
    message = {"message": ended["message"]} if ended.get("message") else {}
    return {"exitCode": ended["exitCode"], **message, "reason": "ModelLoadFailed"}
