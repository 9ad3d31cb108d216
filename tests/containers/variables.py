"""The variables of a container, as the kubelet works them out (`makeEnvironmentVariables`, kubelet_pods.go).

First those of the namespace's Services, then `envFrom`, then `env`, whose values and the container's command may refer
to what stands before them as `$(NAME)`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.kserve.cluster import Cluster, secret_data
from tests.kserve.manifests import namespace_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.kserve.manifests import Manifest

ADDRESS = "10.96.231.3"
_FIELD = re.compile(r"metadata\.(annotations|labels)\['(.+)'\]")
_REFERENCE = re.compile(r"\$(?:\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")


class CannotStart(Exception):
    """The kubelet would not start the container: `CreateContainerConfigError`."""


def service_variables(names: Iterable[str]) -> dict[str, str]:
    """What every container of a namespace with these Services gets, whether it wants it or not."""
    found: dict[str, str] = {}
    for name in names:
        prefix = name.upper().replace("-", "_")
        address = f"tcp://{ADDRESS}:80"
        found |= {
            f"{prefix}_SERVICE_HOST": ADDRESS,
            f"{prefix}_SERVICE_PORT": "80",
            f"{prefix}_PORT": address,
            f"{prefix}_PORT_80_TCP": address,
        }
    return found


def variables(container: Manifest, pod: Manifest, cluster: Cluster, given: Mapping[str, str]) -> dict[str, str]:
    """Every variable of the container but the image's own.

    Args:
        container: one of the pod's.
        pod: whose annotations and labels `fieldRef` means.
        cluster: has the Secrets and ConfigMaps.
        given: the namespace's Services.

    Raises:
        CannotStart: a Secret, a ConfigMap or a key is not there, and not optional.
    """
    found = dict(given)
    for source in container.get("envFrom") or []:
        found |= {source.get("prefix", "") + key: value for key, value in _whole(source, pod, cluster).items()}
    for each in container.get("env") or []:
        if "valueFrom" not in each:
            found[each["name"]] = expanded(each.get("value") or "", found)
        elif (value := _referred(each["valueFrom"], pod, cluster)) is not None:
            found[each["name"]] = value
    return found


def expanded(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` replaced; an unknown name stays as it is, and `$$` is a dollar sign."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return known.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def _whole(source: Manifest, pod: Manifest, cluster: Cluster) -> Mapping[str, str]:
    for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
        if field in source:
            return _content(kind, source[field], pod, cluster) or {}
    raise NotImplementedError(f"envFrom {source}")


def _referred(source: Manifest, pod: Manifest, cluster: Cluster) -> str | None:
    for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if reference := source.get(field):
            content = _content(kind, reference, pod, cluster)
            if content is not None and reference["key"] in content:
                return content[reference["key"]]
            if reference.get("optional"):
                return None
            raise CannotStart(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
    path = source.get("fieldRef", {}).get("fieldPath", "")
    if match := _FIELD.fullmatch(path):
        # Of an annotation that is not there the kubelet makes an empty value.
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    if path == "metadata.namespace":
        return namespace_of(pod)
    raise NotImplementedError(f"valueFrom {source}")


def _content(kind: str, reference: Manifest, pod: Manifest, cluster: Cluster) -> Mapping[str, str] | None:
    found = cluster.find(kind, reference["name"], namespace_of(pod))
    if found is None:
        if reference.get("optional"):
            return None
        raise CannotStart(f'{kind.lower()} "{reference["name"]}" not found')
    return secret_data(found) if kind == "Secret" else dict(found.get("data") or {})
