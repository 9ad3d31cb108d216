"""S3: KServe's, AWS's and OpenShift AI's dialects → `S3Credentials` → the streamer's environment.

Sources of the dialects: KServe's injected variables and the storage-config JSON (kserve.md 4.4 and 6), OpenShift
AI's connection keys (ecosystem.md 7.2), Kubeflow's `?endpoint=…&defaultRegion=…`. The storage-config JSON wins over
variables, as in KServe's own initializer; what the URI says wins over both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from wellhead_storage.credentials.storage_config import storage_config
from wellhead_storage.errors import InvalidConfiguration

Identity = Literal["static", "anonymous", "web-identity", "pod-identity", "ambient"]

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}
_CA_FILE = "cabundle.crt"  # the file name that KServe uses in a mounted CA ConfigMap
_ACCELERATE = "https://s3-accelerate.amazonaws.com"


class S3Connection(BaseModel):
    """The non-secret half: how to reach the store. May be written to the plan.

    Attributes:
        endpoint_url: with scheme, without trailing slash; None means AWS itself.
        region: region name, or None.
        virtual_hosted: bucket in the host name; None means "by the endpoint" (AWS: yes, everything else: no).
        verify_tls: False switches certificate checks off.
        ca_bundle: path of a PEM file, or None.
        identity: where the signature comes from.
    """

    # It is part of the plan, whose newer minor versions may say more.
    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["s3"] = "s3"
    endpoint_url: str | None = None
    region: str | None = None
    virtual_hosted: bool | None = None
    verify_tls: bool = True
    ca_bundle: str | None = None
    identity: Identity = "ambient"

    @property
    def bucket_in_host(self) -> bool:
        """The addressing style once defaults are applied.

        KServe lets boto3 choose, the streamer uses virtual hosting unless told otherwise, and a hostname endpoint
        such as a MinIO service has no DNS entry per bucket (vllm-and-streamer.md 6.1).
        """
        return self.endpoint_url is None if self.virtual_hosted is None else self.virtual_hosted


class S3Secret(BaseModel):
    """The secret half."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    access_key_id: SecretStr
    secret_access_key: SecretStr
    session_token: SecretStr | None = None


class S3Credentials(BaseModel):
    """Connection and, for `identity == "static"`, the secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connection: S3Connection
    secret: S3Secret | None = None

    @property
    def usable(self) -> bool:
        """Whether something here can sign, or says that nothing needs to be signed."""
        return self.connection.identity != "ambient"

    @property
    def needs_file(self) -> bool:
        """The streamer reads everything from variables."""
        return False

    def secret_file(self) -> bytes:
        """Nothing."""
        return b""

    def streamer_environment(self, secret_file: Path | None = None) -> dict[str, str]:
        """Variables for the Run:ai streamer, whose boto3 listing and C++ reads honour all of them.

        `AWS_ENDPOINT_URL` is the only endpoint variable that both halves read; both region names are set because
        they prefer different ones (vllm-and-streamer.md 6.1, 9.4).
        """
        link = self.connection
        env = {"RUNAI_STREAMER_S3_USE_VIRTUAL_ADDRESSING": "1" if link.bucket_in_host else "0"}
        if link.endpoint_url:
            env["AWS_ENDPOINT_URL"] = link.endpoint_url
        if link.region:
            env["AWS_REGION"] = env["AWS_DEFAULT_REGION"] = link.region
        if link.ca_bundle:
            env["AWS_CA_BUNDLE"] = link.ca_bundle
        if link.identity == "anonymous":
            env["RUNAI_STREAMER_S3_UNSIGNED"] = "1"
        if self.secret:
            env["AWS_ACCESS_KEY_ID"] = self.secret.access_key_id.get_secret_value()
            env["AWS_SECRET_ACCESS_KEY"] = self.secret.secret_access_key.get_secret_value()
            # Without this, an unreachable metadata service costs seconds before the static key is tried.
            env["AWS_EC2_METADATA_DISABLED"] = "true"
            if self.secret.session_token:
                env["AWS_SESSION_TOKEN"] = self.secret.session_token.get_secret_value()
        return env


SECRET_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def s3_credentials(environment: Mapping[str, str], parameters: Mapping[str, str] | None = None) -> S3Credentials:
    """Collect S3 credentials from a container's environment.

    Args:
        environment: variables as KServe, a secret, OpenShift AI or AWS set them; empty values count as unset.
        parameters: the URI's query.

    Raises:
        InvalidConfiguration: malformed STORAGE_CONFIG, half a key pair, a switch that is neither true nor false,
            a CA bundle that is not there.
    """
    values = _dialects(environment)
    query = {name.lower(): value for name, value in (parameters or {}).items() if value}
    if endpoint := query.get("endpoint") or query.get("endpoint_url"):
        values["endpoint_url"] = endpoint
    if region := query.get("region") or query.get("defaultregion"):
        values["region"] = region

    secret = _secret(values)
    anonymous = _switch(values, "anonymous", default=False)
    connection = S3Connection(
        endpoint_url=_endpoint(values),
        region=values.get("region"),
        virtual_hosted=_virtual_hosted(values),
        verify_tls=_switch(values, "verify_ssl", default=True),
        ca_bundle=_ca_bundle(values),
        identity=_identity(environment, anonymous=anonymous, static=secret is not None),
    )
    return S3Credentials(connection=connection, secret=None if anonymous else secret)


def _dialects(environment: Mapping[str, str]) -> dict[str, str]:
    """One flat table from every dialect; later sources overwrite earlier ones."""
    env = {name: value.strip() for name, value in environment.items() if value and value.strip()}

    def first(*names: str) -> str | None:
        return next((env[name] for name in names if name in env), None)

    found = {
        "endpoint_url": first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_S3_ENDPOINT", "S3_ENDPOINT"),
        "use_https": first("S3_USE_HTTPS"),
        # boto3 reads only AWS_DEFAULT_REGION; AWS_REGION is what EKS's webhook adds for the cluster.
        "region": first("AWS_DEFAULT_REGION", "AWS_REGION"),
        "access_key_id": first("AWS_ACCESS_KEY_ID"),
        "secret_access_key": first("AWS_SECRET_ACCESS_KEY"),
        "session_token": first("AWS_SESSION_TOKEN"),
        "verify_ssl": first("S3_VERIFY_SSL"),
        "virtual_bucket": first("S3_USER_VIRTUAL_BUCKET"),
        "accelerate": first("S3_USE_ACCELERATE"),
        "anonymous": first("awsAnonymousCredential"),
        "ca_bundle": first("AWS_CA_BUNDLE"),
    }
    values = {name: value for name, value in found.items() if value is not None}
    mount = first("CA_BUNDLE_VOLUME_MOUNT_POINT")
    if "ca_bundle" not in values and mount and first("CA_BUNDLE_CONFIGMAP_NAME", "AWS_CA_BUNDLE_CONFIGMAP"):
        values["ca_bundle"] = f"{mount.rstrip('/')}/{_CA_FILE}"
    stored = _storage_config(env)
    if stored:
        if "access_key_id" in stored:
            values.pop("session_token", None)
        values.update(stored)
    return values


def _storage_config(env: Mapping[str, str]) -> dict[str, str]:
    """What KServe's storage-config JSON says; {} where it is of another type."""
    merged = storage_config(env)
    if merged.get("type", "s3") != "s3":
        return {}
    names = ("endpoint_url", "region", "access_key_id", "secret_access_key", "session_token", "ca_bundle")
    return {name: merged[name] for name in (*names, "verify_ssl", "anonymous") if name in merged}


def _endpoint(values: Mapping[str, str]) -> str | None:
    text = values.get("endpoint_url", "").rstrip("/")
    if not text:
        return _ACCELERATE if _switch(values, "accelerate", default=False) else None
    if "://" not in text:
        text = ("https://" if _switch(values, "use_https", default=True) else "http://") + text
    try:
        parts = urlsplit(text)
        usable = parts.scheme.lower() in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # brackets, ports and hosts that cannot be; its text may hold a password
        parts, usable = urlsplit(""), False
    if not usable:
        raise InvalidConfiguration(
            f"The S3 endpoint {parts.hostname or '(no host)'} is not an http or https URL.",
            "Write it as https://host:port.",
        )
    if parts.username or parts.password:
        raise InvalidConfiguration(
            f"The S3 endpoint for {parts.hostname} carries a user name or password.",
            "Put access keys into the secret instead.",
        )
    return text


def _virtual_hosted(values: Mapping[str, str]) -> bool | None:
    if "virtual_bucket" in values:
        return _switch(values, "virtual_bucket", default=False)
    # Accelerated endpoints exist only in virtual-hosted form.
    return True if _endpoint(values) == _ACCELERATE else None


def _ca_bundle(values: Mapping[str, str]) -> str | None:
    path = values.get("ca_bundle")
    if path and not Path(path).is_file():
        raise InvalidConfiguration(
            f"The CA bundle {path} does not exist in this container.",
            "Check the ConfigMap named by AWS_CA_BUNDLE_CONFIGMAP, or the path in AWS_CA_BUNDLE.",
        )
    return path


def _secret(values: Mapping[str, str]) -> S3Secret | None:
    key_id, key = values.get("access_key_id"), values.get("secret_access_key")
    if not key_id and not key:
        return None
    if not key_id or not key:
        missing = "AWS_ACCESS_KEY_ID" if not key_id else "AWS_SECRET_ACCESS_KEY"
        raise InvalidConfiguration(f"{missing} is missing while the other half of the pair is set.", "Give both.")
    token = values.get("session_token")
    return S3Secret(
        access_key_id=SecretStr(key_id),
        secret_access_key=SecretStr(key),
        session_token=SecretStr(token) if token else None,
    )


def _identity(environment: Mapping[str, str], *, anonymous: bool, static: bool) -> Identity:
    if anonymous:
        return "anonymous"
    if static:
        return "static"
    given = {name for name, value in environment.items() if value and value.strip()}
    if {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} <= given:
        return "web-identity"
    if {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} & given:
        return "pod-identity"
    return "ambient"


def _switch(values: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = values.get(name, "").lower()
    if not text:
        return default
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise InvalidConfiguration(f"The S3 setting {name} is neither true nor false.", "Use true/false or 1/0.")
