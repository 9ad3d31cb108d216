"""What a secret is for: KServe guesses it from its keys (kserve.md 6.1), and people mean more than it knows. Pure."""

from __future__ import annotations

from typing import Literal

from wellhead_cluster.doctor.kserve import Config

Dialect = Literal["s3", "gs", "azure", "azure-key", "https", "hdfs", "hf", "modelscope", ""]

WORDS: dict[Dialect, str] = {
    "s3": "S3 keys",
    "gs": "a Google key",
    "azure": "an Azure identity",
    "azure-key": "an Azure account key",
    "https": "headers for a web server",
    "hdfs": "HDFS",
    "hf": "a Hugging Face token",
    "modelscope": "a ModelScope token",
    "": "nothing that KServe recognises",
}

# Of OpenShift AI's connections; KServe injects the keys of such a secret, and not these.
CONNECTION_KEYS = ("AWS_S3_ENDPOINT", "AWS_S3_BUCKET")

# What a key must be called, for suggestions; and spellings of other tools that no similarity would find.
KNOWN_KEYS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "S3_ENDPOINT", "S3_USE_HTTPS", "AWS_DEFAULT_REGION"),
    *("S3_VERIFY_SSL", "S3_USER_VIRTUAL_BUCKET", "S3_USE_ACCELERATE", "awsAnonymousCredential", "AWS_CA_BUNDLE"),
    *("AWS_CA_BUNDLE_CONFIGMAP", "gcloud-application-credentials.json"),
    *("AZURE_SUBSCRIPTION_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"),
    *("AZURE_STORAGE_ACCESS_KEY", "AZURE_ACCESS_TOKEN", "AZURE_ACCOUNT_NAME", "AZURE_SERVICE_URL"),
    *("https-host", "headers", "HF_TOKEN", "MODELSCOPE_API_TOKEN", "HDFS_NAMENODE"),
)
OTHER_SPELLINGS = {
    "accesskey": "AWS_ACCESS_KEY_ID",
    "access_key": "AWS_ACCESS_KEY_ID",
    "accesskeyid": "AWS_ACCESS_KEY_ID",
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "awsaccesskeyid": "AWS_ACCESS_KEY_ID",
    "aws_access_key": "AWS_ACCESS_KEY_ID",
    "secretkey": "AWS_SECRET_ACCESS_KEY",
    "secret_key": "AWS_SECRET_ACCESS_KEY",
    "secretaccesskey": "AWS_SECRET_ACCESS_KEY",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "awssecretaccesskey": "AWS_SECRET_ACCESS_KEY",
    "aws_secret_key": "AWS_SECRET_ACCESS_KEY",
    "hf_api_key": "HF_TOKEN",
    "hf_hub_token": "HF_TOKEN",
    "huggingface_token": "HF_TOKEN",
    "hugging_face_hub_token": "HF_TOKEN",
    "huggingfacehub_api_token": "HF_TOKEN",
    "token": "HF_TOKEN",
    "key.json": "gcloud-application-credentials.json",
    "credentials.json": "gcloud-application-credentials.json",
    "service-account.json": "gcloud-application-credentials.json",
    "azure_storage_account_key": "AZURE_STORAGE_ACCESS_KEY",
    "azure_storage_key": "AZURE_STORAGE_ACCESS_KEY",
}

# annotation serving.kserve.io/…, key in the secret and name of the variable, key in KServe's ConfigMap
S3_SETTINGS = (
    ("s3-endpoint", "S3_ENDPOINT", "s3Endpoint"),
    ("s3-usehttps", "S3_USE_HTTPS", "s3UseHttps"),
    ("s3-verifyssl", "S3_VERIFY_SSL", "s3VerifySSL"),
    ("s3-useanoncredential", "awsAnonymousCredential", "s3UseAnonymousCredential"),
    ("s3-region", "AWS_DEFAULT_REGION", "s3Region"),
    ("s3-usevirtualbucket", "S3_USER_VIRTUAL_BUCKET", "s3UseVirtualBucket"),
    ("s3-useaccelerate", "S3_USE_ACCELERATE", "s3UseAccelerate"),
    ("s3-cabundle", "AWS_CA_BUNDLE", "s3CABundle"),
    ("s3-cabundle-configmap", "AWS_CA_BUNDLE_CONFIGMAP", "s3CABundleConfigMap"),
)
S3_PREFIX = "serving.kserve.io/"

IDENTITIES = {
    "eks.amazonaws.com/role-arn": ("s3", "a role on EKS (IRSA)"),
    "iam.gke.io/gcp-service-account": ("gs", "a Google identity on GKE"),
    "azure.workload.identity/client-id": ("az", "an Azure workload identity"),
}
"""Annotations of a service account → kind of store, and what it is."""

AZURE_LABEL = "azure.workload.identity/use"


def dialect_of(keys: set[str], config: Config) -> Dialect:
    """What KServe takes a secret with these keys for: the first that fits, in its own order."""
    if s3_key_names(config)["AWS_SECRET_ACCESS_KEY"] in keys:
        return "s3"
    if config.google_file in keys:
        return "gs"
    if keys & {"AZ_CLIENT_ID", "AZURE_CLIENT_ID", "AZURE_ACCESS_TOKEN"}:
        return "azure"
    for key, dialect in _OTHERS.items():
        if key in keys:
            return dialect
    return ""


_OTHERS: dict[str, Dialect] = {
    "AZURE_STORAGE_ACCESS_KEY": "azure-key",
    "https-host": "https",
    "HDFS_NAMENODE": "hdfs",
    "HF_TOKEN": "hf",
    "MODELSCOPE_API_TOKEN": "modelscope",
}

SERVES: dict[Dialect, str] = {
    "s3": "s3",
    "gs": "gs",
    "azure": "az",
    "azure-key": "az",
    "https": "http",
    "hf": "hf",
    "hdfs": "delegated",
    "modelscope": "delegated",
}
"""The kind of URI that a secret is for (`wellhead_storage.uri.Kind`)."""


def s3_key_names(config: Config) -> dict[str, str]:
    """Variable → key in the secret, which KServe's ConfigMap may name otherwise."""
    return {
        "AWS_ACCESS_KEY_ID": config.s3.get("s3AccessKeyIDName") or "awsAccessKeyID",
        "AWS_SECRET_ACCESS_KEY": config.s3.get("s3SecretAccessKeyName") or "awsSecretAccessKey",
    }
