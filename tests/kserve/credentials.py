"""Credentials for the initializer, from the secrets of the pod's service account."""

from __future__ import annotations

from dataclasses import dataclass

from tests.kserve import s3_credentials
from tests.kserve.cluster import Cluster, secret_data, service_account
from tests.kserve.errors import KServeError
from tests.kserve.manifests import Manifest, annotations_of, merge_variables, named
from tests.kserve.settings import Settings

_IRSA = "eks.amazonaws.com/role-arn"
_AZURE = (
    *("AZURE_SUBSCRIPTION_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
    *("AZURE_STORAGE_ACCESS_KEY", "AZURE_ACCESS_TOKEN", "AZURE_ACCESS_EXPIRES_ON_SECONDS"),
    *("AZURE_ACCOUNT_NAME", "AZURE_SERVICE_URL"),
)


@dataclass(frozen=True)
class Target:
    """Where credentials go: a container, and the volumes of its pod."""

    container: Manifest
    volumes: list[Manifest]


def add_credentials(
    cluster: Cluster, settings: Settings, namespace: str, annotations: dict[str, str], account: str, target: Target
) -> None:
    """Everything the service account has; an account that does not exist gives nothing.

    Args:
        annotations: of the pod (of the service for an LLMInferenceService): one of them may name the only secret.
        account: name of the service account, empty for `default`.

    Raises:
        KServeError: a secret that does not exist.
    """
    found = service_account(cluster, account or "default", namespace)
    if found is not None:
        add_credentials_of(found, cluster, settings, annotations, target)


def add_credentials_of(
    account: Manifest, cluster: Cluster, settings: Settings, annotations: dict[str, str], target: Target
) -> None:
    """The same for an account at hand."""
    own = annotations_of(account)
    if _IRSA in own:
        target.container.setdefault("env", []).extend(s3_credentials.settings_variables(own, {}, settings.s3))
    names = [reference["name"] for reference in account.get("secrets") or []]
    if settings.secret_name_annotation in annotations:
        names = [annotations[settings.secret_name_annotation]]
    for name in names:
        secret = cluster.find("Secret", name, account["metadata"].get("namespace") or "default")
        if secret is None:
            raise KServeError(f'secrets "{name}" not found')
        _add_secret(secret, settings, target)


def _add_secret(secret: Manifest, settings: Settings, target: Target) -> None:
    """What a secret is for is guessed from its keys, in this order."""
    name, data = secret["metadata"]["name"], secret_data(secret)
    environment = target.container.setdefault("env", [])
    google = (settings.credentials.get("gcs") or {}).get("gcsCredentialFileName", "gcloud-application-credentials.json")
    if (settings.s3.get("s3SecretAccessKeyName") or "awsSecretAccessKey") in data:
        merge_variables(
            target.container, s3_credentials.secret_variables(name, annotations_of(secret), data, settings.s3)
        )
    elif google in data:
        _add_volume(target, "user-gcp-sa", name, "/var/secrets/")
        environment.append({"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": f"/var/secrets/{google}"})
    elif data.keys() & {"AZ_CLIENT_ID", "AZURE_CLIENT_ID", "AZURE_ACCESS_TOKEN"}:
        environment += _azure_variables(name, data)
    elif "AZURE_STORAGE_ACCESS_KEY" in data:
        environment.append(_reference(name, "AZURE_STORAGE_ACCESS_KEY"))
    elif "https-host" in data:
        if "headers" in data:
            environment.append({"name": f"{data['https-host']}-headers", "value": data["headers"]})
    elif "HDFS_NAMENODE" in data:
        _add_volume(target, "hdfs-secrets", name, "/var/secrets/kserve-hdfscreds")
    else:
        known = ("HF_TOKEN", "MODELSCOPE_API_TOKEN")
        environment += [_reference(name, token) for token in known if token in data][:1]


def _azure_variables(secret: str, data: dict[str, str]) -> list[Manifest]:
    """A key of the older spelling `AZ_…` wins; the tenant is referred to even where the secret lacks it."""
    variables = []
    for name in _AZURE:
        older = name.replace("AZURE_", "AZ_", 1) if name in _AZURE[:4] else name
        key = older if older in data else name
        if key in data or name == "AZURE_TENANT_ID":
            variables.append(_reference(secret, name, key))
    return variables


def _reference(secret: str, name: str, key: str | None = None) -> Manifest:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key or name}}}


def _add_volume(target: Target, volume: str, secret: str, path: str) -> None:
    if named(target.volumes, volume) is None:
        target.volumes.append({"name": volume, "secret": {"secretName": secret}})
    mount = {"name": volume, "mountPath": path, "readOnly": True}
    target.container.setdefault("volumeMounts", []).append(mount)
