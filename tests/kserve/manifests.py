"""Kubernetes objects as plain data, and the few questions that every module asks of them."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]


def name_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def namespace_of(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("namespace") or "default")


def annotations_of(manifest: Manifest) -> dict[str, str]:
    return dict(manifest["metadata"].get("annotations") or {})


def labels_of(manifest: Manifest) -> dict[str, str]:
    return dict(manifest["metadata"].get("labels") or {})


def named(items: list[Manifest] | None, name: str) -> Manifest | None:
    """The container, volume or variable of that name."""
    return next((item for item in items or [] if item.get("name") == name), None)


def variable(container: Manifest, name: str) -> Manifest | None:
    return named(container.get("env"), name)


def add_missing_variable(container: Manifest, name: str, value: str) -> None:
    if variable(container, name) is None:
        container.setdefault("env", []).append({"name": name, "value": value})


def set_variable(container: Manifest, name: str, value: str) -> None:
    """Appends the variable, or changes the value of the one that is there, and nothing else of it."""
    old = variable(container, name)
    if old is None:
        container.setdefault("env", []).append({"name": name, "value": value})
    else:
        old["value"] = value


def merge_variables(container: Manifest, variables: list[Manifest]) -> None:
    """KServe's `MergeEnvs`: a name that is there already keeps its place and gets the new `value`, and nothing else."""
    environment = container.setdefault("env", [])
    for new in variables:
        old = named(environment, new["name"])
        if old is None:
            environment.append(new)
        elif "value" in new:
            old["value"] = new["value"]
        else:
            old.pop("value", None)
