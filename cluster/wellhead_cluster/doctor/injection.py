"""The credentials that KServe gives to the init container (kserve.md 4.4, 6.1 and 6.2). Pure.

Values of secrets pass through here, for the probe and for `wellhead_storage`'s own checks; nothing shows them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from wellhead_cluster.doctor.dialects import S3_PREFIX, S3_SETTINGS, Dialect, dialect_of, s3_key_names
from wellhead_cluster.doctor.known import Known
from wellhead_cluster.doctor.kserve import Config
from wellhead_cluster.doctor.manifests import (
    Manifest,
    annotations_of,
    entries,
    name_of,
    secret_data,
    section,
    strings,
)

IRSA = "eks.amazonaws.com/role-arn"
GOOGLE_FOLDER = "/var/secrets/"
_AZURE = (
    *("AZURE_SUBSCRIPTION_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
    *("AZURE_STORAGE_ACCESS_KEY", "AZURE_ACCESS_TOKEN", "AZURE_ACCESS_EXPIRES_ON_SECONDS"),
    *("AZURE_ACCOUNT_NAME", "AZURE_SERVICE_URL"),
)
_STORAGE_TYPES = ("s3", "hdfs", "webhdfs")


@dataclass(slots=True)
class Injected:
    """What KServe adds.

    Attributes:
        environment: variables with their values, secret ones too.
        files: path in the container → content, secret as well.
        secrets: name → what KServe takes it for, of every secret that was found.
        missing: secrets that do not exist, for which KServe refuses the pod.
        problems: other reasons for which KServe refuses, in sentences.
        unknown: what could not be looked at, in sentences.
        account: the service account's object; None where it is not known or does not exist.
        absent: the service account does not exist.
        uri: the model's URI where `storage.path` makes one, else empty.
    """

    environment: dict[str, str] = field(default_factory=dict, repr=False)
    files: dict[str, str] = field(default_factory=dict, repr=False)
    secrets: dict[str, Dialect] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    account: Manifest | None = None
    absent: bool = False
    uri: str = ""


def find_account(name: str, known: Known) -> Injected:
    """The service account alone, with nothing of its secrets."""
    found = known.find("ServiceAccount", name)
    if isinstance(found, dict):
        return Injected(account=found)
    if name == "default":  # every namespace has it
        return Injected(unknown=[] if found.certain else [f"ServiceAccount default: {found.reason}"])
    if found.certain:
        return Injected(absent=True)
    return Injected(unknown=[f"ServiceAccount {name}: {found.reason}"])


def inject(account: str, annotations: dict[str, str], known: Known, config: Config) -> Injected:
    """Everything that the service account has, or the one secret that an annotation names.

    Args:
        account: of the pod.
        annotations: of the pod (of the object for an LLMInferenceService).
        known: the cluster.
        config: KServe's.
    """
    injected = find_account(account, known)
    if injected.absent:
        return injected
    own = annotations_of(injected.account or {})
    if IRSA in own:
        injected.environment |= _s3_settings(own, {}, config)
    names = [str(each.get("name")) for each in entries(injected.account or {}, "secrets")]
    if config.secret_annotation in annotations:
        names = [annotations[config.secret_annotation]]
    for name in names:
        _add(name, injected, known, config)
    return injected


def inject_entry(
    storage: Manifest, annotations: dict[str, str], account: str, known: Known, config: Config
) -> Injected:
    """One entry of `storage-config`, in place of everything that the service account has.

    Args:
        storage: the service's `storage` block.
        annotations: of the pod: one of them may name another secret.
        account: of the pod, which still has to exist.
        known: the cluster.
        config: KServe's.
    """
    injected = find_account(account, known)
    key, parameters = str(storage.get("key") or ""), strings(storage, "parameters")
    name = annotations.get(config.secret_annotation, config.storage_secret)
    found = known.find("Secret", name)
    if not isinstance(found, dict) and not found.certain:
        injected.unknown.append(f"Secret {name}: {found.reason}")
        return injected
    if not isinstance(found, dict):
        if key:
            injected.missing.append(name)
            return injected
        found = {}
    data = secret_data(found)
    if key and key not in data:
        near = ", ".join(sorted(data)) or "none"
        injected.problems.append(f"Secret {name} has no entry {key} (it has: {near})")
        return injected
    kind = parameters.get("type", "")
    key = key or (f"default_{kind}" if kind else "default")
    entry = _entry(data[key], key, name, injected) if key in data else {}
    if injected.problems:
        return injected
    kind, bucket = kind or entry.get("type", ""), parameters.get("bucket") or entry.get("bucket", "")
    if not kind:
        where = f"entry {key} of Secret {name}" if key in data else f"Secret {name}, which has no entry {key},"
        injected.problems.append(f"{where} does not say which type of storage it is for")
    elif kind not in _STORAGE_TYPES:
        injected.problems.append(f"storage type {kind} is none of {', '.join(_STORAGE_TYPES)}")
    elif kind == "s3" and storage.get("path") is not None and not bucket:
        injected.problems.append(f"entry {key} of Secret {name} names no bucket, and neither do storage.parameters")
    if key in data:
        injected.environment["STORAGE_CONFIG"] = data[key]
        injected.secrets[name] = "s3" if kind == "s3" else "hdfs"
    if "cabundle_configmap" in entry:
        injected.environment["AWS_CA_BUNDLE_CONFIGMAP"] = entry["cabundle_configmap"]
    if parameters:
        injected.environment["STORAGE_OVERRIDE_CONFIG"] = json.dumps(parameters)
    if storage.get("path") is not None and not injected.problems:
        path = str(storage["path"]).removeprefix("/")
        injected.uri = f"s3://{bucket}/{path}" if kind == "s3" else f"{kind}://{path}"
    return injected


def _entry(text: str, key: str, secret: str, injected: Injected) -> dict[str, str]:
    """One entry's JSON; its text is a secret, so it is named, never shown."""
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        injected.problems.append(f"entry {key} of Secret {secret} is not a JSON object")
        return {}
    if wrong := sorted(str(name) for name, value in entry.items() if not isinstance(value, str)):
        injected.problems.append(f"entry {key} of Secret {secret} has values that are no strings: {', '.join(wrong)}")
        return {}
    return entry


def _add(name: str, injected: Injected, known: Known, config: Config) -> None:
    found = known.find("Secret", name)
    if not isinstance(found, dict):
        if found.certain:
            injected.missing.append(name)
        else:
            injected.unknown.append(f"Secret {name}: {found.reason}")
        return
    data = secret_data(found)
    dialect = injected.secrets[name_of(found)] = dialect_of(set(data), config)
    environment = injected.environment
    if dialect == "s3":
        environment |= {variable: data.get(key, "") for variable, key in s3_key_names(config).items()}
        environment |= _s3_settings(annotations_of(found), data, config)
    elif dialect == "gs":
        path = f"{GOOGLE_FOLDER}{config.google_file}"
        environment["GOOGLE_APPLICATION_CREDENTIALS"] = path
        injected.files[path] = data[config.google_file]
    elif dialect == "azure":
        for variable in _AZURE:
            older = variable.replace("AZURE_", "AZ_", 1) if variable in _AZURE[:4] else variable
            if older in data or variable in data:
                environment[variable] = data.get(older, data.get(variable, ""))
    elif dialect == "https":
        if "headers" in data:
            environment[f"{data['https-host']}-headers"] = data["headers"]
    elif dialect in {"azure-key", "hf", "modelscope"}:
        variable = {"azure-key": "AZURE_STORAGE_ACCESS_KEY", "hf": "HF_TOKEN"}.get(dialect, "MODELSCOPE_API_TOKEN")
        environment[variable] = data[variable]


def _s3_settings(annotations: dict[str, str], data: dict[str, str], config: Config) -> dict[str, str]:
    """From annotations, else the secret's data, else KServe's ConfigMap; an empty setting gives no variable."""
    found = {
        variable: annotations.get(f"{S3_PREFIX}{annotation}", data.get(variable, config.s3.get(key, "")))
        for annotation, variable, key in S3_SETTINGS
    }
    scheme, separator, host = found["S3_ENDPOINT"].partition("://")
    if separator and scheme in {"http", "https"}:  # an endpoint with a scheme decides itself about HTTPS
        found["S3_ENDPOINT"], found["S3_USE_HTTPS"] = host, "1" if scheme == "https" else "0"
    if found["S3_ENDPOINT"]:
        plain = found["S3_USE_HTTPS"] == "0"
        found["AWS_ENDPOINT_URL"] = f"{'http' if plain else 'https'}://{found['S3_ENDPOINT']}"
    return {variable: value for variable, value in found.items() if value}


def bundle_of(environment: dict[str, str], config: Config) -> str:
    """The ConfigMap with certificates that KServe mounts into the init container; empty for none."""
    own = environment.get("AWS_CA_BUNDLE_CONFIGMAP", "")
    return own or (
        "global-ca-bundle" if section(config.values, "storageInitializer").get("caBundleConfigMapName") else ""
    )
