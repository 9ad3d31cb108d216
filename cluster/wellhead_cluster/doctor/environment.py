"""A container's own variables, as far as manifests say them: `env` and `envFrom` resolved. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.manifests import Manifest, entries, secret_data, section, strings

_ANNOTATION = re.compile(r"metadata\.annotations\['([^']+)'\]")


@dataclass(slots=True)
class Resolved:
    """What a container would see.

    Attributes:
        environment: variables with their values, secret ones too.
        missing: secrets, ConfigMaps and keys of them that do not exist, without which the container does not start.
        unknown: what could not be looked at, in sentences.
        annotations: annotations that variables come from.
    """

    environment: dict[str, str] = field(default_factory=dict, repr=False)
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    annotations: list[str] = field(default_factory=list)


def resolve(container: Manifest, annotations: dict[str, str], known: Known) -> Resolved:
    """The variables of one container.

    Args:
        container: as merged.
        annotations: of its pod, for the downward API; one that is not there gives an empty value.
        known: the cluster.
    """
    resolved = Resolved()
    for source in entries(container, "envFrom"):
        prefix = str(source.get("prefix") or "")
        for field_name, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
            if reference := section(source, field_name):
                content = _content(reference, kind, resolved, known)
                resolved.environment |= {f"{prefix}{key}": value for key, value in (content or {}).items()}
    for entry in entries(container, "env"):
        name = str(entry.get("name") or "")
        value = _value(entry, annotations, resolved, known)
        if value is not None:
            resolved.environment[name] = value
    return resolved


def _value(entry: Manifest, annotations: dict[str, str], resolved: Resolved, known: Known) -> str | None:
    source = section(entry, "valueFrom")
    if not source:
        return str(entry.get("value") or "")
    for field_name, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if reference := section(source, field_name):
            content, key = _content(reference, kind, resolved, known), str(reference.get("key") or "")
            if content is None or key in content:
                return (content or {}).get(key)
            if not reference.get("optional"):
                resolved.missing.append(f"key {key} of {kind} {reference.get('name')}")
            return None
    if match := _ANNOTATION.fullmatch(str(section(source, "fieldRef").get("fieldPath") or "")):
        resolved.annotations.append(match[1])
        return annotations.get(match[1], "")
    return None


def _content(reference: Manifest, kind: str, resolved: Resolved, known: Known) -> dict[str, str] | None:
    """None where it is not known."""
    name = str(reference.get("name") or "")
    found = known.find(kind, name)
    if isinstance(found, dict):
        return secret_data(found) if kind == "Secret" else strings(found, "data")
    if not found.certain:
        if not reference.get("optional"):
            resolved.unknown.append(f"{kind} {name}: {found.reason}")
        return None
    if not reference.get("optional"):
        resolved.missing.append(f"{kind} {name}")
        return None
    return {}
