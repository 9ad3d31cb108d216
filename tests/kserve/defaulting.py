"""What KServe's webhook makes of an InferenceService before it is stored."""

from __future__ import annotations

import copy

from tests.kserve.cluster import Cluster
from tests.kserve.errors import NotModelledError
from tests.kserve.local_models import label_cached_model
from tests.kserve.manifests import Manifest
from tests.kserve.names import DEPLOYMENT_MODE, MAIN, MODEL_PATH
from tests.kserve.settings import Settings

_V2_FORMATS = ("triton", "vLLM")
# `predictor.sklearn` and the like, which KServe turns into `predictor.model`; some bring a protocol along.
_FRAMEWORKS = {
    **dict.fromkeys(("sklearn", "xgboost", "tensorflow", "pytorch", "pmml", "lightgbm", "paddle")),
    **dict.fromkeys(("triton", "onnx", "huggingface"), "v2"),
}


def with_defaults(service: Manifest, cluster: Cluster, settings: Settings) -> Manifest:
    """A copy with KServe's defaults.

    Raises:
        NotModelledError: the service has more than a predictor, or wants another mode than Standard.
    """
    service = copy.deepcopy(service)
    predictor = service["spec"]["predictor"]
    _refuse_what_is_not_modelled(service)
    annotations = service["metadata"]["annotations"] = dict(service["metadata"].get("annotations") or {})
    mode = annotations.setdefault(DEPLOYMENT_MODE, str(settings.deploy.get("defaultDeploymentMode")))
    if mode not in {"Standard", "RawDeployment"}:
        raise NotModelledError(f"deployment mode {mode}")

    _unify_frameworks(predictor)
    model = predictor.get("model")
    if model is not None:
        model.setdefault("name", "")
        model.setdefault("resources", {})
        annotations.setdefault("modelFormat", model["modelFormat"]["name"])
        if model["modelFormat"]["name"] in _V2_FORMATS:
            model.setdefault("protocolVersion", "v2")
    elif predictor.get("containers"):
        _default_custom_predictor(predictor["containers"][0], settings)
    for container in [*predictor.get("containers", []), *predictor.get("initContainers", [])]:
        container.setdefault("resources", {})
    for entry in predictor.get("storageUris") or []:
        entry.setdefault("mountPath", MODEL_PATH)
    label_cached_model(service, cluster, settings)
    if settings.security.get("autoMountServiceAccountToken") is False:
        predictor.setdefault("automountServiceAccountToken", False)
    return service


def _refuse_what_is_not_modelled(service: Manifest) -> None:
    spec, predictor = service["spec"], service["spec"]["predictor"]
    parts = [part for part in ("transformer", "explainer", "canary", "tracing") if spec.get(part)]
    parts += [f"predictor.{part}" for part in ("workerSpec", "logger", "batcher") if predictor.get(part) is not None]
    parts += ["predictor.model.confidential"] if (predictor.get("model") or {}).get("confidential") else []
    if parts:
        raise NotModelledError(", ".join(parts))


def _unify_frameworks(predictor: Manifest) -> None:
    for framework, protocol in _FRAMEWORKS.items():
        if framework in predictor and "model" not in predictor:
            model = predictor.pop(framework) or {}
            if protocol:
                model.setdefault("protocolVersion", protocol)
            predictor["model"] = {"modelFormat": {"name": framework}, **model}


def _default_custom_predictor(container: Manifest, settings: Settings) -> None:
    """A predictor that is a container of the user's own gets KServe's name and resources."""
    container["name"] = container.get("name") or MAIN
    defaults = settings.service.get("resource") or {}
    resources = container.setdefault("resources", {})
    for kind, suffix in (("requests", "Request"), ("limits", "Limit")):
        wanted = {name: defaults[name + suffix] for name in ("cpu", "memory") if defaults.get(name + suffix)}
        resources[kind] = {**wanted, **(resources.get(kind) or {})}
