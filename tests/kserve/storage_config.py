"""Credentials from one entry of the secret `storage-config`, for services with a `storage` block."""

from __future__ import annotations

import json

from tests.kserve.cluster import Cluster, secret_data
from tests.kserve.errors import KServeError
from tests.kserve.go_json import go_json
from tests.kserve.manifests import Manifest
from tests.kserve.names import SCHEME_PLACEHOLDER
from tests.kserve.settings import Settings

_TYPES = ("s3", "hdfs", "webhdfs")
_WITH_BUCKET = ("s3",)


def add_storage_config(
    cluster: Cluster,
    settings: Settings,
    namespace: str,
    annotations: dict[str, str],
    key: str,
    parameters: dict[str, str],
    container: Manifest,
) -> None:
    """Adds STORAGE_CONFIG and STORAGE_OVERRIDE_CONFIG, and gives a URI without a scheme its scheme and bucket.

    Args:
        key: entry of the secret; empty for `default`, or `default_<type>`.
        parameters: of the service; they win over the entry.

    Raises:
        KServeError: no such entry, or nothing says which kind of storage it is, or which bucket.
    """
    name = settings.credentials.get("storageSpecSecretName") or "storage-config"
    name = annotations.get(settings.secret_name_annotation, name)
    kind, bucket = parameters.get("type", ""), parameters.get("bucket", "")
    secret = cluster.find("Secret", name, namespace)
    if secret is None and key:
        raise KServeError(f'can\'t read storage secret {name}: secrets "{name}" not found')
    data = {} if secret is None else secret_data(secret)
    if key and key not in data:
        raise KServeError(f"specified storage key {key} not found in storage secret {name}")
    key = key or (f"default_{kind}" if kind else "default")

    environment = container.setdefault("env", [])
    if key in data:
        if not kind:
            entry = _entry(data[key], key, name)
            kind, bucket = entry.get("type", ""), bucket or entry.get("bucket", "")
            if "type" in entry and kind not in _TYPES:
                raise KServeError(
                    f"storage type must be one of [{', '.join(_TYPES)}]. storage type [{kind}] is not supported"
                )
            if "cabundle_configmap" in entry:
                environment.append({"name": "AWS_CA_BUNDLE_CONFIGMAP", "value": entry["cabundle_configmap"]})
        environment.append({"name": "STORAGE_CONFIG", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
    if not kind:
        raise KServeError("unable to determine storage type")

    uri = container["args"][0]
    if uri.startswith(SCHEME_PLACEHOLDER):
        path = uri.removeprefix(SCHEME_PLACEHOLDER)
        if kind in _WITH_BUCKET and not bucket:
            raise KServeError(f"format [{kind}] requires a bucket but one wasn't found in storage data or parameters")
        container["args"][0] = f"{kind}://{bucket}/{path}" if kind in _WITH_BUCKET else f"{kind}://{path}"
    if parameters:
        environment.append({"name": "STORAGE_OVERRIDE_CONFIG", "value": go_json(dict(sorted(parameters.items())))})


def _entry(text: str, key: str, secret: str) -> dict[str, str]:
    try:
        entry = json.loads(text)
    except json.JSONDecodeError as error:
        raise KServeError(f"invalid json encountered in key {key} of storage secret {secret}: {error}") from None
    wrong = next((value for value in entry.values() if not isinstance(value, str)), None)
    if wrong is not None:
        kind = {bool: "bool", int: "number", float: "number"}.get(type(wrong), "object")
        raise KServeError(
            f"invalid json encountered in key {key} of storage secret {secret}: "
            f"json: cannot unmarshal {kind} into Go value of type string"
        )
    assert isinstance(entry, dict)
    return entry
