"""The variables that S3 settings become, in KServe's order."""

from __future__ import annotations

from tests.kserve.manifests import Manifest

# annotation serving.kserve.io/…, key in the secret (and name of the variable), key in KServe's ConfigMap
_SETTINGS = (
    ("s3-verifyssl", "S3_VERIFY_SSL", "s3VerifySSL"),
    ("s3-useanoncredential", "awsAnonymousCredential", "s3UseAnonymousCredential"),
    ("s3-region", "AWS_DEFAULT_REGION", "s3Region"),
    ("s3-usevirtualbucket", "S3_USER_VIRTUAL_BUCKET", "s3UseVirtualBucket"),
    ("s3-useaccelerate", "S3_USE_ACCELERATE", "s3UseAccelerate"),
    ("s3-cabundle", "AWS_CA_BUNDLE", "s3CABundle"),
    ("s3-cabundle-configmap", "AWS_CA_BUNDLE_CONFIGMAP", "s3CABundleConfigMap"),
)


def secret_variables(
    secret: str, annotations: dict[str, str], data: dict[str, str], s3: dict[str, str]
) -> list[Manifest]:
    """What a secret with S3 keys gives: a reference to both keys, then the settings as plain values."""
    names = {
        "AWS_ACCESS_KEY_ID": s3.get("s3AccessKeyIDName") or "awsAccessKeyID",
        "AWS_SECRET_ACCESS_KEY": s3.get("s3SecretAccessKeyName") or "awsSecretAccessKey",
    }
    keys: list[Manifest] = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}} for name, key in names.items()
    ]
    return [*keys, *settings_variables(annotations, data, s3)]


def settings_variables(annotations: dict[str, str], data: dict[str, str], s3: dict[str, str]) -> list[Manifest]:
    """The settings alone, from annotations (of a secret or a service account), else the secret's data, else KServe's.

    A setting that is empty gives no variable. An endpoint with a scheme decides itself about HTTPS.
    """

    def setting(annotation: str, key: str, config: str) -> str:
        return annotations.get(f"serving.kserve.io/{annotation}", data.get(key, s3.get(config) or ""))

    https = setting("s3-usehttps", "S3_USE_HTTPS", "s3UseHttps")
    endpoint = setting("s3-endpoint", "S3_ENDPOINT", "s3Endpoint")
    scheme, separator, host = endpoint.partition("://")
    if separator and scheme in {"http", "https"}:
        endpoint, https = host, "1" if scheme == "https" else "0"

    variables = {"S3_USE_HTTPS": https, "S3_ENDPOINT": endpoint}
    if endpoint:
        variables["AWS_ENDPOINT_URL"] = f"{'http' if https == '0' else 'https'}://{endpoint}"
    variables |= {key: setting(annotation, key, config) for annotation, key, config in _SETTINGS}
    return [{"name": name, "value": value} for name, value in variables.items() if value]
