"""JSON as Go's encoding/json writes it."""

from __future__ import annotations

import json
from typing import Any

_ESCAPED = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}

# The fields of a container in the order of Go's struct. Only what a template error says about positions depends on it.
_CONTAINER_FIELDS = (
    *("name", "image", "command", "args", "workingDir", "ports", "envFrom", "env", "resources", "resizePolicy"),
    *("restartPolicy", "restartPolicyRules", "volumeMounts", "volumeDevices", "livenessProbe", "readinessProbe"),
    *("startupProbe", "lifecycle", "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy"),
    *("securityContext", "stdin", "stdinOnce", "tty"),
)


def go_json(value: Any) -> str:
    """Compact, with `<`, `>` and `&` escaped inside strings."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for character, escape in _ESCAPED.items():
        text = text.replace(character, escape)
    return text


def container_json(container: dict[str, Any]) -> str:
    """A container as KServe's templates see it."""
    order = {field: place for place, field in enumerate(_CONTAINER_FIELDS)}
    fields = sorted(container.items(), key=lambda field: order.get(field[0], len(order)))
    return go_json(dict(fields))
