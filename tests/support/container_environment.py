"""What a kubelet makes of a container's variables and volumes, as far as a process on this machine can stand for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Secrets = Mapping[str, Mapping[str, str]]


class CreateContainerConfigError(Exception):
    """The kubelet would not start the container: a Secret that is not optional lacks, or its key does."""


def container_environment(container: Mapping[str, Any], secrets: Secrets) -> dict[str, str]:
    """The variables of a container, besides those of its image and of the cluster's Services.

    `env` wins over `envFrom`, a later entry over an earlier one.

    Raises:
        CreateContainerConfigError: the container would never start.
    """
    variables: dict[str, str] = {}
    for source in container.get("envFrom", []):
        reference = source["secretRef"]
        if reference["name"] in secrets:
            variables |= secrets[reference["name"]]
        elif not reference.get("optional"):
            raise CreateContainerConfigError(f'secret "{reference["name"]}" not found')
    for entry in container.get("env", []):
        if "valueFrom" not in entry:
            variables[entry["name"]] = entry.get("value", "")
            continue
        reference = entry["valueFrom"]["secretKeyRef"]
        found = secrets.get(reference["name"], {}).get(reference["key"])
        if found is not None:
            variables[entry["name"]] = found
        elif not reference.get("optional"):
            raise CreateContainerConfigError(f"couldn't find key {reference['key']} in Secret {reference['name']}")
    return variables


def on_this_machine(text: str, volumes: Mapping[str, str]) -> str:
    """A path of the container, or anything else that begins with one, where its volumes lie here.

    Args:
        text: a variable's value, or an argument.
        volumes: mount path → folder.
    """
    for mounted, folder in volumes.items():
        if text == mounted or text.startswith(f"{mounted}/"):
            return folder + text.removeprefix(mounted)
    return text
