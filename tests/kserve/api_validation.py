"""What the API server refuses in the pods, templates and Services that KServe's merges can produce."""

from __future__ import annotations

from collections.abc import Iterator

from tests.kserve.errors import Refused
from tests.kserve.manifests import Manifest
from tests.kserve.quantities import amount

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
# The order in which the API server looks at what a volume may be; anything else it looks at before or between.
_VOLUMES = [
    *("emptyDir", "hostPath", "secret", "nfs", "persistentVolumeClaim", "downwardAPI"),
    *("configMap", "projected", "csi", "ephemeral", "image"),
]
# A resource that may not be requested beyond its limit, or not at all without the same limit.
_OVERCOMMITTED = ("cpu", "memory", "ephemeral-storage")


def validate_service(name: str, ports: list[Manifest]) -> None:
    """Ports need names once there are two, and each its own.

    Raises:
        Refused: at the stage "reconcile", where KServe's controller reports it.
    """
    errors, seen = [], set()
    for index, port in enumerate(ports):
        if not port["name"]:
            errors += [f"spec.ports[{index}].name: Required value"] if len(ports) > 1 else []
        elif port["name"] in seen:
            errors.append(f'spec.ports[{index}].name: Duplicate value: "{port["name"]}"')
        seen.add(port["name"])
    _reconcile_refusal(f'Service "{name}"', errors)


def validate_template(kind: str, name: str, spec: Manifest) -> None:
    """The pod template of a Deployment.

    Raises:
        Refused: at the stage "reconcile".
    """
    _reconcile_refusal(f'{kind} "{name}"', list(_errors(spec, "spec.template.spec")))


def validate_pod(name: str, spec: Manifest) -> None:
    """A pod after every webhook.

    Raises:
        Refused: at the stage "Pod", in the form that kubectl gives to several errors.
    """
    errors = list(_errors(spec, "spec"))
    if errors:
        listed = errors[0] if len(errors) == 1 else "".join(f"\n* {error}" for error in errors)
        raise Refused("Pod", f'The Pod "{name}" is invalid: {listed}')


def _reconcile_refusal(what: str, errors: list[str]) -> None:
    if errors:
        listed = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        message = f"fails to reconcile predictor: {what} is invalid: {listed}"
        raise Refused("reconcile", message, reason="ReconcileFailed")


def _errors(spec: Manifest, path: str) -> Iterator[str]:
    volumes = spec.get("volumes") or []
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        sources = sorted(
            volume.keys() - {"name"}, key=lambda kind: (_VOLUMES.index(kind) if kind in _VOLUMES else -1, kind)
        )
        for source in sources[1:]:
            yield f"{path}.volumes[{index}].{source}: Forbidden: may not specify more than 1 volume type"
        if volume["name"] in seen:
            yield f'{path}.volumes[{index}].name: Duplicate value: "{volume["name"]}"'
        seen.add(volume["name"])
    names: set[str] = set()
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or []):
            here = f"{path}.{kind}[{index}]"
            if container["name"] in names:
                yield f'{here}.name: Duplicate value: "{container["name"]}"'
            names.add(container["name"])
            yield from _container_errors(container, here, {volume["name"] for volume in volumes})


def _container_errors(container: Manifest, path: str, volumes: set[str]) -> Iterator[str]:
    if not container.get("image"):
        yield f"{path}.image: Required value"
    seen: set[str] = set()
    for index, port in enumerate(container.get("ports") or []):
        name = port.get("name")
        if name and name in seen:
            yield f'{path}.ports[{index}].name: Duplicate value: "{name}"'
        seen.add(name or "")
    for index, entry in enumerate(container.get("env") or []):
        yield from _variable_errors(entry, f"{path}.env[{index}]")
    paths: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or []):
        if mount["name"] not in volumes:
            yield f'{path}.volumeMounts[{index}].name: Not found: "{mount["name"]}"'
        if mount["mountPath"] in paths:
            yield f'{path}.volumeMounts[{index}].mountPath: Invalid value: "{mount["mountPath"]}": must be unique'
        paths.add(mount["mountPath"])
    for probe in _PROBES:
        declared = container.get(probe)
        handlers = [name for name in _HANDLERS if (declared or {}).get(name) is not None]
        if declared is not None and not handlers:
            yield f"{path}.{probe}: Required value: must specify a handler type"
        for handler in handlers[1:]:
            yield f"{path}.{probe}.{handler}: Forbidden: may not specify more than 1 handler type"
    yield from _resource_errors(container.get("resources") or {}, f"{path}.resources")


def _variable_errors(entry: Manifest, path: str) -> Iterator[str]:
    sources = entry.get("valueFrom")
    if sources is None:
        return
    if entry.get("value"):
        yield f'{path}.valueFrom: Invalid value: "": may not be specified when `value` is not empty'
    elif len([source for source in sources.values() if source is not None]) > 1:
        yield f'{path}.valueFrom: Invalid value: "": may not have more than one field specified at a time'


def _resource_errors(resources: Manifest, path: str) -> Iterator[str]:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name in sorted(requests):
        request = requests[name]
        if name in limits and amount(request) > amount(limits[name]):
            yield (
                f'{path}.requests: Invalid value: "{request}": '
                f"must be less than or equal to {name} limit of {limits[name]}"
            )
        elif "/" in name and name not in _OVERCOMMITTED and amount(request) != amount(limits.get(name, 0)):
            yield f"{path}.limits: Required value: Limit must be set for non overcommitable resources"
