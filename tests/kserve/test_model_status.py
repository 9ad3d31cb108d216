"""What KServe shows of a pod's failures, held against what the real controller showed, one after the other."""

from __future__ import annotations

import pytest
import yaml

from tests.kserve import NotModelledError, recorded
from tests.kserve.manifests import Manifest
from tests.kserve.model_status import model_status

TRUNCATED = (
    "s3://models/llama/model-00003-of-00004.safetensors is truncated: 1,048,576 bytes, its header needs 4,194,304. "
    "Upload it again."
)
NO_MEMORY = "vLLM ended before it was ready: CUDA out of memory."
RUNNING: Manifest = {"running": {}}
BACK_OFF: Manifest = {"waiting": {"reason": "CrashLoopBackOff"}}


def ended(code: int, reason: str = "Error", message: str | None = None) -> Manifest:
    return {"terminated": {"exitCode": code, "reason": reason, **({"message": message} if message else {})}}


def pod(init: Manifest, server: Manifest | None = None, before: Manifest | None = None) -> Manifest:
    """Statuses of the two containers; `before` is the last state of the one that counts: the server, if it is given."""
    past = before or {}
    initializer = {"name": "storage-initializer", "state": init, "lastState": {} if server else past}
    served = {"name": "kserve-container", "state": server or {"waiting": {}}, "lastState": past if server else {}}
    return {"initContainerStatuses": [initializer], "containerStatuses": [served]}


DONE = ended(0, "Completed")
# In the order of the recording: each status builds on the one before.
PODS = {
    "init running": pod(RUNNING),
    "init failed": pod(ended(13, message=TRUNCATED)),
    "init crash loop": pod(BACK_OFF, before=ended(13, message=TRUNCATED)),
    "init out of memory": pod(ended(137, "OOMKilled")),
    "init out of memory, crash loop": pod(BACK_OFF, before=ended(137, "OOMKilled")),
    "init failed, long message": pod(ended(13, message="x" * 5000)),
    "init failed, multi-line message": pod(ended(13, message=f"line one\nline two\n{TRUNCATED}\n")),
    "main running, not ready": pod(DONE, RUNNING),
    "main failed": pod(DONE, ended(20, message=NO_MEMORY)),
    "main crash loop": pod(DONE, BACK_OFF, ended(20, message=NO_MEMORY)),
    "main out of memory, crash loop": pod(DONE, BACK_OFF, ended(137, "OOMKilled")),
    "main exit 0": pod(DONE, ended(0, "Completed")),
}


def test_every_recorded_status() -> None:
    statuses = yaml.safe_load((recorded.V0_20 / "model-status.yaml").read_text())
    assert [each["pod"] for each in statuses] == list(PODS)
    shown: Manifest | None = None
    for each in statuses:
        shown = model_status(PODS[each["pod"]], shown)
        message = shown.get("lastFailureInfo", {}).get("message", "")
        if len(message) > 1000:  # the recording abbreviates it
            shown["lastFailureInfo"]["message"] = f"{message[:20]}... ({len(message)} characters)"
        assert shown == each["modelStatus"], each["pod"]


def test_a_service_that_is_ready() -> None:
    """Seen on a real kubelet; a failure that was overcome stays in sight."""
    failed = model_status(PODS["init failed"])
    ready = model_status(pod(DONE, RUNNING), failed, ready=True)
    assert ready["states"] == {"activeModelState": "Loaded", "targetModelState": "Loaded"}
    assert ready["transitionStatus"] == "UpToDate"
    assert ready["lastFailureInfo"]["message"] == TRUNCATED


def test_what_nobody_has_seen_is_not_guessed() -> None:
    with pytest.raises(NotModelledError):
        model_status(pod(RUNNING, before=ended(13)))
