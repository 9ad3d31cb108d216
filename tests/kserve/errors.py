"""How building a pod can end without one."""

from __future__ import annotations


class Refused(Exception):
    """A real cluster would have said no.

    Attributes:
        stage: who says it: "InferenceService" or "LLMInferenceService" (admission), "reconcile" (KServe's controller,
            seen as an event and in the status), "Pod" (the pod's admission).
        message: KServe's words, or the API server's. kubectl puts its own in front of them.
        reason: what `status.modelStatus.lastFailureInfo`, or else the condition, gives as its reason.
        status_message: what it gives as its message, where that is not `message`.
    """

    def __init__(self, stage: str, message: str, *, reason: str = "", status_message: str = "") -> None:
        super().__init__(f"{stage}: {message}")
        self.stage = stage
        self.message = message
        self.reason = reason
        self.status_message = status_message


class NotModelledError(Exception):
    """This stand-in does not know what KServe does here; a guess would be worse than this."""


class KServeError(Exception):
    """An error inside KServe's code, before anyone knows at which stage it will be reported."""
