"""What Go's structs cannot tell from nothing.

KServe reads pod specs into Go structs and writes them out again for every merge. Null, and a zero value of a field
that is no pointer, is gone afterwards: `readOnly: false` cannot undo a runtime's `readOnly: true`, nor `value: ""` its
value.
"""

from __future__ import annotations

from typing import Any

_FALSE = frozenset({"readOnly", "hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty"})
_ZERO = frozenset(
    {"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold", "hostPort"}
)
_EMPTY_STRING = frozenset(
    {
        *("value", "subPath", "workingDir", "protocol", "imagePullPolicy", "medium", "prefix", "hostIP"),
        *("terminationMessagePath", "terminationMessagePolicy", "serviceAccountName", "schedulerName"),
        *("dnsPolicy", "restartPolicy", "priorityClassName", "hostname", "subdomain", "nodeName"),
    }
)
_EMPTY_LIST = frozenset(
    {
        *("args", "command", "env", "envFrom", "ports", "volumeMounts", "volumeDevices", "initContainers", "volumes"),
        *("tolerations", "imagePullSecrets", "hostAliases", "topologySpreadConstraints"),
    }
)


def without_zero_values(value: Any) -> Any:
    """A deep copy that holds what a Go struct would."""
    if isinstance(value, list):
        return [without_zero_values(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {field: without_zero_values(item) for field, item in value.items() if not _is_zero(field, item)}


def _is_zero(field: str, value: Any) -> bool:
    return (
        value is None
        or (value is False and field in _FALSE)
        or (value == 0 and value is not False and field in _ZERO)
        or (value == "" and field in _EMPTY_STRING)
        or (value == [] and field in _EMPTY_LIST)
    )
