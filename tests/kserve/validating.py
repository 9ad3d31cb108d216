"""What KServe's webhook refuses in an InferenceService."""

from __future__ import annotations

import re

from tests.kserve.defaulting import implementations
from tests.kserve.errors import Refused
from tests.kserve.manifests import Manifest, annotations_of, name_of, named
from tests.kserve.mounts import common_parent
from tests.kserve.names import TRANSFORMER

_WEBHOOK = "inferenceservice.kserve-webhook-server.validator"
_NAME = "[a-z]([-a-z0-9]*[a-z0-9])?"
_NAME_WORDS = (
    'the InferenceService "{name}" is invalid: a InferenceService name must consist of lower case alphanumeric '
    "characters or '-', and must start with alphabetical character. "
    """(e.g. "my-name" or "abc-123", regex used for validation is '{pattern}')"""
)
_AUTOSCALERS = ("hpa", "external", "keda", "none")
# As KServe lists them; where StorageContainerName stands among them was not seen.
_KINDS = (
    *("SKLearn", "XGBoost", "Tensorflow", "PyTorch", "Triton", "ONNX", "HuggingFace", "PMML", "LightGBM", "Paddle"),
    *("Model", "StorageUris", "StorageContainerName", "WorkerSpec", "PodSpec"),
)


def validate(service: Manifest) -> None:
    """Checks a service that has its defaults already.

    Raises:
        Refused: at the stage "InferenceService".
    """
    wrong = _wrong(service)
    if wrong:
        raise Refused("InferenceService", f'admission webhook "{_WEBHOOK}" denied the request: {wrong}')


def _wrong(service: Manifest) -> str | None:
    name, predictor = name_of(service), service["spec"]["predictor"]
    model = predictor.get("model")
    if not re.fullmatch(_NAME, name):
        return _NAME_WORDS.format(name=name, pattern=_NAME)
    scaler = annotations_of(service).get("serving.kserve.io/autoscalerClass")
    if scaler is not None and scaler not in _AUTOSCALERS:
        return f"[{scaler}] is not a supported autoscaler class type"
    for container in [*predictor.get("containers", []), *predictor.get("initContainers", []), model or {}]:
        if named(container.get("env"), "PYTHONPATH") is not None:
            place = container.get("name") or ""
            return (
                f'the InferenceService "{name}" is invalid: '
                f'setting PYTHONPATH in container "{place}" is not allowed for security reasons'
            )
    transformer = named(predictor.get("containers"), TRANSFORMER) or {}
    if named(transformer.get("env"), "STORAGE_URI") is not None:
        return "storage uri should not be specified in transformer container"
    if model is not None and model.get("name"):
        return "the 'name' field is not allowed in standard predictor"
    return _wrong_uris(predictor) or _wrong_kind(predictor) or _wrong_scale(predictor)


def _wrong_uris(predictor: Manifest) -> str | None:
    uris = predictor.get("storageUris")
    if uris is not None and (predictor.get("model") or {}).get("storageUri") is not None:
        return "Setting both StorageURI and StorageURIs is not supported."
    downloads: list[str] = []
    claims: list[str] = []
    for entry in uris or []:
        uri, path = entry.get("uri", ""), entry["mountPath"]
        if not uri:
            return "storage URI cannot be empty"
        if path == "/":
            return "storage path cannot be empty"
        if not path.startswith("/"):
            return f"storage path must be absolute: {path}"
        if ".." in path:
            return f"storage path cannot contain '..' for security reasons: {path}"
        (claims if uri.startswith("pvc://") else downloads).append(path)
    if len(downloads) <= 1:
        return None
    if len(set(claims)) < len(claims):
        return "PVC storage paths must be unique"
    if common_parent(downloads) == "/":
        shown = " ".join(downloads)
        return (
            "storage paths must have a common parent directory. "
            f"Current paths: [{shown}] have no common parent beyond root"
        )
    return None


def _wrong_kind(predictor: Manifest) -> str | None:
    if implementations(predictor) == 1:
        return None
    return f"exactly one of [{', '.join(_KINDS)}] must be specified in PredictorSpec"


def _wrong_scale(predictor: Manifest) -> str | None:
    least, most = predictor.get("minReplicas", 1), predictor.get("maxReplicas", 0)
    if predictor.get("containerConcurrency", 0) < 0:
        return "parallelism cannot be less than 0"
    if least < 0:
        return "'MinReplicas' cannot be less than 0"
    if most < 0:
        return "'MaxReplicas' cannot be less than 0"
    return "'MinReplicas' cannot be greater than MaxReplicas" if least > most > 0 else None
