"""Names that KServe gives to containers, volumes, annotations and labels."""

from __future__ import annotations

MAIN = "kserve-container"
TRANSFORMER = "transformer-container"
WORKER = "worker-container"
INITIALIZER = "storage-initializer"

MODEL_PATH = "/mnt/models"
MODEL_VOLUME = "kserve-provision-location"
CLAIM_VOLUME = "kserve-pvc-source"

_INTERNAL = "internal.serving.kserve.io/"
SOURCE_URI = _INTERNAL + "storage-initializer-sourceuri"
STORAGE_CONTAINER = _INTERNAL + "storage-container-name"
STORAGE_SPEC = _INTERNAL + "storage-spec"
STORAGE_SPEC_KEY = _INTERNAL + "storage-spec-key"
STORAGE_SPEC_PARAMETERS = _INTERNAL + "storage-spec-param"
AGENT = _INTERNAL + "agent"
LOCAL_MODEL = _INTERNAL + "localmodel"
LOCAL_MODEL_SOURCE = _INTERNAL + "localmodel-sourceuri"
LOCAL_MODEL_CLAIM = _INTERNAL + "localmodel-pvc-name"

DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode"
SERVICE_LABEL = "serving.kserve.io/inferenceservice"
READONLY = "storage.kserve.io/readonly"

# In place of a scheme that only the storage-config secret knows; KServe writes it literally like this.
SCHEME_PLACEHOLDER = "<scheme-placeholder>://"
