"""The values files of `servingruntimes/llm-d`, and the containers that llm-d's chart makes of them."""

from __future__ import annotations

from typing import Any

import yaml

from tests.support.llm_d_chart import Values, render
from tests.unit.manifests import MANIFESTS

VALUES = MANIFESTS / "llm-d"
NAMES = ("s3", "gs", "az", "hf", "hf-mirror", "pvc")


def read_values(name: str) -> dict[str, Any]:
    """A values file; what it says once is one object, however often it is referred to."""
    values: dict[str, Any] = yaml.safe_load((VALUES / f"values-{name}.yaml").read_text())
    return values


def servers(values: Values) -> dict[str, dict[str, Any]]:
    """The container `vllm` of each pod, by role."""
    return {role: pod["containers"][0] for role, pod in render(values, release="llama").items()}


def variables(container: dict[str, Any]) -> dict[str, Any]:
    """What `env` says, by name: a text or a source."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}
