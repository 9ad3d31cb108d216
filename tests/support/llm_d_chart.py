"""A stand-in for llm-d's chart `llm-d-modelservice` v0.4.12: the two pods that its Deployments describe.

It reproduces every rendering in `tests/data/llm-d/rendered.yaml`, which a real Helm made of that chart. What the
chart's templates copy as it is from the values (image, ports, resources, volumes, mounts, and `extraConfig` of
containers and pods) is copied here too. Values that neither of the two says anything about are refused: a test must not
believe in what nobody has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Values = Mapping[str, Any]
ROLES = ("decode", "prefill")
_MOUNT_PATH = "/model-cache"
_VOLUME = "model-storage"
_COPIED = ("image", "ports", "resources")
_KNOWN = {
    "": {"modelArtifacts", "serviceAccountOverride", "routing", *ROLES},
    "modelArtifacts": {"name", "uri", "size", "authSecretName"},
    "role": {"create", "replicas", "containers", "volumes", "extraConfig"},
    "container": {*_COPIED, "name", "modelCommand", "command", "args", "env"}
    | {"mountModelVolume", "volumeMounts", "extraConfig"},
}


class ChartError(Exception):
    """Helm would stop with this message of the chart."""


class NotRecordedError(Exception):
    """Nobody has seen what the chart makes of this."""


def render(values: Values, release: str) -> dict[str, dict[str, Any]]:
    """The pod specs of both Deployments, by role.

    Raises:
        ChartError: the chart refuses the values.
        NotRecordedError: they are beyond this stand-in.
    """
    _check("", values)
    _check("modelArtifacts", values["modelArtifacts"])
    if values["routing"] != {"proxy": {"enabled": False}}:
        # With its proxy in front of decode vLLM gets another port there.
        raise NotRecordedError(f"routing: {values['routing']}")
    return {role: _pod(values, values[role], release) for role in ROLES}


def _pod(values: Values, role: Values, release: str) -> dict[str, Any]:
    _check("role", role)
    (container,) = role["containers"]
    _check("container", container)
    volumes = list(role.get("volumes", [{"name": "metrics-volume", "emptyDir": {}}]))
    if container["mountModelVolume"]:
        volumes += _model_volume(values["modelArtifacts"])
    return {
        **role.get("extraConfig", {}),
        "initContainers": [],
        "serviceAccountName": values.get("serviceAccountOverride") or f"{release}-llm-d-modelservice",
        "volumes": volumes,
        "containers": [_container(values["modelArtifacts"], container)],
    }


def _container(artifacts: Values, container: Values) -> dict[str, Any]:
    mounts = list(container.get("volumeMounts", []))
    if container["mountModelVolume"]:
        mounts.append({"name": _VOLUME, "mountPath": _MOUNT_PATH} | _read_only(artifacts))
    made = {
        "name": container.get("name", "vllm"),
        **{name: container[name] for name in _COPIED if name in container},
        **container.get("extraConfig", {}),
        **_command(artifacts, container),
        "env": [*container.get("env", []), *_environment(artifacts, container["mountModelVolume"])],
    }
    return made | ({"volumeMounts": mounts} if mounts else {})


def _command(artifacts: Values, container: Values) -> dict[str, Any]:
    own = list(container.get("args", []))
    kind = container["modelCommand"]
    if kind == "custom":
        return {"command": list(container["command"]), "args": own}
    if kind not in {"vllmServe", "imageDefault"}:
        raise NotRecordedError(f"modelCommand: {kind}")
    model = _model(artifacts["uri"])
    if model and kind == "imageDefault":
        model = ["--model", *model]
    args = [*model, "--port", "8000", "--served-model-name", artifacts["name"], *own]
    return {"args": args} | ({"command": ["vllm", "serve"]} if kind == "vllmServe" else {})


def _model(uri: str) -> list[str]:
    """The model as the chart names it; nothing for a scheme that it does not know."""
    scheme, _, rest = uri.partition("://")
    if scheme == "hf":
        return [rest]
    if scheme == "pvc":
        return [f"{_MOUNT_PATH}/{rest.partition('/')[2]}"]
    if scheme == "pvc+hf":
        return ["/".join(rest.split("/")[-2:])]
    if scheme == "oci":
        raise ChartError("arguments for oci:// not implemented")
    return []


def _environment(artifacts: Values, mounted: bool) -> list[dict[str, Any]]:
    scheme, _, rest = artifacts["uri"].partition("://")
    made: list[dict[str, Any]] = [{"name": name, "value": "1"} for name in ("DP_SIZE", "TP_SIZE", "DP_SIZE_LOCAL")]
    if scheme == "hf" and mounted:
        made.append({"name": "HF_HOME", "value": _MOUNT_PATH})
    if scheme == "pvc+hf" and mounted:
        made.append({"name": "HF_HUB_CACHE", "value": "/".join([_MOUNT_PATH, *rest.split("/")[1:-2]])})
    if secret := artifacts.get("authSecretName"):
        reference = {"secretKeyRef": {"name": secret, "key": "HF_TOKEN"}}
        made.append({"name": "HF_TOKEN", "valueFrom": reference})
    return made


def _model_volume(artifacts: Values) -> list[dict[str, Any]]:
    """None for a scheme that the chart does not know, although it mounts the volume."""
    scheme, _, rest = artifacts["uri"].partition("://")
    if scheme == "hf":
        return [{"name": _VOLUME, "emptyDir": {"sizeLimit": artifacts["size"]}}]
    if scheme in {"pvc", "pvc+hf"}:
        claim = {"claimName": rest.partition("/")[0], "readOnly": True}
        return [{"name": _VOLUME, "persistentVolumeClaim": claim}]
    if scheme == "oci":
        raise NotRecordedError("oci:// with mountModelVolume")
    return []


def _read_only(artifacts: Values) -> dict[str, bool]:
    return {"readOnly": True} if artifacts["uri"].startswith("pvc") else {}


def _check(what: str, values: Values) -> None:
    unknown = values.keys() - _KNOWN[what]
    if unknown:
        raise NotRecordedError(f"{what}: {', '.join(sorted(unknown))}")
