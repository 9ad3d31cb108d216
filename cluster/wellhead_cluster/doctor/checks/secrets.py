"""Secrets: there, of a kind that KServe recognises, whole, and spelt as KServe reads them. No value is ever shown."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from wellhead_cluster.doctor.dialects import (
    CONNECTION_KEYS,
    KNOWN_KEYS,
    OTHER_SPELLINGS,
    S3_PREFIX,
    S3_SETTINGS,
    WORDS,
    s3_key_names,
)
from wellhead_cluster.doctor.findings import Finding, error, listed, ok, unknown, warning
from wellhead_cluster.doctor.manifests import Manifest, annotations_of, secret_data
from wellhead_cluster.doctor.pods import Pod
from wellhead_cluster.doctor.situation import Situation

_SETTINGS = [f"{S3_PREFIX}{name}" for name, _, _ in S3_SETTINGS]


def check_secrets(situation: Situation) -> Iterator[Finding]:
    """Those that KServe reads, and those that containers refer to themselves."""
    for pod in situation.pods:
        injected = pod.injected
        for name in injected.missing:
            yield error(
                f"Secret {name} does not exist",
                "KServe refuses the pods: it must read every secret of the service account, or the one that is named.",
                "Create it in the service's namespace, or stop naming it.",
            )
        for problem in injected.problems:
            yield error(problem, "KServe refuses the pods.", "Correct the secret or the service's `storage` block.")
        for text in (*injected.unknown, *pod.initial.unknown, *pod.served.unknown):
            if not text.startswith("ServiceAccount"):
                yield unknown("a secret or ConfigMap is not known", f"{text}.", "Give it with a further -f.")
        for text in (*pod.initial.missing, *pod.served.missing):
            yield error(
                f"{text} does not exist, and a container of the {pod.role} needs it",
                "The container does not start (CreateContainerConfigError).",
                "Create it, or mark the reference optional.",
            )
        for name in injected.secrets:
            found = situation.known.find("Secret", name)
            if isinstance(found, dict):
                yield from _of_secret(name, found, situation, pod)


def _of_secret(name: str, secret: Manifest, situation: Situation, pod: Pod) -> Iterator[Finding]:
    data, dialect = secret_data(secret), pod.injected.secrets[name]
    if "STORAGE_CONFIG" in pod.environment:
        yield ok(f"Secret {name}, the entry that storage.key names")
        return
    if not dialect:
        yield _unrecognised(name, data, situation)
        return
    yield ok(f"Secret {name}: {WORDS[dialect]}")
    if dialect == "s3":
        keys = s3_key_names(situation.config)
        lacking = [key for key in keys.values() if not data.get(key)]
        if lacking:
            yield error(
                f"Secret {name} has no {listed(lacking)}",
                "KServe refers to both keys: the init container does not start without them.",
                "Complete the secret.",
                "\n".join(["stringData:", *(f"  {key}: …" for key in lacking)]),
            )
        yield from _settings(name, secret, data)
    if dialect == "azure" and not {"AZURE_TENANT_ID", "AZ_TENANT_ID"} & set(data):
        yield error(
            f"Secret {name} has no AZURE_TENANT_ID",
            "KServe refers to it whenever there is a client: the init container does not start without it.",
            "Add the tenant.",
            "stringData:\n  AZURE_TENANT_ID: …",
        )


def _unrecognised(name: str, data: dict[str, str], situation: Situation) -> Finding:
    keys = s3_key_names(situation.config)
    meant = {key: OTHER_SPELLINGS.get(key.lower()) or _near(key) for key in data}
    guesses = [f"{key} for {right}" for key, right in meant.items() if right and right != key]
    if keys["AWS_ACCESS_KEY_ID"] in data:
        why = f"KServe takes a secret for S3 by its key {keys['AWS_SECRET_ACCESS_KEY']}, which is missing."
    else:
        why = "KServe takes nothing from it: it goes by the names of the keys."
    shown = listed(sorted(data)) if data else "no keys at all"
    fix = f"Misspelt, it seems: {listed(guesses)}." if guesses else "Name the keys as KServe reads them."
    return warning(f"Secret {name} holds nothing that KServe recognises ({shown})", why, fix)


def _settings(name: str, secret: Manifest, data: dict[str, str]) -> Iterator[Finding]:
    annotations = annotations_of(secret)
    for key in annotations:
        if key.startswith(f"{S3_PREFIX}s3-") and key not in _SETTINGS:
            near = get_close_matches(key, _SETTINGS, 1)
            yield warning(
                f"Secret {name} has the annotation {key}, which KServe does not know",
                "It has no effect.",
                f"Did you mean {near[0]}?" if near else f"Known are {listed(_SETTINGS)}.",
            )
    endpoint = f"{S3_PREFIX}s3-endpoint"
    connection = [key for key in CONNECTION_KEYS if key in data]
    if CONNECTION_KEYS[0] in connection and endpoint not in annotations and not data.get("S3_ENDPOINT"):
        yield warning(
            f"Secret {name} is a connection of OpenShift AI's (it has {listed(connection)})",
            "KServe takes the keys from it and not the endpoint, so the store would be looked for at AWS.",
            "State the endpoint where KServe reads it, or use the entry that OpenShift AI puts into storage-config.",
            f"metadata:\n  annotations:\n    {endpoint}: host:port",
        )
    for key in data:
        right = _near(key)
        if right and key not in KNOWN_KEYS and key not in CONNECTION_KEYS:
            yield warning(
                f"Secret {name} has the key {key}, which KServe does not read",
                "It has no effect.",
                f"Did you mean {right}?",
            )


def _near(key: str) -> str:
    return next(iter(get_close_matches(key, KNOWN_KEYS, 1, 0.85)), "")
