"""What KServe's webhook makes of an InferenceService before it is stored."""

from __future__ import annotations

import copy

from tests.kserve.cluster import Cluster
from tests.kserve.errors import NotModelledError
from tests.kserve.local_models import label_cached_model
from tests.kserve.manifests import Manifest
from tests.kserve.names import DEPLOYMENT_MODE, MAIN, MODEL_PATH
from tests.kserve.settings import Settings

_STANDARD = ("Standard", "RawDeployment")
_MODES = (*_STANDARD, "Knative", "Serverless", "ModelMesh")
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
    default = str(settings.deploy.get("defaultDeploymentMode"))
    mode = annotations.setdefault(DEPLOYMENT_MODE, default)
    mode = mode if mode in _MODES else default
    if mode not in _STANDARD:
        raise NotModelledError(f"deployment mode {mode}")

    _unify_frameworks(predictor)
    model = predictor.get("model")
    if model is not None:
        model.setdefault("name", "")
        model.setdefault("resources", {})
        annotations.setdefault("modelFormat", model["modelFormat"]["name"])
        if model["modelFormat"]["name"] in _V2_FORMATS:
            model.setdefault("protocolVersion", "v2")
    elif implementations(predictor) == 1:
        _default_custom_predictor(predictor["containers"], settings)
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
    framework = next((each for each in _FRAMEWORKS if predictor.get(each) is not None), None)
    if framework is not None:
        model = predictor.pop(framework)
        if _FRAMEWORKS[framework]:
            model.setdefault("protocolVersion", _FRAMEWORKS[framework])
        predictor["model"] = {"modelFormat": {"name": framework}, **model}


def implementations(predictor: Manifest) -> int:
    """How many servers a predictor states: there must be one. Containers are one where nothing else is stated."""
    known = sum(predictor.get(kind) is not None for kind in (*_FRAMEWORKS, "model"))
    containers = predictor.get("containers") or []
    return known + sum(each.get("name") == MAIN for each in containers) or min(len(containers), 1)


def _default_custom_predictor(containers: list[Manifest], settings: Settings) -> None:
    """A predictor that is a container of the user's own gets KServe's resources; if it is alone, its name as well."""
    container = containers[0]
    if len(containers) == 1 or not container.get("name"):
        container["name"] = MAIN
    defaults = settings.service.get("resource") or {}
    resources = container.setdefault("resources", {})
    for kind, suffix in (("requests", "Request"), ("limits", "Limit")):
        wanted = {name: defaults[name + suffix] for name in ("cpu", "memory") if defaults.get(name + suffix)}
        resources[kind] = {**wanted, **(resources.get(kind) or {})}
